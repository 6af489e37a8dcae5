"""Convert the use case's requirements.txt for this project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from deploy.core import yaml_files
from deploy.importers.llmops import unsupported
from deploy.importers.llmops.entities import File, FlowFiles, Note
from deploy.importers.llmops.source import read_text

# The versions with which flows are packed (deploy/build/pack.lock).
PROMPTFLOW_CORE = "promptflow-core==1.18.5"
PROMPTFLOW_TOOLS = "promptflow-tools==1.6.1"
# Packages for serving and for batch runs, which this project provides.
_PROVIDED_PACKAGES = re.compile(
    r"(promptflow(-(core|devkit|azure|tools|tracing|sdk|runtime))?"
    r"|azureml-(defaults|inference-server-http)|gunicorn|waitress|keyrings-alt)"
)
# "Dependency specifiers": the name, then extras, a version, an address or a marker.
_NAME = re.compile(r"^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*([\[<>=!~;@( ].*)?$")
_FILE = "requirements.txt"
_CONDA = ("conda.yml", "conda.yaml", "env.yaml")


def read_requirements(root: Path, use_case: Path, folder: Path) -> list[tuple[str, str]]:
    """Return the requirement lines of the flow in `folder`, each with its location.

    They are in the flow's own file, or in the use case's environment.
    """
    for place in (folder, use_case / "environment"):
        if (place / _FILE).is_file():
            return read_requirements_file(root, place)
    for path in (use_case / "environment" / name for name in _CONDA):
        if path.is_file():
            document = yaml_files.parse(path.relative_to(root), read_text(root, path))
            return [
                (text, document.where(keys))
                for keys, text in document.strings()
                if keys[0] == "dependencies" and "pip" in keys
            ]
    return []


def read_requirements_file(root: Path, folder: Path) -> list[tuple[str, str]]:
    """Return the lines of the requirements.txt in `folder`, each with its location."""
    path = folder / _FILE
    if not path.is_file():
        return []
    name = path.relative_to(root).as_posix()
    lines = read_text(root, path).splitlines()
    return [(line, f"{name}:{number}") for number, line in enumerate(lines, 1)]


def build_requirements_file(
    flow: FlowFiles,
    tools: bool,
    flow_lines: Sequence[tuple[str, str]],
    evaluation_lines: Sequence[tuple[str, str]],
    unsupported_notes: list[Note],
) -> File:
    """Return the requirements.txt of `flow`; append a note for each line that is left out.

    `evaluation_lines` are for evaluation flows, which run with the packages of the flow.
    """
    requirement_by_name: dict[str, str] = {}
    provided: list[tuple[str, str]] = []
    for line, where in (*flow_lines, *evaluation_lines):
        text = re.split(r"(?:^|\s)#", line)[0].strip()
        name = _NAME.match(text)
        if not text:
            continue
        if not name or "@" in text:
            # Not quoted: an option can contain the URL of an index with a password.
            what = "an option, or a package by its address: no lock can have it"
            unsupported_notes.append(
                Note(where, what, "name a package and its version in requirements.txt")
            )
            continue
        normalized_name = re.sub(r"[-_.]+", "-", name[1]).lower()
        if _PROVIDED_PACKAGES.fullmatch(normalized_name):
            provided.append((name[1], where))
        elif normalized_name not in requirement_by_name:
            requirement_by_name[normalized_name] = text
            if (line, where) in evaluation_lines:
                what = f"{name[1]} is for an evaluation flow, and the image has it, too"
                unsupported_notes.append(
                    Note(where, what, "take it out of requirements.txt if you can")
                )
    lines = [PROMPTFLOW_CORE, *requirement_by_name.values(), *([PROMPTFLOW_TOOLS] if tools else [])]
    if provided:
        names = ", ".join(dict.fromkeys(name for name, _ in provided))
        what = (
            f"{names}: {' and '.join([PROMPTFLOW_CORE, PROMPTFLOW_TOOLS][: 1 + tools])} in their "
            "place"
        )
        unsupported_notes.append(Note(provided[0][1], what, unsupported.NO_ACTION))
    origin = flow_lines[0][1].partition(":")[0] if flow_lines else flow.files[flow.entry].origin
    return File("".join(f"{line}\n" for line in lines).encode(), origin)
