"""Write an import: all of it, or nothing."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy import config, documents
from deploy.config import Project
from deploy.errors import DeployError, Problem
from deploy.llmops import places
from deploy.llmops.model import Import


def check(project: Project, wanted: Import) -> None:
    """Raise `DeployError` where this project could not load what would be written."""
    with _staged(project, wanted):
        pass


def write(project: Project, wanted: Import) -> None:
    """Write `wanted` into `project`, as two renames of what was made and checked beside it.

    Raises `DeployError`; whatever fails, the repository is as it was.
    """
    with _staged(project, wanted) as stage:
        place = project.root / config.ENVIRONMENTS
        before = place.read_bytes()
        folder = project.root / "flows" / wanted.flow
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            what = f"flows/{wanted.flow} is there already, and nothing is overwritten"
            raise DeployError("--flow", what, "give the flow another name with --flow")
        if wanted.environments:
            (stage / config.ENVIRONMENTS).replace(place)
        try:
            (stage / "flows" / wanted.flow).rename(folder)
        except BaseException:
            # An environment that no flow has is no harm; but what fails leaves nothing.
            place.write_bytes(before)
            raise


@contextlib.contextmanager
def _staged(project: Project, wanted: Import) -> Iterator[Path]:
    """Make a project of `wanted` alone in a folder that git ignores; check that it loads."""
    around = project.root / ".artifacts"
    around.mkdir(exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix="import-", dir=around))
    try:
        for name, file in wanted.files.items():
            path = stage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        place = stage / config.ENVIRONMENTS
        shutil.copy2(project.root / config.ENVIRONMENTS, place)
        _append(project, place, wanted)
        _load(project, stage, wanted)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _append(project: Project, place: Path, wanted: Import) -> None:
    """Append the new environments: no byte of those that are there changes."""
    before = documents.load(place).data
    text = place.read_bytes()
    if wanted.environments:
        end = b"" if text.endswith(b"\n") else b"\n"
        place.write_bytes(text + end + wanted.environments.encode())
    hint = "write one environment after the other, each on lines of its own"
    what = f"{', '.join(wanted.added)} cannot be added at its end"
    try:
        after = documents.load(place).data
    except DeployError:
        raise DeployError(config.ENVIRONMENTS, what, hint) from None
    if {name: after.get(name) for name in before} != before or set(wanted.added) - set(after):
        raise DeployError(config.ENVIRONMENTS, what, hint)


def _load(project: Project, stage: Path, wanted: Import) -> None:
    staged = Project(stage, project.environ)
    try:
        config.load_spec(staged, wanted.flow, places.LOCAL)
    except DeployError as error:
        around = f"{documents.show(stage)}/"
        raise DeployError.of(
            [
                Problem(f"as imported, {p.where.replace(around, '')}", p.what, p.hint)
                for p in error.problems
            ]
        ) from None
