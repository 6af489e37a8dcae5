"""infra/ as files: syntax by the grammar of tree-sitter, symbols by our own reading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_bicep

from deploy.infra import resource_types
from deploy.infra.resource_types import ResourceType
from deploy.targets.appservice import infrastructure as appservice
from deploy.targets.azureml import infrastructure as azureml
from tests.bicep import syntax
from tests.bicep.tokens import BicepError
from tests.projects import FIXTURE

INFRA = Path(__file__).parents[3] / "infra"
FILES = [*sorted(INFRA.rglob("*.bicep")), *sorted((FIXTURE / "infra").glob("*.bicepparam"))]
PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
# What Bicep itself knows by name; a symbol of the same name would hide it.
BUILT_IN = {"subscription", "resourceGroup", "tenant", "environment", "guid", "union", "empty"}


def broken(node: tree_sitter.Node) -> Iterator[str]:
    if node.is_error or node.is_missing:
        yield f"line {node.start_point[0] + 1}: {(node.text or b'').decode()[:40]}"
    for child in node.children:
        yield from broken(child)


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: path.relative_to(path.parents[1]).as_posix()
)
def test_syntax(path: Path) -> None:
    source = path.read_text("utf-8")
    if path.suffix == ".bicepparam":
        # The grammar has no parameter files: what they say are variables to it.
        source = re.sub(r"(?m)^param ", "var ", re.sub(r"(?m)^using .*$", "", source))
    assert list(broken(PARSER.parse(source.encode()).root_node)) == []


@pytest.mark.parametrize("source", ["resource x 'T@1' = {\n  name: \n", "var a = [1\n", "param\n"])
def test_broken_syntax_is_found(source: str) -> None:
    assert list(broken(PARSER.parse(source.encode()).root_node))


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: path.relative_to(path.parents[1]).as_posix()
)
def test_symbols(path: Path) -> None:
    file = syntax.load(path)
    assert syntax.unknown_symbols(file) == []
    if path.suffix == ".bicep":
        assert syntax.unused(file) == []
    tables = (file.imports, file.types, file.params, file.values, file.resources, file.modules)
    names = [name for table in tables for name in table]
    assert len(names) == len(set(names)), "a name is declared twice"
    assert not BUILT_IN & set(names)
    for name, source in file.imports.items():
        assert name in syntax.load(path.parent / source).types
    for module in file.modules.values():
        assert (path.parent / module.type).is_file()


def test_versions_of_the_api_are_the_same_everywhere() -> None:
    declared = {
        resource.type.partition("@")[::2]
        for path in FILES
        for resource in syntax.load(path).resources.values()
    }
    known = {
        str(kind): kind.api_version
        for module in (resource_types, azureml, appservice)
        for kind in vars(module).values()
        if isinstance(kind, ResourceType)
    }
    assert len(known) == 27
    assert dict(declared).items() >= known.items()
    assert len(declared) == len({kind for kind, _ in declared})


def test_no_parameter_default_hides_the_deployed_value() -> None:
    for path in FILES:
        for line in path.read_text("utf-8").splitlines():
            if path.suffix == ".bicep" and line.startswith("param "):
                assert "=" not in line


def test_role_assignments_are_in_the_modules_alone() -> None:
    for path in INFRA.glob("*.bicep"):
        assert "Microsoft.Authorization" not in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("resource x 'T@1' = {\n  name: 'a' b\n}\n", "x.bicep:2: this is not expected: 'b'"),
        ("var a = 'it\n", "x.bicep:1: a string does not end"),
        ("func x() string => 'a'\n", "x.bicep:1: this is not expected: 'func'"),
        ("var a = #\n", "x.bicep:1: cannot read '#\\n'"),
    ],
)
def test_unreadable_bicep_is_an_error(tmp_path: Path, source: str, said: str) -> None:
    path = tmp_path / "x.bicep"
    path.write_text(source, "utf-8")
    with pytest.raises(BicepError) as raised:
        syntax.load(path)
    assert str(raised.value) == said


def test_undeclared_symbols_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.bicep"
    text = "param a string\nvar b = [for c in d: '${c}${e}']\noutput f string = b[0]\n"
    path.write_text(text, "utf-8")
    file = syntax.load(path)
    assert syntax.unknown_symbols(file) == ["d", "e"]
    assert syntax.unused(file) == ["a"]
