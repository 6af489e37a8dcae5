"""Trials of images in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.config.target import AnySpec
from deploy.core.errors import DeployError
from deploy.delivery import pipeline, trial
from tests import projects


@pytest.mark.parametrize(
    ("seconds", "by_stand_in", "sentence"),
    [
        (None, False, "`a:1` was built but not run: deploy.yaml has no environment local"),
        (0.256, False, "`a:1` answered its sample in 0.26 s"),
        (0.256, True, "`a:1` answered its sample in 0.26 s (answered by a stand-in model)"),
    ],
)
def test_a_trial_as_text(seconds: float | None, by_stand_in: bool, sentence: str) -> None:
    assert trial.Trial("a", "a:1", seconds, by_stand_in).summary == sentence


def test_a_trial_keeps_running_deployments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = projects.make(tmp_path, {})
    monkeypatch.setattr(pipeline, "status", lambda spec: spec)
    with pytest.raises(DeployError) as raised:
        trial.run_trial(made, configuration.load_flow(made, "hello"))
    assert str(raised.value) == (
        "hello in local: the flow is deployed on this machine, and a trial would remove it\n"
        "  → remove it first: `inv destroy --flow hello`"
    )


def test_a_trial_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = projects.make(tmp_path, {})
    removed: list[str] = []

    def fail(project: Project, spec: AnySpec) -> None:
        raise DeployError(spec.name, "it does not start")

    monkeypatch.setattr(pipeline, "status", lambda spec: None)
    monkeypatch.setattr(pipeline, "deploy", fail)
    monkeypatch.setattr(pipeline, "destroy", lambda spec: removed.append(spec.name))
    with pytest.raises(DeployError, match=r"^hello in local: it does not start$"):
        trial.run_trial(made, configuration.load_flow(made, "hello"))
    assert removed == ["hello in local"]
