"""Images of the small flows whose inputs are pictures, lists and objects, one of each kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.config import configuration
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from tests import projects
from tests.projects import FIXTURE

FLOWS = Path(__file__).parent / "flows"
DEPLOY = "sample: sample.json\nexpect: {expect}\nenvironments:\n  local: {{target: local}}\n"
CONNECTION = """\
connections:
  open_ai_connection:
    type: azure_open_ai
    api_base: AZURE_OPENAI_ENDPOINT
    api_key: AZURE_OPENAI_API_KEY
"""
SAMPLES: dict[str, Any] = {
    "album": {"pictures": [], "notes": {"a": 1}},
    "caption": {"picture": "a lake"},
    "echo": {"thing": {}, "words": []},
}
# Whose packages they have: those are there already.
PACKAGES = {"album": "faq", "caption": "rewrite", "echo": "extract"}


def build(root: Path, name: str, deploy: str = "", **changed: str) -> Image:
    """Build `name` in a project below `root`, with `deploy` added to its deploy.yaml.

    `changed` are texts to replace in the file that makes it a flow.
    """
    files: dict[str, Any] = {"flows/hello/answer.py": None, "flows/hello/flow.dag.yaml": None}
    for path in (FLOWS / name).iterdir():
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            for old, new in changed.items():
                text = text.replace(old, new)
            files[f"flows/hello/{path.name}"] = text
    for file in ("requirements.txt", "requirements.lock"):
        path = FIXTURE / "flows" / PACKAGES[name] / file
        files[f"flows/hello/{file}"] = path.read_text(encoding="utf-8")
    files["flows/hello/sample.json"] = json.dumps(SAMPLES[name])
    expect = "object" if name == "album" else "string"
    connection = "" if name == "album" else CONNECTION
    files["flows/hello/deploy.yaml"] = DEPLOY.format(expect=expect) + connection + deploy
    project = projects.make(root, files)
    return resolve_image.build_image(project, configuration.load_flow(project, "hello"))
