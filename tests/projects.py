"""Projects for the tests: small ones of a few files, and the fixture, which is a whole one.

The tool's tests read no flow and no environment of this repository: those belong to the team that
copied it. They use the fixture's, which are copies of the example flows.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from deploy.config.configuration import Project
from deploy.sandbox.sandbox import IGNORED_FILES

ROOT = Path(__file__).parents[1]
# The files that a team changes in its copy of the repository, as the tool's tests expect them.
FIXTURE = Path(__file__).parent / "fixtures/project"
# A team's files of the repository; the fixture has its own, or none.
TEAM_FOLDERS = ("flows", "tests/flows")
TEAM_FILES = ("environments.yaml", "extensions.txt", ".env", "infra/*.bicepparam")

DEPLOY = """\
sample: sample.json
expect: {answer: string}
environments:
  local: {target: local}
"""

FLOW = """\
inputs:
  question:
    type: string
outputs:
  answer:
    type: string
    reference: ${answer.output}
nodes:
- name: answer
  type: python
  source:
    type: code
    path: answer.py
  inputs:
    question: ${inputs.question}
"""

CODE = """\
from promptflow.core import tool


@tool
def answer(question: str) -> str:
    return f"you asked {question}"
"""


def make(root: Path, files: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Project:
    """Write a project with the flow `hello` below `root`, changed by `files`; return it.

    A file whose content is None is left out; a mapping becomes JSON.
    """
    every: dict[str, Any] = {
        "environments.yaml": "local: {}\n",
        "flows/hello/deploy.yaml": DEPLOY,
        "flows/hello/flow.dag.yaml": FLOW,
        "flows/hello/answer.py": CODE,
        "flows/hello/sample.json": {"question": "why?"},
        "flows/hello/requirements.txt": "promptflow-core==1.18.5\n",
        **files,
    }
    for name, content in every.items():
        if content is None:
            continue
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            content if isinstance(content, str) else json.dumps(content), encoding="utf-8"
        )
    return Project(root.resolve(), dict(environ or {}))


def copy_repository(folder: Path) -> Path:
    """Copy this repository to the new `folder`, with the fixture's files for the team's."""
    shutil.copytree(ROOT, folder, ignore=IGNORED_FILES, symlinks=True)
    for name in TEAM_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in TEAM_FILES:
        for path in folder.glob(pattern):
            path.unlink()
    shutil.copytree(FIXTURE, folder, ignore=IGNORED_FILES, dirs_exist_ok=True)
    return folder


@cache
def linked_repository() -> Path:
    """Return a repository for `inv`, to be left unchanged: the fixture's files, links to the tool."""
    folder = tempfile.mkdtemp(prefix="flow-deploy-")
    atexit.register(shutil.rmtree, folder)
    root = shutil.copytree(FIXTURE, Path(folder, "project"), ignore=IGNORED_FILES)
    for name in ("deploy", "docs", "tasks.py"):
        (root / name).symlink_to(ROOT / name)
    return root
