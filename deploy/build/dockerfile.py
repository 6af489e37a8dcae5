"""Render the Dockerfile of a flow's image.

It has no RUN instruction, so any builder builds it for any platform, offline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from deploy.build import packages

# Folder of the image with the files of the flow and of the server.
APP_FOLDER = "app"
PORT = 8080
USER = "10001:10001"
COMMAND = ["python3", "-m", "flow_server.serve"]
ENVIRONMENT = {
    "PYTHONPATH": f"/{APP_FOLDER}:/{packages.FOLDER}:/{APP_FOLDER}/shims",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    # Fixed values, so that glibc does not raise them: the memory of large requests is returned to
    # the operating system (mallopt(3): "the dynamic adjustment is disabled").
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "HOME": "/tmp",
    "PF_LOGGING_LEVEL": "WARNING",
    "PF_TRACING_SKIP_LOCAL_SETUP": "true",
}


def render(base: str, copies: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Return the Dockerfile on the image `base`.

    `copies` maps folders of the context to folders of the image, in the order of their layers:
    those that change least come first.
    """
    lines = [
        f"FROM {base}",
        *(f"COPY {folder}/ {path}/" for folder, path in copies.items()),
        *_render_instruction("ENV", ENVIRONMENT),
        *_render_instruction("LABEL", labels),
        # Override settings of the base that the server does not use.
        "WORKDIR /",
        "STOPSIGNAL SIGTERM",
        "HEALTHCHECK NONE",
        f"USER {USER}",
        f"EXPOSE {PORT}",
        "ENTRYPOINT []",
        f"CMD {json.dumps(COMMAND)}",
    ]
    return "\n".join(lines) + "\n"


def _render_instruction(instruction: str, values: Mapping[str, str]) -> list[str]:
    """Return one instruction with all `values`: engines make an image of each instruction."""
    pairs = [f"{name}={_quote(value)}" for name, value in values.items()]
    return [f"{instruction} " + " \\\n    ".join(pairs)] if pairs else []


def _quote(value: str) -> str:
    """Return `value` in quotes, without expansion (Dockerfile reference, "Escape" and "ENV")."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
