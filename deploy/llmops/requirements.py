"""A requirements.txt of theirs, as this project needs it."""

from __future__ import annotations

import re
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
    for path in (folder / _FILE, use_case / "environment" / _FILE):
        if path.is_file():
            name = path.relative_to(root).as_posix()
            text = read_text(root, path)
            return [(line, f"{name}:{n}") for n, line in enumerate(text.splitlines(), 1)]
    for path in (use_case / "environment" / name for name in _CONDA):
        if path.is_file():
            document = documents.parse(path.relative_to(root), read_text(root, path))
            return [
                (text, document.where(keys))
                for keys, text in document.texts()
                if keys[0] == "dependencies" and "pip" in keys
            ]
    return []


def make(flow: FlowFiles, tools: bool, found: list[tuple[str, str]], left: list[Note]) -> File:
    """Return the requirements.txt of `flow`, and note what of `found` is not in it."""
    kept = [CORE]
    ours: list[tuple[str, str]] = []
    for line, where in found:
        text = re.split(r"(?:^|\s)#", line)[0].strip()
        name = _NAME.match(text)
        if not text:
            continue
        if not name or "@" in text:
            # An option may hold the address of an index, with a password in it.
            what = "an option, or a package by its address: no lock can have it"
            left.append(Note(where, what, "name a package and its version in requirements.txt"))
        elif _OURS.fullmatch(re.sub(r"[-_.]+", "-", name[1]).lower()):
            ours.append((name[1], where))
        else:
            kept.append(text)
    kept += [TOOLS] if tools else []
    if ours:
        names = ", ".join(dict.fromkeys(name for name, _ in ours))
        what = f"{names}: {' and '.join([CORE, TOOLS][: 1 + tools])} in their place"
        left.append(Note(ours[0][1], what, leaving.NOTHING))
    origin = found[0][1].partition(":")[0] if found else flow.files[flow.entry].origin
    return File("".join(f"{line}\n" for line in kept).encode(), origin)
