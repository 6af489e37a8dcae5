"""Try a flow on this machine: build it, run it, score its sample, and remove it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.core import progress
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.delivery import pipeline, resolve_image
from deploy.server import connections

ENVIRONMENT = "local"
# A model that answers the template's flows, on a port of this machine.
STAND_IN_MODULE = "deploy.sandbox.model_stand_in"


@dataclass(frozen=True)
class Trial:
    """The result of trying a flow."""

    flow: str
    image: str
    # Seconds until the answer; None if the flow was built but not run.
    seconds: float | None
    # Whether a stand-in model answered.
    stand_in: bool

    @property
    def summary(self) -> str:
        """The result as a Markdown sentence."""
        if self.seconds is None:
            return f"`{self.image}` was built but not run: deploy.yaml has no environment local"
        by = " (answered by a stand-in model)" if self.stand_in else ""
        return f"`{self.image}` answered its sample in {self.seconds:.2f} s{by}"


def run_trial(project: Project, flow: Flow) -> Trial:
    """Try `flow`; a stand-in model answers if a variable of its connections is not set.

    Raise `DeployError` if the trial fails or, before it starts, if the flow is deployed here
    already.
    """
    if ENVIRONMENT not in flow.environments:
        return Trial(flow.name, resolve_image.build_image(project, flow).reference, None, False)
    _require_not_deployed(project, flow)
    needs_stand_in = bool(connections.resolve(flow.connections, project.environ).problems)
    with contextlib.ExitStack() as stack:
        model_variables = (
            stack.enter_context(_run_stand_in_model(project, flow)) if needs_stand_in else {}
        )
        trial_project = replace(project, environ={**project.environ, **model_variables})
        spec = configuration.load_spec(trial_project, flow.name, ENVIRONMENT)
        try:
            deployment = pipeline.deploy(trial_project, spec)
            smoke_result = pipeline.run_smoke_test(spec, deployment)
        finally:
            pipeline.destroy(spec)
    return Trial(flow.name, f"{flow.name}:{deployment.tag}", smoke_result.seconds, needs_stand_in)


def _require_not_deployed(project: Project, flow: Flow) -> None:
    spec = configuration.load_spec(project, flow.name, ENVIRONMENT)
    if pipeline.status(spec):
        message = "the flow is deployed on this machine, and a trial would remove it"
        raise DeployError(spec.name, message, f"remove it first: `inv destroy --flow {flow.name}`")


@contextlib.contextmanager
def _run_stand_in_model(project: Project, flow: Flow) -> Iterator[Mapping[str, str]]:
    """Run a stand-in model inside the block; yield the variables that connect flows to it."""
    # The model ends with this process, because it reads from its pipe.
    command = [sys.executable, "-m", STAND_IN_MODULE, "--flow", flow.name]
    with subprocess.Popen(
        command, cwd=project.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout  # noqa: S101 (both were asked for)
        try:
            line = process.stdout.readline()
            if not line:
                hint = (
                    f"set the variables of its connections, or see `python -m {STAND_IN_MODULE} "
                    "--help`"
                )
                raise DeployError(flow.name, "the stand-in model did not start", hint)
            variables: dict[str, str] = json.loads(line)
            with progress.log_prefix(flow.name):
                names = ", ".join(sorted(variables))
                progress.note(
                    "model",
                    f"a stand-in model answers, because these variables are not set: {names}",
                )
            yield variables
        finally:
            process.stdin.close()
