"""The test cases of a flow: reading tests/cases.yaml, and comparing answers with the cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.config import cases, configuration, json_schema, target_registry
from deploy.config.cases import Case
from deploy.config.configuration import Project
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.targets import verification
from tests import flow_service, projects

CASES = """\
sample:
  model: "An answer."
a short question:
  inputs: {question: "why?"}
  expect: string
  equals: {answer: because}
"""
CASES_FILE = f"flows/hello/{cases.CASES_FILE}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return projects.make(tmp_path, {})


def hello(project: Project, text: str | None = None) -> Flow:
    projects.make(project.root, {CASES_FILE: text})
    return configuration.load_flow(project, "hello")


def test_a_flow_without_cases_has_its_sample(project: Project) -> None:
    source = "flows/hello/sample.json"
    assert cases.load_cases(hello(project)) == [
        Case("sample", source, {"question": "why?"}, {"answer": "string"}, {}, None)
    ]


def test_cases_come_after_the_sample_and_may_say_more_about_it(project: Project) -> None:
    sample, short = cases.load_cases(hello(project, CASES))
    assert (sample.name, sample.inputs, sample.model) == (
        "sample",
        {"question": "why?"},
        "An answer.",
    )
    assert short == Case(
        "a short question",
        f"{CASES_FILE}: a short question",
        {"question": "why?"},
        "string",
        {"answer": "because"},
        None,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {input: {}}\n", f"{CASES_FILE}:1: a.input: unknown key\n  → did you mean inputs?"),
        (
            "a: {expect: {answer: text}}\n",
            f"{CASES_FILE}:1: a.expect.answer: this is not one of the known values\n"
            "  → known: string, integer, number, boolean, list, object",
        ),
        ("[]\n", f"{CASES_FILE}:1: a mapping of keys and values is expected, this is a list\n"),
    ],
)
def test_mistakes_in_cases_name_their_line(text: str, message: str, project: Project) -> None:
    with pytest.raises(DeployError) as raised:
        cases.load_cases(hello(project, text))
    assert str(raised.value).startswith(message)


def test_the_schema_accepts_what_the_tool_accepts() -> None:
    import jsonschema
    from ruamel.yaml import YAML

    schema = json_schema.build_schemas(target_registry.built_in_targets())["docs/schema/cases.json"]
    jsonschema.validate(YAML(typ="safe").load(CASES), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"a": {"input": {}}}, schema)


@pytest.mark.parametrize(
    ("answer", "differences"),
    [
        ({"answer": "because", "more": 1}, []),
        ({"answer": "no"}, ['answer: "because" expected, not "no"']),
        ({}, ['answer: "because" expected, not null']),
        ("because", ['answer: "because" expected, not null']),
    ],
)
def test_values_of_an_answer(answer: Any, differences: list[str]) -> None:
    assert verification.find_differences(answer, {"answer": "because"}) == differences


def test_an_empty_folder_of_flows_is_a_skip_with_its_reason(tmp_path: Path) -> None:
    (parameters,) = flow_service.list_parameters(Project(tmp_path, {}), [])
    (mark,) = parameters.marks
    assert (mark.name, mark.kwargs) == ("skip", {"reason": "there is no flow in flows/"})


def test_each_case_of_each_chosen_flow_is_a_test(project: Project) -> None:
    declared = projects.DEPLOY + "connections: {m: {type: open_ai, api_key: MY_KEY}}\n"
    other = {
        name.replace("hello", "other"): text
        for name, text in {
            "flows/hello/deploy.yaml": declared,
            "flows/hello/flow.dag.yaml": projects.FLOW,
            "flows/hello/sample.json": {},
        }.items()
    }
    projects.make(project.root, {**other, CASES_FILE: CASES})

    def ids(*chosen: str) -> list[str]:
        return [str(each.id) for each in flow_service.list_parameters(project, chosen)]

    assert ids() == [
        "hello: sample",
        "hello: a short question",
        "other: sample (stand-in model)",
    ]
    assert ids("other") == ["other: sample (stand-in model)"]


def test_a_flow_that_cannot_be_read_is_a_failing_test(project: Project) -> None:
    projects.make(project.root, {CASES_FILE: "a: {input: {}}\n"})
    (parameters,) = flow_service.list_parameters(project, [])
    name, error = parameters.values
    assert name == "hello"
    assert str(error).startswith(f"{CASES_FILE}:1: a.input: unknown key")
