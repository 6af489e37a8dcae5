"""A requirements.txt of theirs, as this project needs it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from deploy import documents
from deploy.llmops import leaving
from deploy.llmops.model import File, FlowFiles, Note
from deploy.llmops.source import read_text

# What flows are packed with (deploy/pack.lock).
CORE = "promptflow-core==1.18.5"
TOOLS = "promptflow-tools==1.6.1"
# Serving is this project's part, and so is running a batch.
_OURS = re.compile(
    r"(promptflow(-(core|devkit|azure|tools|tracing|sdk|runtime))?"
    r"|azureml-(defaults|inference-server-http)|gunicorn|waitress|keyrings-alt)"
)
# "Dependency specifiers": the name, then extras, a version, an address or a marker.
_NAME = re.compile(r"^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*([\[<>=!~;@( ].*)?$")
_FILE = "requirements.txt"
_CONDA = ("conda.yml", "conda.yaml", "env.yaml")


def read(root: Path, use_case: Path, folder: Path) -> list[tuple[str, str]]:
    """Return the lines of what the flow in `folder` needs, each with where it stands.

    The flow's own file, or that of the use case's environment.
    """
    for place in (folder, use_case / "environment"):
        if (place / _FILE).is_file():
            return own(root, place)
    for path in (use_case / "environment" / name for name in _CONDA):
        if path.is_file():
            document = documents.parse(path.relative_to(root), read_text(root, path))
            return [
                (text, document.where(keys))
                for keys, text in document.texts()
                if keys[0] == "dependencies" and "pip" in keys
            ]
    return []


def own(root: Path, folder: Path) -> list[tuple[str, str]]:
    """Return the lines of the requirements.txt in `folder`, each with where it stands."""
    path = folder / _FILE
    if not path.is_file():
        return []
    name = path.relative_to(root).as_posix()
    lines = read_text(root, path).splitlines()
    return [(line, f"{name}:{number}") for number, line in enumerate(lines, 1)]


def make(
    flow: FlowFiles,
    tools: bool,
    found: Sequence[tuple[str, str]],
    judges: Sequence[tuple[str, str]],
    left: list[Note],
) -> File:
    """Return the requirements.txt of `flow`, and note what of `found` is not in it.

    `judges` are the lines of evaluation flows, which have the packages of the flow.
    """
    kept: dict[str, str] = {}
    ours: list[tuple[str, str]] = []
    for line, where in (*found, *judges):
        text = re.split(r"(?:^|\s)#", line)[0].strip()
        name = _NAME.match(text)
        if not text:
            continue
        if not name or "@" in text:
            # An option may hold the address of an index, with a password in it.
            what = "an option, or a package by its address: no lock can have it"
            left.append(Note(where, what, "name a package and its version in requirements.txt"))
            continue
        normal = re.sub(r"[-_.]+", "-", name[1]).lower()
        if _OURS.fullmatch(normal):
            ours.append((name[1], where))
        elif normal not in kept:
            kept[normal] = text
            if (line, where) in judges:
                what = f"{name[1]} is for an evaluation flow, and the image has it, too"
                left.append(Note(where, what, "take it out of requirements.txt if you can"))
    lines = [CORE, *kept.values(), *([TOOLS] if tools else [])]
    if ours:
        names = ", ".join(dict.fromkeys(name for name, _ in ours))
        what = f"{names}: {' and '.join([CORE, TOOLS][: 1 + tools])} in their place"
        left.append(Note(ours[0][1], what, leaving.NOTHING))
    origin = found[0][1].partition(":")[0] if found else flow.files[flow.entry].origin
    return File("".join(f"{line}\n" for line in lines).encode(), origin)
