"""Run a command with the stand-in of the official Python image as the base of every flow.

    python -m tests.official_base -- inv deploy --flow faq

The engine pulls it from a registry, as it would from Docker Hub.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from deploy.docker import engine
from tests import official_base


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distroless", action="store_true", help="the distroless image instead")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    reference = official_base.pull(engine.connect(), options.distroless)
    print(f"base image: {reference}", file=sys.stderr, flush=True)
    environment = {**os.environ, "FLOW_BASE_IMAGE": reference}
    return subprocess.run(options.command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
