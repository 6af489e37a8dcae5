"""The contract of all targets (deploy/testing/target_contract.py), for each stage of stages.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.config import target_registry
from deploy.core.entities import Image
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PUSH, READER, Identity
from deploy.testing import clients, scripted_project
from deploy.testing.scripted_project import ScriptedProject
from deploy.testing.target_contract import Stage, TargetContract, answers, read_key
from tests.integration import installed_extension, scripted_flow
from tests.integration.azure_fixtures import SignIn, signed_in
from tests.integration.stages import EXTENSIONS, STAGES

# Moved from one target to another by changing one line of it.
MOVABLE = """\
sample: sample.json
expect: {answer: string}
environments:
  local: {target: local}
  dev:
    target: azureml
    auth: key
    env:
      clear: {COLOUR: blue, SERVE_WORKERS: "1"}
"""


def test_every_target_has_a_stage() -> None:
    assert set(STAGES) >= set(target_registry.BUILT_IN)


def make_deployer(azure: Azure) -> Identity:
    """Return somebody who may publish and look around, and no more until a stage gives it that."""
    roles = {scripted_flow.REGISTRY: [ACR_PUSH, READER]}
    return azure.identity("ci", subscription=[READER], **roles)


def on_stage(
    folder: Path, azure: Azure, images: tuple[Image, ...], stage: Stage
) -> ScriptedProject:
    """Return a new project that deploys there."""
    acr = azure.registry(scripted_flow.REGISTRY)
    place = {**azure.place(acr, scripted_flow.FOLDER), **stage.place}
    return scripted_project.make(folder, images, stage.settings, place, stage.variables)


@pytest.fixture(scope="class", params=STAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="class")
def deployer(name: str, azure_servers: Azure) -> Iterator[Identity]:
    """An Azure with nobody in it but who deploys. A request that it does not know fails the test."""
    azure_servers.reset()
    yield make_deployer(azure_servers)
    problems = azure_servers.problems()
    azure_servers.reset()
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="class")
def stage(
    name: str,
    azure_servers: Azure,
    deployer: Identity,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        if name in EXTENSIONS:
            folder = tmp_path_factory.mktemp("extension")
            stack.enter_context(installed_extension.installed(folder, EXTENSIONS[name]))
        yield STAGES[name](azure_servers, deployer)


@pytest.fixture(scope="class")
def dev(
    stage: Stage,
    azure_servers: Azure,
    deployer: Identity,
    scripted_images: tuple[Image, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ScriptedProject]:
    folder = tmp_path_factory.mktemp("contract")
    made = on_stage(folder, azure_servers, scripted_images, stage)
    with signed_in(azure_servers, deployer, made.project.root):
        yield made
        made.declare()
        made.destroy()


class TestContract(TargetContract):
    """The contract, for each stage."""


def test_a_flow_moves_to_another_target_by_one_line(
    azure: Azure, scripted_images: tuple[Image, ...], tmp_path: Path, sign_in: SignIn
) -> None:
    who = make_deployer(azure)
    sign_in(who)
    before, after = (STAGES[name](azure, who) for name in ("azureml", "appservice"))
    dev = on_stage(tmp_path, azure, scripted_images, before)
    dev.locate(**{**before.place, **after.place})
    dev.file.write_text(MOVABLE, encoding="utf-8")
    first = dev.deploy()
    old = clients.bearer(read_key(dev))
    assert (first.target, first.state) == ("azureml", "healthy")
    assert answers(first.url, old)

    (line,) = [line for line in MOVABLE.splitlines() if "target: azureml" in line]
    dev.file.write_text(MOVABLE.replace(line, "    target: appservice"), encoding="utf-8")
    second = dev.deploy()
    new = clients.bearer(read_key(dev))
    assert (second.target, second.state) == ("appservice", "healthy")
    assert (second.tag, second.digest) == (first.tag, first.digest)
    assert answers(second.url, new)
    # Nobody took the first one away: its callers move when they like to.
    assert answers(first.url, old)
    dev.file.write_text(MOVABLE, encoding="utf-8")
    assert dev.destroy()
    assert not answers(first.url, old)
    assert answers(second.url, new)
