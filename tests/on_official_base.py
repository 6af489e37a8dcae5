"""Run a command with the stand-in of the official Python image as the base of every flow.

    python -m tests.on_official_base -- inv deploy --flow faq

The engine pulls it from a registry, as it would from Docker Hub.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import docker

from deploy.docker import engine
from deploy.sandbox.registry import RegistryProcess
from tests import official_base


def main() -> int:
    """Return the exit code of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distroless", action="store_true", help="the distroless image instead")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    reference = pull(engine.connect(), options.distroless)
    print(f"base image: {reference}", file=sys.stderr, flush=True)
    environment = {**os.environ, "FLOW_BASE_IMAGE": reference}
    return subprocess.run(options.command, env=environment, check=False).returncode


def pull(client: docker.DockerClient, distroless: bool = False) -> str:
    """Let the engine pull the stand-in from a registry that is there meanwhile; return its reference."""
    push = official_base.push_distroless if distroless else official_base.push
    with tempfile.TemporaryDirectory() as folder, RegistryProcess(Path(folder)) as registry:
        reference = push(registry.name)
        client.images.pull(reference, platform=engine.native_platform(client))
        return reference


if __name__ == "__main__":
    sys.exit(main())
