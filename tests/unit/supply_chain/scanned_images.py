"""Images without an engine, and the secret scan on them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.docker.image_archive import ImageArchive
from deploy.supply_chain.secret_scan import known_secrets, scanner
from tests import fake_secrets, projects
from tests.saved_images import CLEAN, layer, write

NOTES = "app/flow/notes.md"
KEY = (
    fake_secrets.text(fake_secrets.LETTERS, 40, 7)
    + "/+="
    + fake_secrets.text(fake_secrets.LETTERS, 7)
)
HIDDEN = {"MODEL_API_KEY": KEY}
PLACES: dict[str, Callable[[str], tuple[list[bytes], dict[str, Any]]]] = {
    "/app/flow/notes.md (layer 2), line 2": lambda text: (
        [layer({"usr/x": "x"}), layer({NOTES: f"# Notes\n{text}"})],
        {},
    ),
    "/app/flow/notes.md (layer 1), line 2": lambda text: (
        [layer({NOTES: f"# Notes\n{text}"}), layer({"app/flow/.wh.notes.md": ""})],
        {},
    ),
    "history line 2": lambda text: (
        [layer({})],
        {"history": [{"created_by": "FROM x"}, {"created_by": f"RUN build {text}"}]},
    ),
    "variable SOME_NAME": lambda text: ([layer({})], {"config": {"Env": [f"SOME_NAME={text}"]}}),
    "label some.name": lambda text: ([layer({})], {"config": {"Labels": {"some.name": text}}}),
}


def image(
    path: Path, layers: list[bytes], changes: Mapping[str, Any] | None = None
) -> ImageArchive:
    return write(path / "image.tar", layers, {**CLEAN, **(changes or {})})


def refusal(
    made: ImageArchive,
    flow: Flow,
    hidden: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> str:
    with pytest.raises(DeployError) as caught:
        scanner.refuse_secrets(made, flow, hidden or {}, cache)
    return str(caught.value)


def zipped(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def hidden(root: Path, files: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    return known_secrets.collect_secrets(projects.make(root, files, environ))
