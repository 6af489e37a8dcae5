"""Read the test cases of a flow: its sample, and flows/‹flow›/tests/cases.yaml."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from deploy.config.deploy_file import ExpectedOutput
from deploy.config.strict_model import StrictModel
from deploy.config.validation import validate
from deploy.core import yaml_files
from deploy.core.entities import Flow
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import display_path

CASES_FILE = "tests/cases.yaml"
# The case that every flow has; the file can say more about it.
SAMPLE = "sample"


class CaseModel(StrictModel):
    """A request and its expected answer."""

    inputs: dict[str, Any] | None = Field(
        None, description="The flow's inputs (default: those of its sample)."
    )
    expect: ExpectedOutput | None = Field(
        None, description="The shape of the answer (default: `expect` of deploy.yaml)."
    )
    equals: dict[str, Any] = Field(
        {}, description="Outputs that must have exactly these values, by name."
    )
    model: str | None = Field(
        None, description="What a stand-in model answers; a real model is not affected."
    )


@dataclass(frozen=True)
class Case:
    """A request to a flow and its expected answer."""

    name: str
    # The file that the inputs come from.
    source: str
    inputs: Any
    expect: Any
    equals: dict[str, Any]
    # The answer of a stand-in model; None for its own.
    model: str | None


def cases_schema() -> dict[str, Any]:
    """Return the JSON Schema of tests/cases.yaml: a case by its name."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": CASES_FILE,
        "type": "object",
        "additionalProperties": CaseModel.model_json_schema(),
    }


def load_cases(flow: Flow) -> list[Case]:
    """Return the sample of `flow` as a case, and the cases of its file.

    Raise `DeployError` with every problem in the file.
    """
    path = flow.folder / CASES_FILE
    models = {SAMPLE: CaseModel()}
    if path.is_file():
        document = yaml_files.load(path)
        problems: list[Problem] = []
        for name, data in document.data.items():
            model = validate(CaseModel, data, document, (name,), problems)
            if model:
                models[name] = model
        if problems:
            raise DeployError.from_problems(problems)
    sample = json.loads(flow.sample.read_text(encoding="utf-8"))
    return [
        Case(
            name,
            display_path(flow.sample) if model.inputs is None else f"{display_path(path)}: {name}",
            sample if model.inputs is None else model.inputs,
            flow.expect if model.expect is None else model.expect,
            model.equals,
            model.model,
        )
        for name, model in models.items()
    ]
