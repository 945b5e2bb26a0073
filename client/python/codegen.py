"""Makes what the package has of the protocol: the messages of `proto/semel/v1`, `semel/_methods.py` with one method for
each unary call of it, and the copy of `service_config.json`. It owns no name and no type; all of them are the protocol's.

    python codegen.py            # makes them anew
    python codegen.py --check    # fails where what is there is not what would be made

`google/rpc` is not made here: googleapis-common-protos owns its modules, and a process takes a file of one name only once.
"""

from __future__ import annotations

import argparse
import filecmp
import pathlib
import re
import sys
import tempfile
import textwrap
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE / "src" / "semel"
# In a source distribution both lie beside this file, in a checkout where everybody has them.
PROTO = next(path for path in (HERE / "proto", HERE.parent.parent / "proto") if (path / "semel").is_dir())
SERVICE_CONFIG = next(
    path for path in (HERE / "service_config.json", HERE.parent / "service_config.json") if path.is_file()
)

# These name what a call is about, so they come first, without their name if one likes.
SUBJECTS = ("job", "run_id", "trigger", "target_request_id")
# Requests of these are about the app itself.
ABOUT_APPS = ("CreateApp", "UpdateApp", "DeleteApp")
# They have a method of their own hand in `client.py`.
BY_HAND = ("RunJob",)
# `timeout` bounds the call, as everywhere; how long the server is to wait is `wait`, as with `GetRunLogs`.
PARAMETERS = {("WaitRun", "timeout"): "wait"}
APIS = (("Methods", "Makes", "def", ""), ("AsyncMethods", "MakesAsync", "async def", "await "))


def sources() -> list[str]:
    return sorted(path.relative_to(PROTO).as_posix() for path in (PROTO / "semel" / "v1").glob("*.proto"))


def generate(package: pathlib.Path) -> list[pathlib.Path]:
    """Makes everything into `package`, the folder of `semel`, and gives back what it made."""
    import grpc_tools
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as scratch:
        descriptors = pathlib.Path(scratch) / "semel.binpb"
        outputs = [f"--python_out={package.parent}", f"--pyi_out={package.parent}"]
        describe = ["--include_source_info", f"--descriptor_set_out={descriptors}"]
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *outputs, *describe, *sources()]) != 0:
            raise SystemExit("protoc refused proto/: see above")
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    methods = package / "_methods.py"
    methods.write_text(methods_module(files), encoding="utf-8")
    config = package / "service_config.json"
    config.write_bytes(SERVICE_CONFIG.read_bytes())
    made = [
        package.parent / source.replace(".proto", suffix) for source in sources() for suffix in ("_pb2.py", "_pb2.pyi")
    ]
    return [*made, methods, config]


HEAD = '''"""One method for each unary call of the protocol, for both APIs. Made by codegen.py from proto/, never edited."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Iterable, Mapping
from typing import Protocol, TypeVar

from google.protobuf.message import Message
from typing_extensions import Unpack

from semel import v1
from semel._core.options import CallOptions, SyncCallOptions

R = TypeVar("R", bound=Message)


class Makes(Protocol):
    def _make(self, request: Message, answer: type[R], options: SyncCallOptions) -> R: ...


class MakesAsync(Protocol):
    def _make(self, request: Message, answer: type[R], options: CallOptions) -> Awaitable[R]: ...
'''


def methods_module(files: Any) -> str:
    blocks = [HEAD]
    for name, receiver, keyword, wait in APIS:
        blocks.append(f'\n\nclass {name}:\n    """The unary calls; see the class that inherits them."""\n')
        for method, comment in unary(files):
            request = messages(files)[method.input_type]
            options = "CallOptions" if wait else "SyncCallOptions"
            blocks.append(method_source(method, request, comment, receiver, options, keyword, wait))
    return "".join(blocks)


def unary(files: Any) -> Any:
    for file in (file for file in files.file if file.package == "semel.v1"):
        comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for number, service in enumerate(file.service):
            for index, method in enumerate(service.method):
                streams = method.client_streaming or method.server_streaming
                if not streams and method.name not in BY_HAND:
                    yield method, comments.get((6, number, 2, index), "")


def messages(files: Any) -> dict[str, Any]:
    return {f".{file.package}.{message.name}": message for file in files.file for message in file.message_type}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def method_source(method: Any, request: Any, comment: str, receiver: str, options: str, keyword: str, wait: str) -> str:
    subjects, others, given = [], [], []
    for field in (field for field in request.field if field.name != "header"):
        name = PARAMETERS.get((method.name, field.name), field.name)
        given.append(f"{field.name}={name}")
        is_subject = field.name in SUBJECTS or (field.name == "app" and method.name in ABOUT_APPS)
        if is_subject and field.label != field.LABEL_REPEATED:
            subjects.append(f"{name}: {annotation(request, field)}")
        else:
            others.append(f"{name}: {annotation(request, field)} | None = None")
    answer, asked = method.output_type.rsplit(".", 1)[1], request.name
    parameters = "".join(
        f"        {each},\n"
        for each in [
            f"self: {receiver}",
            *subjects,
            *(["*"] if others else []),
            *others,
            f"**options: Unpack[{options}]",
        ]
    )
    fields = "".join(f"            {each},\n" for each in given)
    doc = textwrap.fill(" ".join(comment.split()), 110, initial_indent="        ", subsequent_indent="        ").strip()
    made = f"v1.{asked}(\n{fields}        )" if given else f"v1.{asked}()"
    return (
        f"\n    {keyword} {snake(method.name)}(\n{parameters}    ) -> v1.{answer}:\n"
        f'        """{doc}"""\n'
        f"        request = {made}\n"
        f"        return {wait}self._make(request, v1.{answer}, options)\n"
    )


SCALARS = {1: "float", 3: "int", 5: "int", 8: "bool", 9: "str", 12: "bytes"}
WELL_KNOWN = {".google.protobuf.Duration": "datetime.timedelta", ".google.protobuf.Timestamp": "datetime.datetime"}


def annotation(request: Any, field: Any) -> str:
    maps = {f"{nested.name}": nested for nested in request.nested_type if nested.options.map_entry}
    nested = maps.get(field.type_name.rsplit(".", 1)[-1])
    if nested is not None:
        key, value = nested.field
        return f"Mapping[{scalar(key)}, {scalar(value)}]"
    one = scalar(field)
    return f"Iterable[{one}]" if field.label == field.LABEL_REPEATED else one


def scalar(field: Any) -> str:
    if field.type_name in WELL_KNOWN:
        return WELL_KNOWN[field.type_name]
    if field.type_name:
        return "v1." + field.type_name.removeprefix(".semel.v1.")
    return SCALARS[field.type]


def check() -> int:
    """How many of the generated files are missing or stale."""
    with tempfile.TemporaryDirectory() as scratch:
        package = pathlib.Path(scratch) / "semel"
        package.mkdir()
        stale = 0
        for made in generate(package):
            present = PACKAGE / made.relative_to(package)
            if not present.is_file() or not filecmp.cmp(made, present, shallow=False):
                print(f"{present} is not what proto/ gives; run codegen.py", file=sys.stderr)
                stale += 1
        return stale


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare only")
    if parser.parse_args().check:
        return 1 if check() else 0
    generate(PACKAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
