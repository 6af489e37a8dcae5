"""Small projects in a temporary folder, for tests of what users write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.config.configuration import Project

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
