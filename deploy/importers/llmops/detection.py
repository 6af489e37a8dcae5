"""Detection of use cases, and of the form in which the template describes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from deploy.core.errors import DeployError, suggest_nearest
from deploy.importers.llmops import configs, experiment
from deploy.importers.llmops.entities import Note, UseCase
from deploy.importers.llmops.source import Source, read_source

# The template's forms, the newest first ("The experiment.yaml file" and "How to setup the repo with
# Github Workflows" of microsoft/genaiops-promptflow-template, formerly llmops-promptflow-template;
# the rest by its history).
LOADERS: dict[str, Callable[[Path, Path, Source], UseCase]] = {
    "experiment.yaml": experiment.load_folder,
    "llmops_config.yaml": experiment.load_file,
    "configs/config.yaml": configs.load_file,
    "llmops_config.json": configs.load_folder,
    "config.json": configs.load_folder,
}
KNOWN_ENTRIES = {"config", "configs", "data", "flows", "sample-request.json"}


def load_use_case(path: Path, name: str | None) -> UseCase:
    """Return the use case `name` of the repository at `path`, or its only use case.

    `path` may be the use case's own folder. Raise `DeployError` if there is no such use case.
    """
    root = path.resolve()
    if not root.is_dir():
        raise DeployError("--from", f"there is no folder {path}", "name a copy of their repository")
    folder = _folder(root, path, name)
    if folder == root:
        root = root.parent
    forms = [form for form in LOADERS if _is_template_file(folder / form)]
    found = LOADERS[forms[0]](root, folder, read_source(root, folder / forms[0]))
    others = tuple(
        Note(
            (folder / form).relative_to(root).as_posix(),
            f"it was not read: {forms[0]} says the same in a newer form",
            "compare them, if they differ",
        )
        for form in forms[1:]
    )
    left = (*found.unsupported, *others, *_note_unread_files(root, folder))
    return replace(found, unsupported=left)


def _folder(root: Path, path: Path, name: str | None) -> Path:
    if name is None and _is_use_case(root):
        return root
    # Each use case has a folder; some copies of the template have them all under flows/.
    candidates = [*root.iterdir(), *(root / "flows").glob("*")]
    use_cases = {
        candidate.name: candidate for candidate in sorted(candidates) if _is_use_case(candidate)
    }
    if not use_cases:
        forms = " or ".join(LOADERS)
        what = f"{path} is not a repository of the LLMOps template: no folder has {forms}"
        raise DeployError("--from", what, "name a copy of one, or the folder of one use case")
    if name is None and len(use_cases) > 1:
        what = f"there are several use cases: {', '.join(use_cases)}"
        raise DeployError("--use-case", what, "name one of them")
    if name is not None and name not in use_cases:
        raise DeployError(
            "--use-case", f"there is no use case {name!r}", suggest_nearest(name, use_cases)
        )
    return use_cases[name] if name else next(iter(use_cases.values()))


def _note_unread_files(root: Path, folder: Path) -> list[Note]:
    """Return a note about files in the use case's folder that no importer reads."""
    names = sorted(path.name for path in folder.iterdir() if path.name not in KNOWN_ENTRIES)
    unread = [n for n in names if not fnmatch(n, experiment.OVERLAY_PATTERN) and n not in LOADERS]
    if not unread:
        return []
    what = f"these files are not imported: {', '.join(unread)}"
    then = "check whether you need them (docs/from-llmops.md)"
    return [Note(folder.relative_to(root).as_posix(), what, then)]


def _is_use_case(folder: Path) -> bool:
    return folder.is_dir() and any(_is_template_file(folder / form) for form in LOADERS)


def _is_template_file(path: Path) -> bool:
    """Return whether the file is the template's: other tools also have a config.json."""
    if not path.is_file() or path.name != "config.json":
        return path.is_file()
    try:
        return "envs" in json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False
