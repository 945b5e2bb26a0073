"""Makes the plain stubs that driver.py speaks by: what grpcio-tools gives for proto/semel/v1, and nothing of ours.

python client/conformance/stub/generate.py FOLDER
"""

import pathlib
import sys

import grpc_tools
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(path.relative_to(PROTO).as_posix() for path in PROTO.glob("semel/v1/*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    status = int(protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *outputs, *files]))
    for package in ("semel", "semel/v1"):
        # protoc makes none; without them an installed package of the same name would go first.
        (folder / package / "__init__.py").touch()
    return status


if __name__ == "__main__":
    sys.exit(main())
