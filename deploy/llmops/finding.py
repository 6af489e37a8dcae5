"""Where a use case is, and in which of the template's forms it is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from deploy.errors import DeployError, nearest
from deploy.llmops import configs, experiment
from deploy.llmops.model import Note, UseCase
from deploy.llmops.source import Source, read

# The template's forms, the newest first ("The experiment.yaml file" and "How to setup the repo with
# Github Workflows" of microsoft/genaiops-promptflow-template, formerly llmops-promptflow-template;
# the rest by its history).
FORMS: dict[str, Callable[[Path, Path, Source], UseCase]] = {
    "experiment.yaml": experiment.load,
    "llmops_config.yaml": experiment.load_whole,
    "configs/config.yaml": configs.load_whole,
    "llmops_config.json": configs.load,
    "config.json": configs.load,
}
READ = {"config", "configs", "data", "flows", "sample-request.json"}


def load(path: Path, name: str | None) -> UseCase:
    """Return the use case `name` of the repository at `path`, or the only one there.

    `path` may be the use case's own folder. Raises `DeployError`.
    """
    root = path.resolve()
    if not root.is_dir():
        raise DeployError("--from", f"there is no folder {path}", "name a copy of their repository")
    folder = _folder(root, path, name)
    if folder == root:
        root = root.parent
    forms = [form for form in FORMS if _is(folder / form)]
    found = FORMS[forms[0]](root, folder, read(root, folder / forms[0]))
    others = tuple(
        Note(
            (folder / form).relative_to(root).as_posix(),
            f"it was not read: {forms[0]} says the same in a newer form",
            "compare them, if they differ",
        )
        for form in forms[1:]
    )
    left = (*found.left, *others, *_rest(root, folder))
    return UseCase(**{**vars(found), "left": left})


def _folder(root: Path, path: Path, name: str | None) -> Path:
    if name is None and _is_use_case(root):
        return root
    # One use case a folder, and in some copies of the template all of them under flows/.
    places = [*root.iterdir(), *(root / "flows").glob("*")]
    found = {place.name: place for place in sorted(places) if _is_use_case(place)}
    if not found:
        what = f"{path} is no repository of the LLMOps template: no folder has {' or '.join(FORMS)}"
        raise DeployError("--from", what, "name a copy of one, or the folder of one use case")
    if name is None and len(found) > 1:
        what = f"there are several use cases: {', '.join(found)}"
        raise DeployError("--use-case", what, "name one of them")
    if name is not None and name not in found:
        raise DeployError("--use-case", f"there is no use case {name!r}", nearest(name, found))
    return found[name] if name else next(iter(found.values()))


def _rest(root: Path, folder: Path) -> list[Note]:
    """Return a note for what is in the use case's folder and is read by nobody."""
    names = sorted(path.name for path in folder.iterdir() if path.name not in READ)
    rest = [n for n in names if not fnmatch(n, experiment.OVERLAYS) and n not in FORMS]
    if not rest:
        return []
    what = f"these are not read: {', '.join(rest)}"
    then = "see what of it you need; images and pipelines are made otherwise (docs/from-llmops.md)"
    return [Note(folder.relative_to(root).as_posix(), what, then)]


def _is_use_case(folder: Path) -> bool:
    return folder.is_dir() and any(_is(folder / form) for form in FORMS)


def _is(path: Path) -> bool:
    """Tell whether the file at `path` is one of the template's: others have a config.json, too."""
    if not path.is_file() or path.name != "config.json":
        return path.is_file()
    try:
        return "envs" in json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False
