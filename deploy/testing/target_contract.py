"""The contract of all targets, as tests with real containers (docs/extending.md, "Prove it").

A distribution with a target of its own derives a class from `TargetContract`, in a test module of
its own, and defines the fixture `stage`. Run it with `pytest -p deploy.testing.plugin`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from deploy.cli import tables
from deploy.config.target import AnySpec
from deploy.core.entities import Deployment
from deploy.core.errors import DeployError
from deploy.delivery import pipeline
from deploy.sandbox.scoring_clients import ClientResults
from deploy.testing import clients
from deploy.testing.scripted_project import ScriptedProject
from deploy.testing.waiting import until

WRONG = "another-key-of-a-test-0123456789"


@dataclass(frozen=True)
class Stage:
    """What a target needs for its contract: a platform to deploy to, with `auth: key`."""

    # The flow's settings in deploy.yaml, `target` among them.
    settings: Mapping[str, Any]
    # Returns what was changed on the platform so far, in any form: reads leave it as it is.
    changes: Callable[[AnySpec], object]
    # The environment in environments.yaml.
    place: Mapping[str, Any] = field(default_factory=dict)
    # Environment variables of the process that deploys.
    variables: Mapping[str, str] = field(default_factory=dict)
    # Whether clients reach a version at every moment of an update.
    gapless: bool = True
    # Whether a previous version is kept for a rollback.
    keeps_earlier: bool = True


def read_key(dev: ScriptedProject) -> str:
    """Return the clients' key, which is all that a client needs."""
    ((name, value),) = dev.headers().items()
    scheme, _, key = value.partition(" ")
    assert (name, scheme) == ("Authorization", "Bearer")
    return key


def list_lost(results: ClientResults, stage: Stage) -> list[str]:
    """Return the requests that clients lost, without refused connections if `stage` has gaps."""
    return [
        lost for lost in results.lost if stage.gapless or not lost.startswith("ConnectionError(")
    ]


def answers(url: str, headers: dict[str, str]) -> bool:
    """Return whether a client is answered at `url`."""
    try:
        return clients.ask(url, headers).status_code == 200
    except requests.ConnectionError:
        return False


class TargetContract:
    """The tests that every target passes; derive a class `Test…` from it, and define `stage`.

    In this order each test uses what the one before deployed; alone, it deploys that itself.
    """

    @pytest.fixture
    def blue(self, dev: ScriptedProject) -> Deployment:
        """A running deployment that answers blue."""
        deployment = dev.status()
        if deployment and deployment.state == "healthy" and dev.colour(deployment.url) == "blue":
            return deployment
        dev.declare("blue")
        return dev.deploy()

    def test_a_plan_reads_a_deploy_writes_and_a_second_deploy_changes_nothing(
        self, stage: Stage, dev: ScriptedProject, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert stage.settings.get("auth") == "key", "the settings of a stage need `auth: key`"
        nothing = stage.changes(dev.spec())
        assert dev.status() is None
        assert dev.plan().has_changes
        for ask in (lambda: pipeline.run_smoke_test(dev.spec()), dev.logs):
            with pytest.raises(DeployError, match="nothing is deployed"):
                ask()
        assert dev.destroy() == ()
        assert stage.changes(dev.spec()) == nothing, "only a deployment changes anything"
        assert dev.status() is None

        first = dev.deploy()
        (image, _) = dev.images
        assert (first.target, first.state, first.auth) == (
            stage.settings["target"],
            "healthy",
            "key",
        )
        assert (first.tag, first.digest) == (image.tag, image.digest or "")
        proof = pipeline.run_smoke_test(dev.spec())
        assert (proof.url, proof.auth) == (first.url, "key")
        assert clients.colour(json.dumps(proof.answer)) == "blue"
        assert dev.status() == first

        made = stage.changes(dev.spec())
        assert made != nothing
        assert not dev.plan().has_changes
        assert dev.deploy() == first
        with pytest.raises(DeployError):
            dev.rollback()
        assert stage.changes(dev.spec()) == made
        assert dev.status() == first
        printed = "".join(capfd.readouterr())
        assert "scoring sample.json" in printed
        assert read_key(dev) not in printed

    def test_clients_authenticate_with_the_key_which_is_never_shown(
        self, dev: ScriptedProject, blue: Deployment, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for headers in ({}, clients.bearer(WRONG)):
            assert clients.ask(blue.url, headers).status_code == 401
        assert clients.ask(blue.url, clients.bearer(read_key(dev))).status_code == 200
        until(lambda: "score 200" in dev.logs())

        dev.declare("green")
        planned = dev.plan()
        message = [repr(planned), *(str(step) for step in planned.steps)]
        message += [json.dumps(vars(step)) for step in planned.steps]
        message += [repr(blue), json.dumps(tables.create_status_rows(blue)), dev.logs()]
        message += [repr(dev.spec()), *capfd.readouterr()]
        assert not [text for text in message if read_key(dev) in text]

    def test_update_and_rollback_under_load(
        self,
        stage: Stage,
        dev: ScriptedProject,
        blue: Deployment,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        with clients.run_clients(blue.url, dev.headers()) as calls:
            until(lambda: bool(calls.answered))
            dev.declare("green")
            second = dev.deploy(image=1)
            until(lambda: "green" in clients.colours(calls))
            assert (second.state, second.url) == ("healthy", blue.url)
            assert second.tag == dev.images[1].tag
            assert dev.colour(second.url) == "green"
            if stage.keeps_earlier:
                back = dev.rollback()
                assert (back.state, back.tag, back.url) == ("healthy", blue.tag, blue.url)
                assert dev.colour(back.url) == "blue"
            else:
                with pytest.raises(DeployError, match="keeps no previous version"):
                    dev.rollback()
                assert dev.status() == second
        assert clients.colours(calls) == ["blue", "green"]
        assert list_lost(calls, stage) == []
        assert read_key(dev) not in "".join(capfd.readouterr())

    def test_a_failed_version_leaves_the_running_one_in_place(
        self, dev: ScriptedProject, blue: Deployment, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with clients.run_clients(blue.url, dev.headers()) as calls:
            dev.declare(broken="crash")
            crashed = dev.refusal(image=1)
            dev.declare(broken="mute")
            mute = dev.refusal(image=1)
        assert "the weights are missing" in crashed, "its last lines"
        assert "string expected, not an empty string" in mute
        assert calls.lost == []
        assert clients.colours(calls) == ["blue"]
        found = dev.status()
        assert found
        assert (found.state, found.tag, found.url) == ("healthy", blue.tag, blue.url)

        dev.declare("blue")
        mended = dev.deploy(image=1)
        assert (mended.state, mended.tag) == ("healthy", dev.images[1].tag)
        assert read_key(dev) not in "".join([crashed, mute, *capfd.readouterr()])

    def test_destroy_removes_the_deployment(self, dev: ScriptedProject, blue: Deployment) -> None:
        access = clients.bearer(read_key(dev))
        removed = dev.destroy()
        assert {step.action for step in removed} >= {"remove"}
        assert dev.status() is None
        assert not answers(blue.url, access)
        assert dev.destroy() == ()
        assert dev.plan().has_changes
