"""Runs in the sandbox: `pf flow build` of one flow, then bytecode for it and for the server.

Not imported by the rest of `deploy`. Arguments: the flow's source, the folder for the result.
Prints one line and ends with status 1 where the flow cannot be packed.
"""

import compileall
import os
import py_compile
import shutil
import sys
from pathlib import Path


def main(source: str, output: str) -> int:
    # A home of the sandbox's own: no connection store, no key ring and no settings of a user;
    # telemetry off.
    home = Path(os.environ["PF_HOME_DIRECTORY"])
    home.mkdir(parents=True)
    (home / "pf.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    from promptflow._cli.pf import main as pf

    flow = f"{output}/flow"
    # --flow-only: the rest of pf's output is a Dockerfile and the user's connections with their
    # endpoints.
    sys.argv = [
        "pf",
        "flow",
        "build",
        "--source",
        source,
        "--output",
        flow,
        "--format",
        "docker",
        "--flow-only",
    ]
    try:
        pf()
    except SystemExit as stop:
        if stop.code:
            return 1
    except Exception as error:
        print(f"pf flow build: {_reason(error)}", file=sys.stderr)
        return 1
    # What tools look like in an editor; serving does not read it.
    shutil.rmtree(f"{flow}/.promptflow", ignore_errors=True)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    # By force: importing the flow has left bytecode that is checked against a time.
    compileall.compile_dir(
        output, quiet=1, force=True, invalidation_mode=mode, stripdir=output, prependdir="/app"
    )
    Path(output, "packed").touch()
    return 0


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
