"""Write an import completely, or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.core import yaml_files
from deploy.core.errors import DeployError, Problem
from deploy.importers.llmops import environments
from deploy.importers.llmops.entities import Import


def check_import(project: Project, planned: Import) -> None:
    """Raise `DeployError` if this project could not load the imported files."""
    with _stage_import(project, planned):
        pass


def write_import(project: Project, planned: Import) -> None:
    """Write the import into `project` with two renames, after staging and checking it.

    Raise `DeployError` if it fails; any failure leaves the repository unchanged.
    """
    with _stage_import(project, planned) as stage:
        environments_file = project.root / configuration.ENVIRONMENTS_FILE
        previous = environments_file.read_bytes()
        folder = project.root / "flows" / planned.flow
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            what = f"flows/{planned.flow} already exists, and nothing is overwritten"
            raise DeployError("--flow", what, "give the flow another name with --flow")
        if planned.environments:
            (stage / configuration.ENVIRONMENTS_FILE).replace(environments_file)
        try:
            (stage / "flows" / planned.flow).rename(folder)
        except BaseException:
            # An unused environment would do no harm, but a failure must leave no trace.
            environments_file.write_bytes(previous)
            raise


@contextlib.contextmanager
def _stage_import(project: Project, planned: Import) -> Iterator[Path]:
    """Create a project with only the import in a folder that git ignores; check that it loads."""
    artifacts = project.root / ".artifacts"
    artifacts.mkdir(exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix="import-", dir=artifacts))
    try:
        for name, file in planned.files.items():
            path = stage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        environments_file = stage / configuration.ENVIRONMENTS_FILE
        shutil.copy2(project.root / configuration.ENVIRONMENTS_FILE, environments_file)
        _append(project, environments_file, planned)
        _load_staged_flow(project, stage, planned)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _append(project: Project, environments_file: Path, planned: Import) -> None:
    """Append the new environments; keep every byte of the existing ones."""
    existing = yaml_files.load(environments_file).data
    text = environments_file.read_bytes()
    if planned.environments:
        end = b"" if text.endswith(b"\n") else b"\n"
        environments_file.write_bytes(text + end + planned.environments.encode())
    hint = "write one environment after the other, each on lines of its own"
    what = f"{', '.join(planned.new_environments)} cannot be added at its end"
    try:
        after = yaml_files.load(environments_file).data
    except DeployError:
        raise DeployError(configuration.ENVIRONMENTS_FILE, what, hint) from None
    if {name: after.get(name) for name in existing} != existing or set(
        planned.new_environments
    ) - set(after):
        raise DeployError(configuration.ENVIRONMENTS_FILE, what, hint)


def _load_staged_flow(project: Project, stage: Path, planned: Import) -> None:
    staged = Project(stage, project.environ)
    try:
        configuration.load_spec(staged, planned.flow, environments.LOCAL)
    except DeployError as error:
        stage_prefix = f"{yaml_files.display_path(stage)}/"
        raise DeployError.from_problems(
            [
                Problem(f"as imported, {p.where.replace(stage_prefix, '')}", p.what, p.hint)
                for p in error.problems
            ]
        ) from None
