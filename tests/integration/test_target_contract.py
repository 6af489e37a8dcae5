"""What every target promises (deploy/targets/protocol.py), with real containers: the same tests for all of them.

Nothing here knows a target: what one needs is its stage (stages.py).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy.config import target_registry
from deploy.core.entities import Deployment, Image
from deploy.core.errors import DeployError
from deploy.delivery import pipeline
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PUSH, READER, Identity
from deploy.sandbox.scoring_clients import Calls
from tests.integration import extension, obedient_flow, obedient_project, scoring
from tests.integration.azure_fixtures import LogIn, logged_in
from tests.integration.obedient_project import ObedientProject
from tests.integration.running import until
from tests.integration.stages import STAGES, Stage

WRONG = "another-key-of-a-test-0123456789"
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
    roles = {obedient_flow.REGISTRY: [ACR_PUSH, READER]}
    return azure.identity("ci", subscription=[READER], **roles)


def on_stage(
    folder: Path, azure: Azure, images: tuple[Image, ...], stage: Stage
) -> ObedientProject:
    """Return a new project that deploys there."""
    acr = azure.registry(obedient_flow.REGISTRY)
    place = {**azure.place(acr, obedient_flow.FOLDER), **stage.place}
    return obedient_project.make(folder, images, stage.settings, place, stage.variables)


def key(dev: ObedientProject) -> str:
    """Return the callers' key, which is all that they need."""
    ((name, value),) = dev.headers().items()
    scheme, _, found = value.partition(" ")
    assert (name, scheme) == ("Authorization", "Bearer")
    return found


def lost(calls: Calls, stage: Stage) -> list[str]:
    """Return what callers lost, but for connections that nobody took where nobody promised it."""
    return [one for one in calls.lost if stage.gapless or not one.startswith("ConnectionError(")]


def answers(url: str, headers: dict[str, str]) -> bool:
    """Whether a caller is answered there."""
    try:
        return scoring.ask(url, headers).status_code == 200
    except requests.ConnectionError:
        return False


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
    made = STAGES[name](azure_servers, deployer)
    with contextlib.ExitStack() as stack:
        if made.extension:
            folder = tmp_path_factory.mktemp("extension")
            stack.enter_context(extension.installed(folder, made.extension))
        yield made


@pytest.fixture(scope="class")
def dev(
    stage: Stage,
    azure_servers: Azure,
    deployer: Identity,
    obedient_images: tuple[Image, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ObedientProject]:
    folder = tmp_path_factory.mktemp("contract")
    made = on_stage(folder, azure_servers, obedient_images, stage)
    with logged_in(azure_servers, deployer, made.project.root):
        yield made
        made.declare()
        made.destroy()


@pytest.fixture
def blue(dev: ObedientProject) -> Deployment:
    """What runs at first, and answers blue."""
    found = dev.status()
    if found and found.state == "healthy" and dev.colour(found.url) == "blue":
        return found
    dev.declare("blue")
    return dev.deploy()


class TestContract:
    """In this order each test finds what it needs deployed by the one before; by itself it deploys that."""

    def test_a_plan_looks_a_deploy_acts_and_then_there_is_nothing_to_do(
        self, name: str, stage: Stage, dev: ObedientProject, capfd: pytest.CaptureFixture[str]
    ) -> None:
        nothing = stage.changes(dev.spec())
        assert dev.status() is None
        assert dev.plan().has_changes
        for ask in (lambda: pipeline.run_smoke_test(dev.spec()), dev.logs):
            with pytest.raises(DeployError, match="nothing is deployed"):
                ask()
        assert dev.destroy() == ()
        assert stage.changes(dev.spec()) == nothing, "nobody but a deploy changes anything"
        assert dev.status() is None

        first = dev.deploy()
        (image, _) = dev.images
        assert (first.target, first.state, first.auth) == (name, "healthy", "key")
        assert (first.tag, first.digest) == (image.tag, image.digest)
        proof = pipeline.run_smoke_test(dev.spec())
        assert (proof.url, proof.auth) == (first.url, "key")
        assert scoring.colour(json.dumps(proof.answer)) == "blue"
        assert dev.status() == first

        made = stage.changes(dev.spec())
        assert made != nothing
        assert not dev.plan().has_changes
        assert dev.deploy() == first
        with pytest.raises(DeployError):
            dev.rollback()
        assert stage.changes(dev.spec()) == made
        assert dev.status() == first
        said = "".join(capfd.readouterr())
        assert "scoring sample.json" in said
        assert key(dev) not in said

    def test_callers_with_the_key_are_let_in_and_it_is_shown_nobody(
        self, dev: ObedientProject, blue: Deployment, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for headers in ({}, scoring.bearer(WRONG)):
            assert scoring.ask(blue.url, headers).status_code == 401
        assert scoring.ask(blue.url, scoring.bearer(key(dev))).status_code == 200
        until(lambda: "score 200" in dev.logs())

        dev.declare("green")
        planned = dev.plan()
        told = [repr(planned), *(pipeline.format_step(step) for step in planned.steps)]
        told += [json.dumps(pipeline.to_dict(step)) for step in planned.steps]
        told += [repr(blue), json.dumps(pipeline.create_status_rows(blue)), dev.logs()]
        told += [repr(dev.spec()), *capfd.readouterr()]
        assert not [text for text in told if key(dev) in text]

    def test_an_update_and_the_way_back_under_callers(
        self,
        stage: Stage,
        dev: ObedientProject,
        blue: Deployment,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        with scoring.calling(blue.url, dev.headers()) as calls:
            until(lambda: bool(calls.answered))
            dev.declare("green")
            second = dev.deploy(image=1)
            until(lambda: "green" in scoring.colours(calls))
            assert (second.state, second.url) == ("healthy", blue.url)
            assert second.tag == dev.images[1].tag
            assert dev.colour(second.url) == "green"
            if stage.keeps_earlier:
                back = dev.rollback()
                assert (back.state, back.tag, back.url) == ("healthy", blue.tag, blue.url)
                assert dev.colour(back.url) == "blue"
            else:
                with pytest.raises(DeployError, match="keeps no earlier version"):
                    dev.rollback()
                assert dev.status() == second
        assert scoring.colours(calls) == ["blue", "green"]
        assert lost(calls, stage) == []
        assert key(dev) not in "".join(capfd.readouterr())

    def test_what_cannot_serve_leaves_what_serves(
        self, dev: ObedientProject, blue: Deployment, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with scoring.calling(blue.url, dev.headers()) as calls:
            dev.declare(broken="crash")
            crashed = dev.refusal(image=1)
            dev.declare(broken="mute")
            mute = dev.refusal(image=1)
        assert "the weights are missing" in crashed, "its last lines"
        assert "string expected, not an empty string" in mute
        assert calls.lost == []
        assert scoring.colours(calls) == ["blue"]
        found = dev.status()
        assert found
        assert (found.state, found.tag, found.url) == ("healthy", blue.tag, blue.url)

        dev.declare("blue")
        mended = dev.deploy(image=1)
        assert (mended.state, mended.tag) == ("healthy", dev.images[1].tag)
        assert key(dev) not in "".join([crashed, mute, *capfd.readouterr()])

    def test_what_was_deployed_is_removed(self, dev: ObedientProject, blue: Deployment) -> None:
        access = scoring.bearer(key(dev))
        removed = dev.destroy()
        assert {step.action for step in removed} >= {"remove"}
        assert dev.status() is None
        assert not answers(blue.url, access)
        assert dev.destroy() == ()
        assert dev.plan().has_changes


def test_a_flow_moves_to_another_target_by_one_line(
    azure: Azure, obedient_images: tuple[Image, ...], tmp_path: Path, log_in: LogIn
) -> None:
    who = make_deployer(azure)
    log_in(who)
    before, after = (STAGES[name](azure, who) for name in ("azureml", "appservice"))
    dev = on_stage(tmp_path, azure, obedient_images, before)
    dev.locate(**{**before.place, **after.place})
    dev.file.write_text(MOVABLE, encoding="utf-8")
    first = dev.deploy()
    old = scoring.bearer(key(dev))
    assert (first.target, first.state) == ("azureml", "healthy")
    assert answers(first.url, old)

    (line,) = [line for line in MOVABLE.splitlines() if "target: azureml" in line]
    dev.file.write_text(MOVABLE.replace(line, "    target: appservice"), encoding="utf-8")
    second = dev.deploy()
    new = scoring.bearer(key(dev))
    assert (second.target, second.state) == ("appservice", "healthy")
    assert (second.tag, second.digest) == (first.tag, first.digest)
    assert answers(second.url, new)
    # Nobody took the first one away: its callers move when they like to.
    assert answers(first.url, old)
    dev.file.write_text(MOVABLE, encoding="utf-8")
    assert dev.destroy()
    assert not answers(first.url, old)
    assert answers(second.url, new)
