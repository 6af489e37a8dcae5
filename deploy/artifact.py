"""What one step of a pipeline hands to the next: `.artifacts/‹flow›.json`, and nothing but that."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.documents import show
from deploy.errors import DeployError
from deploy.model import Image

FOLDER = ".artifacts"
AGAIN = "`inv push` writes it anew"
DIRTY = "commit what `git status` shows where it was pushed; in CI that is base.lock: `inv base`"


class _File(BaseModel):
    """The file's shape: of this version, complete, and with nothing else in it."""

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
class Artifact:
    """An image that is in a registry: `repository` with the registry's address.

    `commit` is the one that was checked out when it was pushed; the image itself may be older, as
    it is the same as long as its content is.
    """

    flow: str
    repository: str
    digest: str
    tag: str
    commit: str
    platform: str
    base: str

    @property
    def pinned(self) -> str:
        """What is deployed and promoted."""
        return f"{self.repository}@{self.digest}"


def write(root: Path, flow: str, image: Image, commit: str) -> Path:
    """Write the file for `image`, and return its path. Raises `OSError`."""
    digest = image.digest or ""
    made = Artifact(flow, image.repository, digest, image.tag, commit, image.platform, image.base)
    path = root / FOLDER / f"{flow}.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps({"version": 1, **asdict(made)}, indent=2) + "\n"
    # In one step, so that a reader finds the old one or the new one; two pushes may write it.
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return path


def file_of(handed: Path, flow: str) -> Path:
    """Return the file of `flow`: `handed` itself, or the one in that folder."""
    return handed / f"{flow}.json" if handed.is_dir() else handed


def read(path: Path, flow: str | None, commit: str) -> Artifact:
    """Return what the file says.

    `flow` is the flow that is asked for, `commit` the one that is checked out (empty outside of
    git). Raises `DeployError` for a file that is not whole, or not of that flow or commit.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        found = _File.model_validate(data)
    except FileNotFoundError:
        hint = "`inv push` writes it; in CI hand the folder .artifacts from one job to the next"
        raise DeployError(show(path), "it is not there", hint) from None
    except OSError as error:
        raise DeployError(show(path), f"it cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise DeployError(show(path), f"{key}: {first['msg'].lower()}", AGAIN) from None
    except ValueError as error:
        raise DeployError(show(path), f"this is not JSON: {error}", AGAIN) from None
    if flow is not None and found.flow != flow:
        raise DeployError(show(path), f"it is of the flow {found.flow}, not of {flow}")
    if commit and found.commit != commit:
        what = f"it is stale: of commit {_short(found.commit)}, and {_short(commit)} is checked out"
        raise DeployError(show(path), what, DIRTY if found.commit == f"{commit}-dirty" else AGAIN)
    return Artifact(**found.model_dump(exclude={"version"}))


def _short(commit: str) -> str:
    head, _, rest = commit.partition("-")
    return f"{head[:7]}{'-' + rest if rest else ''}" if commit else "none"
