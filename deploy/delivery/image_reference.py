"""The file `.artifacts/‹flow›.json`, which passes an image from one pipeline step to the next."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.core import atomic_file
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path

FOLDER = ".artifacts"
REWRITE_HINT = "`inv push` writes a new one"
DIRTY_COMMIT_HINT = (
    "the push had uncommitted files: commit what `git status` lists there; in CI that is "
    "base.lock, which `inv base` writes"
)


class _ReferenceFile(BaseModel):
    """The schema of the file: version 1, all keys required, no others allowed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int = Field(ge=1, le=1)
    flow: str
    repository: str = Field(pattern="^[^/@ ]+/[^@ ]+$")
    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")
    tag: str = Field(pattern="^[0-9a-f]{12}$")
    commit: str
    platform: str
    base: str


@dataclass(frozen=True)
class ImageReference:
    """An image in a registry."""

    flow: str
    # With the registry's address.
    repository: str
    digest: str
    tag: str
    # The commit that was checked out at the push. The image itself may be older: it is reused as
    # long as its content does not change.
    commit: str
    platform: str
    base: str


def write(root: Path, flow: str, image: Image, commit: str) -> Path:
    """Write the file for `image`; return its path. Raise `OSError` on failure."""
    digest = image.digest or ""
    reference = ImageReference(
        flow, image.repository, digest, image.tag, commit, image.platform, image.base
    )
    path = root / FOLDER / f"{flow}.json"
    path.parent.mkdir(exist_ok=True)
    atomic_file.write(path, json.dumps({"version": 1, **asdict(reference)}, indent=2) + "\n")
    return path


def get_reference_file(image_file: Path, flow: str) -> Path:
    """Return the file of `flow`: `image_file` itself, or the one in that folder."""
    return image_file / f"{flow}.json" if image_file.is_dir() else image_file


def read(path: Path, flow: str | None, commit: str) -> ImageReference:
    """Return the reference in the file.

    `flow` is the requested flow, `commit` the commit that is checked out (empty outside of git).
    Raise `DeployError` if the file is incomplete, or is for another flow or commit.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        reference = _ReferenceFile.model_validate(data)
    except FileNotFoundError:
        hint = "run `inv push`; in CI, pass the folder .artifacts from one job to the next"
        raise DeployError(display_path(path), "the file does not exist", hint) from None
    except OSError as error:
        raise DeployError(
            display_path(path), f"the file cannot be read: {error.strerror}"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DeployError(
            display_path(path), f"{key}: {first['msg'].lower()}", REWRITE_HINT
        ) from None
    except ValueError as error:
        raise DeployError(
            display_path(path), f"the file is not valid JSON: {error}", REWRITE_HINT
        ) from None
    if flow is not None and reference.flow != flow:
        raise DeployError(
            display_path(path), f"the file is for the flow {reference.flow}, not for {flow}"
        )
    if commit and reference.commit != commit:
        message = (
            f"the file is outdated: it is for commit {_shorten_commit(reference.commit)}, but "
            f"{_shorten_commit(commit)} is checked out"
        )
        raise DeployError(
            display_path(path),
            message,
            DIRTY_COMMIT_HINT if reference.commit == f"{commit}-dirty" else REWRITE_HINT,
        )
    return ImageReference(**reference.model_dump(exclude={"version"}))


def _shorten_commit(commit: str) -> str:
    head, _, rest = commit.partition("-")
    return f"{head[:7]}{'-' + rest if rest else ''}" if commit else "none"
