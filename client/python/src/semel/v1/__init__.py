"""The messages of the protocol, all in one place. Their modules are made by the build from proto/semel/v1."""

from semel.v1.app_pb2 import *  # noqa: F403
from semel.v1.app_service_pb2 import *  # noqa: F403
from semel.v1.auth_service_pb2 import *  # noqa: F403
from semel.v1.event_pb2 import *  # noqa: F403
from semel.v1.header_pb2 import *  # noqa: F403
from semel.v1.job_pb2 import *  # noqa: F403
from semel.v1.job_service_pb2 import *  # noqa: F403
from semel.v1.request_service_pb2 import *  # noqa: F403
from semel.v1.run_pb2 import *  # noqa: F403
from semel.v1.run_service_pb2 import *  # noqa: F403
from semel.v1.server_service_pb2 import *  # noqa: F403
from semel.v1.trigger_pb2 import *  # noqa: F403
from semel.v1.trigger_service_pb2 import *  # noqa: F403
from semel.v1.watch_service_pb2 import *  # noqa: F403
from semel.v1.worker_pb2 import *  # noqa: F403
from semel.v1.worker_service_pb2 import *  # noqa: F403
