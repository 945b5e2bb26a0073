"""Runs the five-minute start of a README literally, in a fresh folder, as a reader would.

    python client/start.py client/python/README.md --semel target/debug/semel

What is run stands between `<!-- start -->` and `<!-- end of start -->`. Blocks marked `sh` go to one bash, one after another, with
`semel` on the PATH and `SEMEL_CHECKOUT` naming this checkout; the first command that fails ends it. A block of another
language whose first line names a file in a comment (`# app.py`, `// main.go`) is written to that file at its place in the
order. What the shell started in the background is ended with it. It knows no language and judges no output: a start that must
say something says so itself, by a command that fails without it.
"""

import argparse
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^(?:#|//|--)\s*(?P<name>[\w./-]+\.\w+)\s*$")
SECONDS_MAX = 300


def start_of(readme):
    """The marked part of a README."""
    text = readme.read_text(encoding="utf-8")
    found = re.search(r"<!-- start -->(.*?)<!-- end of start -->", text, re.DOTALL)
    if found is None:
        raise SystemExit(f"{readme} marks no start")
    return found.group(1)


def script_of(start):
    """One bash script that does what the blocks say."""
    lines = ["set -euo pipefail"]
    for language, body in BLOCK.findall(start):
        named = FILE.match(body.splitlines()[0]) if body else None
        if language in ("sh", "bash"):
            lines.append(body)
        elif named:
            name = shlex.quote(named["name"])
            lines.append(f'mkdir -p "$(dirname {name})"\ncat > {name} <<\'END-OF-{named["name"]}\'\n{body}END-OF-{named["name"]}')
    if len(lines) == 1:
        raise SystemExit("the start has no block that can be run")
    return "\n".join(lines) + "\n"


def run(script, binary):
    """Runs it in a folder of its own and gives bash's status."""
    with tempfile.TemporaryDirectory(prefix="semel-start-") as folder:
        tools = pathlib.Path(folder) / ".tools"
        tools.mkdir()
        (tools / "semel").symlink_to(binary)
        work = pathlib.Path(folder) / "start"
        work.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SEMEL_")}
        env = {**kept, "PATH": f"{tools}:{os.environ['PATH']}", "SEMEL_CHECKOUT": str(ROOT)}
        shell = subprocess.Popen(["bash", "-c", script], cwd=work, env=env, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            return shell.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            print(f"not done after {SECONDS_MAX} s", file=sys.stderr)
            return 1
        finally:
            try:
                os.killpg(shell.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readme", type=pathlib.Path)
    parser.add_argument("--semel", type=pathlib.Path, required=True, help="the built binary")
    parser.add_argument("--show", action="store_true", help="print the script and run nothing")
    options = parser.parse_args()
    script = script_of(start_of(options.readme))
    if options.show:
        print(script, end="")
        return
    sys.exit(run(script, options.semel.resolve(strict=True)))


if __name__ == "__main__":
    main()
