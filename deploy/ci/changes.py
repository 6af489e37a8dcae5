"""Find the flows that changed since a git revision, which must be delivered again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import kinds
from deploy.build import base_image, flow_files
from deploy.config import configuration
from deploy.core import git
from deploy.core.entities import Flow
from deploy.core.errors import DeployError

# Lists distributions with targets and kinds of flow, which deploy/bootstrap.sh installs.
EXTENSIONS_FILE = "extensions.txt"
# Used by all images or all deployments. A folder ends in a slash.
SHARED_PATHS = (
    "deploy/",
    "tasks.py",
    "requirements.lock",
    EXTENSIONS_FILE,
    configuration.ENVIRONMENTS_FILE,
    base_image.LOCK_FILE,
)
# The tool's own files: what a team changes in its copy is not among them (docs/testing.md).
TOOL_PATHS = (
    ".ci/",
    ".github/",
    "azure-pipelines/",
    "deploy/",
    "docs/",
    "examples/",
    "infra/",
    "tests/",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "requirements.lock",
    "tasks.py",
)
TEAM_PATHS = ("docs/adr/", "tests/flows/")
PARAMETERS_SUFFIX = ".bicepparam"
FLOWS_FOLDER = "flows/"


@dataclass(frozen=True)
class Changes:
    """The flows that changed, in the order given, and notes for the log."""

    flows: tuple[Flow, ...]
    notes: tuple[str, ...] = ()
    # Whether a file of the tool changed, so that its own tests must run.
    tool: bool = True


def find_changes(root: Path, flows: Sequence[Flow], revision: str) -> Changes:
    """Return which of `flows` differ between `revision` and the files in the checkout.

    Uncommitted changes and untracked files count. All flows are returned if git does not know the
    revision: the first push of a branch names one of zeros, a forced push may name one that no
    longer exists, and a shallow clone may not have it.
    """
    if not _is_known_revision(root, revision):
        return Changes(
            tuple(flows), (f"git does not know the revision {revision!r}: all flows are included",)
        )
    paths = _list_changed_paths(root, revision)
    tool = any(_is_tool_file(path) for path in paths)
    shared = sorted(
        path for path in paths if _is_below(path, (*SHARED_PATHS, *_list_extension_folders(root)))
    )
    if shared:
        message = shared[0] + (f" and {len(shared) - 1} more" if len(shared) > 1 else "")
        return Changes(
            tuple(flows),
            (f"{message} changed, which all flows share: all flows are included",),
            tool,
        )
    return Changes(
        tuple(flow for flow in flows if _has_changed(root, flow, paths)),
        _list_removed_flows(root, paths),
        tool,
    )


def _is_tool_file(path: str) -> bool:
    if _is_below(path, TEAM_PATHS) or path.endswith(PARAMETERS_SUFFIX):
        return False
    return _is_below(path, TOOL_PATHS)


def _has_changed(root: Path, flow: Flow, paths: Iterable[str]) -> bool:
    """Return whether a path belongs to the flow: its folder, configured files, link targets."""
    flow_paths = {_get_relative_path(root, flow.folder) + "/"}
    configured_paths = [*kinds.get(flow.kind).includes(flow)]
    if flow.evaluation:
        configured_paths += [flow.evaluation.data, *flow.evaluation.flows]
    flow_paths |= {_get_relative_path(root, flow.folder / path) for path in configured_paths}
    try:
        flow_paths |= {
            _get_relative_path(root, path) for path in flow_files.list_files(flow, root).values()
        }
    except DeployError:
        # For example, an included file is missing. The build reports the problem.
        return True
    flow_paths |= {f"{path}/" for path in flow_paths if not path.endswith("/")}
    return any(_is_below(path, flow_paths) for path in paths)


def _list_extension_folders(root: Path) -> tuple[str, ...]:
    """Return the folders of extensions that are in this repository."""
    file = root / EXTENSIONS_FILE
    lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else []
    return tuple(
        _get_relative_path(root, root / line) + "/" for line in lines if line.startswith(".")
    )


def _list_removed_flows(root: Path, paths: Iterable[str]) -> tuple[str, ...]:
    """Return a note for each removed flow, whose deployments no longer belong to a flow."""
    names = {
        path.split("/")[1]
        for path in paths
        if path.startswith(FLOWS_FOLDER) and path.count("/") > 1
    }
    return tuple(
        f"flows/{name} was removed, but its deployments were not: run `inv destroy --flow {name}` "
        "in a commit that still has the flow"
        for name in sorted(names)
        if not (root / FLOWS_FOLDER / name).exists()
    )


def _is_below(path: str, prefixes: Iterable[str]) -> bool:
    return any(
        path.startswith(prefix) if prefix.endswith("/") else path == prefix for prefix in prefixes
    )


def _get_relative_path(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _is_known_revision(root: Path, revision: str) -> bool:
    # `--end-of-options`: a revision that starts with a hyphen must not be taken for an option.
    commit = git.run(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    return commit is not None


def _list_changed_paths(root: Path, revision: str) -> tuple[str, ...]:
    """Return every path that differs, relative to `root`; for a moved file both paths."""
    changed = git.run(
        root, "diff", "--name-only", "--no-renames", "--relative", "-z", revision, "--"
    )
    untracked = git.run(root, "ls-files", "--others", "--exclude-standard", "-z")
    if changed is None or untracked is None:
        raise DeployError(
            "git", f"cannot compare the files with {revision}", "clone the repository again"
        )
    return tuple(path for path in f"{changed}{untracked}".split("\0") if path)
