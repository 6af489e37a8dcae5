"""Which flows changed since a revision of git: one that did not need not be delivered again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import config, flow, kinds
from deploy.build import base_image
from deploy.errors import DeployError
from deploy.model import Flow

# Targets and kinds of other distributions, which deploy/bootstrap.sh installs.
EXTENSIONS = "extensions.txt"
# What all images, or all deployments, are made with. A folder ends in a slash.
SHARED = (
    "deploy/",
    "tasks.py",
    "requirements.lock",
    EXTENSIONS,
    config.ENVIRONMENTS,
    base_image.LOCK,
)
FLOWS = "flows/"


@dataclass(frozen=True)
class Changes:
    """The flows that changed, in the order they were given, and what a person should know of it."""

    flows: tuple[Flow, ...]
    notes: tuple[str, ...] = ()


def since(root: Path, flows: Sequence[Flow], revision: str) -> Changes:
    """Return which of `flows` differ between `revision` and the files that are there now.

    What is not committed counts, and so do files that git does not know yet. Where git does not
    know the revision (a first push names one of zeros; a forced push, one that is gone; a shallow
    clone has none), all of them.
    """
    if not _known(root, revision):
        return Changes(tuple(flows), (f"git does not know the revision {revision!r}: all flows",))
    paths = _paths(root, revision)
    shared = sorted(path for path in paths if _is_below(path, (*SHARED, *_extensions(root))))
    if shared:
        what = shared[0] + (f" and {len(shared) - 1} more" if len(shared) > 1 else "")
        return Changes(tuple(flows), (f"{what}: shared by all flows",))
    return Changes(tuple(one for one in flows if _touched(root, one, paths)), _gone(root, paths))


def _touched(root: Path, one: Flow, paths: Iterable[str]) -> bool:
    """Whether one of `paths` is a flow's own: in its folder, named there, or behind its links."""
    own = {_from_root(root, one.folder) + "/"}
    named = [*kinds.get(one.kind).includes(one)]
    if one.evaluation:
        named += [one.evaluation.data, *one.evaluation.flows]
    own |= {_from_root(root, one.folder / path) for path in named}
    try:
        own |= {_from_root(root, path) for path in flow.files(one, root).values()}
    except DeployError:
        # An include is missing, say. Building it tells what is wrong.
        return True
    own |= {f"{path}/" for path in own if not path.endswith("/")}
    return any(_is_below(path, own) for path in paths)


def _extensions(root: Path) -> tuple[str, ...]:
    """Return the folders of extensions that are in this repository."""
    file = root / EXTENSIONS
    lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else []
    return tuple(_from_root(root, root / line) + "/" for line in lines if line.startswith("."))


def _gone(root: Path, paths: Iterable[str]) -> tuple[str, ...]:
    """Return a note for each flow that was removed: what runs of it is nobody's now."""
    names = {path.split("/")[1] for path in paths if path.startswith(FLOWS) and path.count("/") > 1}
    return tuple(
        f"flows/{name} was removed; what runs of it stays, until `inv destroy --flow {name}` "
        "from a commit that has it"
        for name in sorted(names)
        if not (root / FLOWS / name).exists()
    )


def _is_below(path: str, places: Iterable[str]) -> bool:
    return any(path.startswith(place) if place.endswith("/") else path == place for place in places)


def _from_root(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _known(root: Path, revision: str) -> bool:
    # Nobody's revision is taken for an option of git's.
    found = _git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    return found is not None


def _paths(root: Path, revision: str) -> tuple[str, ...]:
    """Return every path that differs, from `root`; of a file that moved both."""
    changed = _git(root, "diff", "--name-only", "--no-renames", "--relative", "-z", revision, "--")
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    if changed is None or new is None:
        raise DeployError("git", f"it cannot compare with {revision}", "is the clone whole?")
    return tuple(path for path in f"{changed}{new}".split("\0") if path)


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints; None where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
