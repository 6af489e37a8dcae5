"""Open this repository's project, flows and specs. Heavy modules are imported when a task runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.cli import options

ROOT = Path(__file__).parents[2]


def open_project() -> Any:
    """Return this repository as a project."""
    from deploy.config import configuration

    return configuration.open_project(ROOT)


def load_flows(flow: str | None = None) -> Any:
    """Return a list of the flow `flow`, or of all flows."""
    from deploy.config import configuration

    return configuration.load_flows(open_project(), flow)


def load_specs(flow: str | None, env: str) -> Any:
    """Return the specs of the flow `flow`, or of every flow of the environment."""
    from deploy.config import configuration

    return configuration.load_specs(open_project(), env, flow)


def read_image_option(flow: str | None, image: str | None) -> tuple[str | None, Path | None]:
    """Return the flow and path from `--image`: a file names its flow, a folder holds several."""
    from deploy.delivery import image_reference

    path = options.parse_path("--image", image)
    if flow or path is None or path.is_dir():
        return flow, path
    return image_reference.read(path, None, "").flow, path
