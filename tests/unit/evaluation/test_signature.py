"""A flow's inputs, read from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import configuration
from deploy.core.errors import DeployError
from deploy.evaluation import signature
from deploy.evaluation.signature import FlowSignature
from tests import projects
from tests.projects import FIXTURE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("faq", FlowSignature({"question": True}, frozenset({"answer", "sources"}))),
        ("chat", FlowSignature({"question": True, "chat_history": False}, frozenset({"answer"}))),
        ("rewrite", FlowSignature({"text": True, "audience": False}, None)),
        ("extract", FlowSignature({"text": True}, None)),
    ],
)
def test_signature_of_the_repository_flows(name: str, expected: FlowSignature) -> None:
    assert (
        signature.read_signature(configuration.load_flow(configuration.open_project(FIXTURE), name))
        == expected
    )


FLEX = {
    "flows/hello/flow.dag.yaml": None,
    "flows/hello/flow.flex.yaml": "entry: judges.length:check\n",
}


def flex(tmp_path: Path, code: str) -> FlowSignature:
    files = {**FLEX, "flows/hello/judges/length.py": code}
    return signature.read_signature(
        configuration.load_flow(projects.make(tmp_path, files), "hello")
    )


@pytest.mark.parametrize(
    ("code", "inputs"),
    [
        ("def check(a, b=1, *, c, d=2): ...", {"a": True, "b": False, "c": True, "d": False}),
        ("async def check(a: str) -> dict: ...", {"a": True}),
        ("class check:\n    def __call__(self, a, b=None): ...", {"a": True, "b": False}),
        ("def check(a, **more): ...", None),
        ("from elsewhere import check", None),
        ("class check(Base): ...", None),
        ("def check(:", None),
    ],
)
def test_signature_of_functions_and_classes(
    code: str, inputs: dict[str, bool] | None, tmp_path: Path
) -> None:
    assert flex(tmp_path, code) == FlowSignature(inputs, None)


def test_signature_of_declared_inputs(tmp_path: Path) -> None:
    text = "entry: judges.length:check\ninputs:\n  a: {type: string, default: b}\n"
    files = {**FLEX, "flows/hello/flow.flex.yaml": text}
    flow = configuration.load_flow(projects.make(tmp_path, files), "hello")
    assert signature.read_signature(flow) == FlowSignature({"a": False}, None)


def test_an_entry_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flow = configuration.load_flow(projects.make(tmp_path, FLEX), "hello")
    with pytest.raises(DeployError) as caught:
        signature.read_signature(flow)
    assert str(caught.value) == (
        "flows/hello/flow.flex.yaml: the entry 'judges.length:check' does not name a function or "
        "class of a file in this folder\n  → write `entry: module:function`"
    )
