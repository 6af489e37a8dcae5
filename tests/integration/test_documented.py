"""The commands of the pages, typed as they stand there, in a copy of this repository."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from deploy.sandbox.sandbox import Sandbox
from tests import documented, projects
from tests.integration import inv_process
from tests.integration.conftest import built

# For one command: longer than any takes on a busy machine.
SECONDS = 120


def copied(folder: Path) -> Path:
    """Copy this repository, with dev and prod on this machine's engine; registries stay Azure's.

    Where those deploy to in Azure is what `inv sandbox` does, in its own test.
    """
    projects.copy_repository(folder)
    yaml = YAML()
    places = yaml.load(folder / "environments.yaml")
    for name in ("dev", "prod"):
        places[name] = {key: places[name][key] for key in ("registry", "subscription")}
    yaml.dump(places, folder / "environments.yaml")
    declared = yaml.load(folder / "flows/faq/deploy.yaml")
    declared["environments"] = {name: {"target": "local"} for name in ("local", "dev", "prod")}
    yaml.dump(declared, folder / "flows/faq/deploy.yaml")
    return folder


def test_commands_exit_as_documented(registry_program: None, tmp_path: Path) -> None:
    """One after the other, as a person would: look, build, publish, deploy, promote, remove."""
    inv_process.prepare()
    built("faq")
    log = tmp_path / "log"
    # Its own name, so that what somebody runs from this checkout stays.
    with Sandbox(copied(tmp_path / "documented")) as world:

        def inv(line: str) -> int | None:
            words = line.split()
            process = inv_process.inv(world.root, log, *words, variables=world.environment)
            process.join(SECONDS)
            process.kill()
            process.join()
            return process.exitcode

        try:
            for step in documented.STEPS:
                status = inv(step.line)
                told = log.read_text("utf-8")
                assert status == step.status, f"inv {step.line}: {status}\n{told}"
                assert told.strip(), f"inv {step.line} says nothing"
        except BaseException:
            inv("destroy --env dev --flow faq")
            raise
        assert world.azure.problems() == []
