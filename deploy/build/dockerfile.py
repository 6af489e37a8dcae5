"""The Dockerfile of a flow's image: no RUN, so any builder makes it for any platform, offline."""

from __future__ import annotations

import json
from collections.abc import Mapping

from deploy.build import packages

# The folder of the image that holds what is the flow's and the server's.
HOME = "app"
PORT = 8080
USER = "10001:10001"
COMMAND = ["python3", "-m", "runtime.serve"]
ENVIRONMENT = {
    "PYTHONPATH": f"/{HOME}:/{packages.FOLDER}:/{HOME}/shims",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    # Fixed, so that glibc does not raise them by itself: the memory of large requests is given
    # back to the machine (mallopt(3): "the dynamic adjustment is disabled").
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "HOME": "/tmp",
    "PF_LOGGING_LEVEL": "WARNING",
    "PF_TRACING_SKIP_LOCAL_SETUP": "true",
}


def render(base: str, copies: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Return the Dockerfile on the image `base`.

    `copies` are folders of the context and where they go, in the order of their layers: what
    changes least comes first.
    """
    lines = [
        f"FROM {base}",
        *(f"COPY {folder}/ {path}/" for folder, path in copies.items()),
        *_pairs("ENV", ENVIRONMENT),
        *_pairs("LABEL", labels),
        # What a base may have set, and the server does not want.
        "WORKDIR /",
        "STOPSIGNAL SIGTERM",
        "HEALTHCHECK NONE",
        f"USER {USER}",
        f"EXPOSE {PORT}",
        "ENTRYPOINT []",
        f"CMD {json.dumps(COMMAND)}",
    ]
    return "\n".join(lines) + "\n"


def _pairs(instruction: str, values: Mapping[str, str]) -> list[str]:
    """Return one instruction with all of `values`: engines make an image of each instruction."""
    pairs = [f"{name}={_quoted(value)}" for name, value in values.items()]
    return [f"{instruction} " + " \\\n    ".join(pairs)] if pairs else []


def _quoted(value: str) -> str:
    """Return `value` in quotes, none of it expanded (Dockerfile reference, "Escape" and "ENV")."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
