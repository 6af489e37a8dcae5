"""The repository as a whole: locks with hashes, schemas that fit, nothing that does not belong."""

from __future__ import annotations

import filecmp
import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from deploy.build import lock_files
from deploy.config import configuration, json_schema, target_registry
from deploy.server import connections
from tests.projects import FIXTURE

ROOT = Path(__file__).parents[2]
FLOWS = sorted(path.parent.name for path in (FIXTURE / "flows").glob("*/deploy.yaml"))
LOCKS = [
    *sorted(FIXTURE.glob("flows/*/requirements.lock")),
    ROOT / "requirements.lock",
    lock_files.PACK_LOCK,
]


def tracked() -> list[Path]:
    """Return the tool's files in git: what a team adds is its own."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [name for name in done.stdout.split("\0") if name]
    return [ROOT / name for name in names if not name.startswith(("flows/", "tests/flows/"))]


def test_there_are_flows_of_every_kind() -> None:
    flows = configuration.load_flows(configuration.open_project(FIXTURE))
    assert {flow.kind for flow in flows} == {"dag", "flex", "prompty"}
    assert [flow.name for flow in flows] == FLOWS


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_locked_package_has_hashes_and_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    packages = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(packages) > 10
    for package in packages:
        assert re.match(r"^[A-Za-z0-9._-]+==\S+", package)
        assert "--hash=sha256:" in package


@pytest.mark.parametrize("name", FLOWS)
def test_locks_of_flows_are_up_to_date(name: str) -> None:
    flow = configuration.load_flow(configuration.open_project(FIXTURE), name)
    assert "promptflow-core==" in lock_files.read(flow)
    # The devkit brings pandas and more, which serving never uses.
    assert "promptflow-devkit" not in lock_files.read(flow)


def test_published_schemas_are_what_the_models_say() -> None:
    for name, schema in json_schema.build_schemas(target_registry.built_in_targets()).items():
        assert json.loads((ROOT / name).read_text(encoding="utf-8")) == schema, "run `inv schema`"
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", FLOWS)
def test_schema_accepts_the_flows(name: str) -> None:
    data = YAML(typ="safe").load(
        (FIXTURE / f"flows/{name}/deploy.yaml").read_text(encoding="utf-8")
    )
    jsonschema.validate(
        data,
        json_schema.build_schemas(target_registry.built_in_targets())["docs/schema/deploy.json"],
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"conections": {}},
        {"connections": {"a": {"type": "openai", "api_key": "KEY"}}},
        {"connections": {"a": {"type": "open_ai", "api_key": "sk-abc"}}},
        {"environments": {"local": {"target": "nowhere"}}},
        {"environments": {"local": {"target": "local", "port": "80"}}},
        {"image": {"python": 3.11}},
        {"allow_secrets": [{"file": "a", "rule": "an OpenAI key"}]},
        {"allow_secrets": [{"file": "a", "rule": "an OpenAI kex", "reason": "b"}]},
        {"allow_secrets": [{"file": "a", "rule": "an OpenAI key", "reason": " "}]},
    ],
)
def test_schema_refuses_what_the_tool_refuses(wrong: dict[str, object]) -> None:
    data = {"environments": {"local": {"target": "local"}}, **wrong}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            data,
            json_schema.build_schemas(target_registry.built_in_targets())[
                "docs/schema/deploy.json"
            ],
        )


def test_nothing_names_an_index_or_a_folder_of_one_machine() -> None:
    pattern = re.compile(
        r"//[^/ ]*(pypi|pythonhosted|npmjs|debian)[.]|/(home|Users|root)/(?!nonroot)\w",
        re.IGNORECASE,
    )
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        if path != Path(__file__) and pattern.search(text):
            found.append(path.relative_to(ROOT).as_posix())
    assert found == []


def test_example_of_env_names_every_variable_of_the_flows() -> None:
    example = (FIXTURE / ".env.example").read_text(encoding="utf-8")
    for flow in configuration.load_flows(configuration.open_project(FIXTURE)):
        for declaration in flow.connections.values():
            for variable in connections.list_variables(declaration):
                assert f"{variable}=" in example


@pytest.mark.slow  # only for changes of the tool: a team may change its copies of the examples
def test_examples_are_those_of_the_fixture() -> None:
    """The tests read the fixture, and pages show the examples: both have the same content."""
    if not filecmp.cmp(ROOT / "environments.yaml", FIXTURE / "environments.yaml", shallow=False):
        pytest.skip("a team's copy: it has environments of its own")
    names = [path.relative_to(FIXTURE) for path in tracked() if path.is_relative_to(FIXTURE)]
    there = [name for name in names if (ROOT / name).is_file()]
    _, differ, _ = filecmp.cmpfiles(ROOT, FIXTURE, there, shallow=False)
    assert differ == [], "copy the change to tests/fixtures/project, or from there"
