"""Run a command with another container engine than the machine's own.

usage: python -m tests.engines {classic,containerd,podman} [--registry-mirror URL] -- COMMAND...
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from types import FrameType

from deploy.sandbox import certificates
from tests.engines import dockerd, podman
from tests.engines.debian_root import EngineError
from tests.engines.engine import Engine

ENGINES = {
    "classic": dockerd.run_classic,
    "containerd": dockerd.run_containerd,
    "podman": podman.run,
}


def main() -> int:
    """Return the exit code of the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines", description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--registry-mirror", metavar="URL", help="what stands for Docker Hub")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    options = parser.parse_args()
    # Stopping the engine and taking back its network must not be left out.
    signal.signal(signal.SIGTERM, _exit)
    try:
        with ENGINES[options.engine](options.registry_mirror) as engine:
            print(engine.description, flush=True)
            return _run(options.command, engine)
    except EngineError as error:
        print(f"{options.engine}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(command: list[str], engine: Engine) -> int:
    environment = {
        **os.environ,
        "DOCKER_HOST": engine.address,
        certificates.KEY_FILE_VARIABLE: str(engine.authority),
    }
    environment.pop("DOCKER_CONTEXT", None)
    with subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
