"""Every task, key, variable and error code is documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import tasks
from deploy.cli.errors import EXIT_CODE_DIFFERENT
from deploy.config import cases, deploy_file, infra_model, schema, target_registry
from deploy.server.connections import CONNECTION_TYPES
from tests import markdown_pages
from tests.documented import ROOT, pages
from tests.unit.cli.test_tasks import inv

DOCS = ROOT / "docs"
DEPLOY = ROOT / "deploy"
# The name of a variable of the environment, in the code.
VARIABLE = r"[A-Z][A-Z0-9]*_[A-Z0-9_]+"
# Names that look like variables, and are none or are set by no user.
FOREIGN = {
    *("SC_PAGE_SIZE", "SC_PHYS_PAGES", "SC_CLK_TCK"),  # of the system
    *("DAC_OVERRIDE", "NET_ADMIN", "TLS1_2"),  # of the system
    *("CERTIFICATE_VERIFY_FAILED", "SECRET_ACCESS_KEY"),  # parts of texts that are recognised
    "OTEL_EXPORTER_OTLP",  # what variables begin with
    # Set for a program that is started, and left out for one.
    *("PF_DISABLE_TRACING", "PF_HOME_DIRECTORY", "GIT_PYTHON_REFRESH", "PYTHON_KEYRING_BACKEND"),
    *("SYFT_CHECK_FOR_APP_UPDATE", "SYFT_FILE_METADATA_SELECTION", "DEBIAN_FRONTEND", "NO_COLOR"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "IDENTITY_HEADER"),
    # Where a CI system keeps its files.
    *("GITHUB_WORKSPACE", "BUILD_SOURCESDIRECTORY", "AGENT_TEMPDIRECTORY"),
}


def words_in_code(*names: str) -> set[str]:
    """Return the words within code of these pages of docs/, of all pages without a name."""
    paths = [DOCS / name for name in names] if names else pages()
    words: set[str] = set()
    for path in paths:
        page = path.read_text("utf-8")
        code = [span.text for span in markdown_pages.find_code_spans(page)]
        code += [block.text for block in markdown_pages.find_blocks(page)]
        words |= {word for text in code for word in re.findall(r"[\w.-]+", text)}
        words |= {part for word in words for part in word.split(".")}
    return words


def explained_keys(*names: str) -> set[str]:
    """Return the keys that these pages of docs/ explain: in a row of a table, or with a remark."""
    found: set[str] = set()
    for name in names:
        page = (DOCS / name).read_text("utf-8")
        lines = [line for line in page.split("\n") if line.startswith("|")]
        lines += [
            line
            for block in markdown_pages.find_blocks(page)
            if block.language == "yaml"
            for line in block.text.split("\n")
        ]
        found |= {word for line in lines for word in re.findall(r"\w+", line)}
    return found


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield every key of a model, and of the models within."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in models(field.annotation):
            yield from keys(inner)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models(part)


OWN = target_registry.built_in_targets()


@pytest.mark.parametrize("name", OWN)
def test_every_key_of_a_target_is_on_its_page(name: str) -> None:
    shared = {*schema.TargetSettings.model_fields, *schema.PlaceModel.model_fields}
    own = {*keys(OWN[name].Settings), *keys(OWN[name].Place)} - shared
    own -= {key for inner in (schema.EnvModel, infra_model.InfraModel) for key in keys(inner)}
    own -= set(keys(schema.CloudModel))
    assert sorted(own - explained_keys(f"targets/{name}.md")) == []


def test_every_key_for_all_targets_is_on_a_page() -> None:
    deploy = set(keys(deploy_file.DeployFile)) | set(keys(schema.TargetSettings))
    assert sorted(deploy - explained_keys("configuration.md", "evaluation.md")) == []
    place = set(keys(schema.PlaceModel)) - set(keys(infra_model.InfraModel))
    assert (
        sorted(place - explained_keys("configuration.md", "publishing.md", "infrastructure.md"))
        == []
    )
    assert sorted(set(keys(infra_model.InfraModel)) - explained_keys("infrastructure.md")) == []


def test_every_key_of_a_test_case_is_on_a_page() -> None:
    assert sorted(set(keys(cases.CaseModel)) - explained_keys("testing.md")) == []


@pytest.mark.parametrize("name", CONNECTION_TYPES)
def test_every_field_of_a_connection_is_in_the_table(name: str) -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    row = next((line for line in page.split("\n") if re.match(rf"\|[^|]*`{name}`", line)), "")
    message = {span.text for span in markdown_pages.find_code_spans(row)}
    assert (
        sorted({name, *keys(deploy_file.CONNECTION_MODELS[name])} - {"type", "auth", *message})
        == []
    )
    assert ("| yes |" in row) == bool(CONNECTION_TYPES[name].identity)


def test_every_target_has_its_page_and_is_named() -> None:
    assert {path.stem for path in DOCS.glob("targets/*.md")} == set(OWN)
    assert set(OWN) <= words_in_code("index.md")


def test_every_task_and_flag_is_on_the_page_of_tasks() -> None:
    words = words_in_code("reference/tasks.md")
    flags = {flag for name in tasks.namespace.task_names for flag in _flags(name)}
    assert sorted({*tasks.namespace.task_names, *flags} - words) == []


def _flags(task: str) -> list[str]:
    parameters = tasks.namespace[task].argspec(tasks.namespace[task].body).parameters
    return [f"--{name.rstrip('_').replace('_', '-')}" for name in parameters if len(name) > 1]


def strings(path: Path) -> Iterator[str]:
    """Yield the strings of a module that are no documentation."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def modules(folder: Path) -> list[Path]:
    left_out = {"shims", "stubs"}
    return [path for path in sorted(folder.rglob("*.py")) if not left_out & set(path.parts)]


def variables(paths: list[Path]) -> set[str]:
    return {text for path in paths for text in strings(path) if re.fullmatch(VARIABLE, text)}


def test_every_variable_of_the_container_is_on_a_page() -> None:
    read = variables(modules(DEPLOY / "server")) - FOREIGN
    assert {"SERVE_THREADS", "SERVE_KEY", "PF_FLOW_INIT_CONFIG"} <= read
    assert sorted(read - words_in_code("container.md", "telemetry.md", "configuration.md")) == []


def test_every_variable_of_the_tool_is_on_a_page() -> None:
    # What is read there are keys of another template's files.
    others = {"server", "llmops", "sandbox"}
    read = (
        variables([path for path in modules(DEPLOY) if not others & {*path.parts, path.stem}])
        - FOREIGN
    )
    assert {"FLOW_DEBUG", "FLOW_BASE_IMAGE", "DOCKER_HOST"} <= read
    assert sorted(read - words_in_code()) == []


def codes() -> set[str]:
    """Return the codes in the container's answers: given to what makes an answer, by its source."""
    found: set[str] = set()
    made = {"error_response": 1, "BadInput": 2, "InputRejected": 2, "FlowError": 3}
    for path in modules(DEPLOY / "server"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                at = made.get(node.func.id)
                given = node.args[at : at + 1] if at is not None else []
                given += [k.value for k in node.keywords if k.arg == "code"] if at else []
                found |= {str(c.value) for c in given if isinstance(c, ast.Constant)}
            elif isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                found |= {
                    str(value.value)
                    for key, value in pairs
                    if isinstance(key, ast.Constant)
                    and isinstance(value, ast.Constant)
                    and (key.value == "code" or isinstance(key.value, int))
                }
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                found |= _named(node)
    return found


def _named(node: ast.Assign | ast.AnnAssign) -> set[str]:
    """Return the codes of promptflow that are passed on, and the default of an error's class."""
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    name = target.id if isinstance(target, ast.Name) else ""
    if name == "_INPUT_ERRORS" and node.value:
        return set(ast.literal_eval(node.value))
    if name == "code" and isinstance(node.value, ast.Constant):
        return {str(node.value.value)}
    return set()


def test_every_code_of_an_answer_is_on_the_page_of_errors() -> None:
    found = codes()
    assert {"NotFound", "Overloaded", "WrongType", "ModelBusy", "InputTypeError"} <= found
    page = (DOCS / "reference/errors.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[A-Z]\w+`(?:, `\w+`)*) \| \d{3} \|", page, re.MULTILINE)
    message = {name for row in rows for name in re.findall(r"\w+", row)}
    assert sorted(found - message) == []
    assert sorted(message - found) == []


def test_every_module_that_raises_errors_is_in_the_table() -> None:
    page = (DOCS / "reference/errors.md").read_text("utf-8")
    message = {
        word for line in page.split("\n") for word in re.findall(r"`([\w/.]+(?:\.py|/))`", line)
    }
    raising = {
        path.relative_to(DEPLOY).parts
        for path in modules(DEPLOY)
        if re.search(r"\b(DeployError|Problem)(\.of)?\(", path.read_text("utf-8"))
    }
    own = {f"{parts[0]}/" if len(parts) > 1 else parts[0] for parts in raising}
    assert sorted(own - message) == []


@pytest.mark.parametrize("words", [("deploy", "--enviroment", "dev"), ("infra.plan",)])
def test_flag_errors_are_on_the_page_of_errors(words: tuple[str, ...]) -> None:
    done = inv(*words)
    assert done.returncode == 1
    assert f"`{done.stderr.strip()}`" in (DOCS / "reference/errors.md").read_text("utf-8")


def test_exit_codes_are_on_the_page_of_errors() -> None:
    page = (DOCS / "reference/errors.md").read_text("utf-8")
    rows = set(re.findall(r"^\| (\d+) \| (?:every|`inv)", page, re.MULTILINE))
    code = (DEPLOY / "cli/errors.py").read_text("utf-8")
    assert rows >= {"0", str(EXIT_CODE_DIFFERENT), *re.findall(r"(?:exit\(|, )(\d+)\) ", code), "1"}
    assert {"0", "1", "2", "130", "143"} == rows
