"""A flow tried on this machine: built, run, its sample scored, and taken away again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from deploy import config, console, images, pipeline
from deploy.config import Project
from deploy.errors import DeployError
from deploy.model import Flow
from deploy.runtime import connections

ENVIRONMENT = "local"
# Of tests/: a model that answers the template's flows, on a port of this machine.
STAND_IN = "tests.stand_in"


@dataclass(frozen=True)
class Trial:
    """What came of it. `seconds` are the answer's; None where the flow was built and not run."""

    flow: str
    image: str
    seconds: float | None
    stand_in: bool

    @property
    def sentence(self) -> str:
        """It in words, as Markdown."""
        if self.seconds is None:
            return f"`{self.image}` was built; not run: deploy.yaml has no environment local"
        by = " (answered by a stand-in model)" if self.stand_in else ""
        return f"`{self.image}` answered its sample in {self.seconds:.2f} s{by}"


def run(project: Project, flow: Flow) -> Trial:
    """Try `flow`. Where a variable of its connections is not set, a stand-in model answers.

    Raises `DeployError` where it fails, and before anything is done where it runs here already.
    """
    if ENVIRONMENT not in flow.environments:
        return Trial(flow.name, images.build(project, flow).reference, None, False)
    _refuse_if_it_runs(project, flow)
    lacking = bool(connections.resolve(flow.connections, project.environ).problems)
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(_model(project, flow)) if lacking else {}
        given = replace(project, environ={**project.environ, **model})
        spec = config.load_spec(given, flow.name, ENVIRONMENT)
        try:
            found = pipeline.deploy(given, spec)
            proof = pipeline.prove(spec, found)
        finally:
            pipeline.destroy(spec)
    return Trial(flow.name, f"{flow.name}:{found.tag}", proof.seconds, lacking)


def _refuse_if_it_runs(project: Project, flow: Flow) -> None:
    spec = config.load_spec(project, flow.name, ENVIRONMENT)
    if pipeline.status(spec):
        what = "it runs here already, and a trial would take it away"
        raise DeployError(spec.name, what, f"`inv destroy --flow {flow.name}` first")


@contextlib.contextmanager
def _model(project: Project, flow: Flow) -> Iterator[Mapping[str, str]]:
    """Run a stand-in model inside of the block; yield the variables that lead to it."""
    # It ends with this process, whose pipe it reads.
    command = [sys.executable, "-m", STAND_IN, "--flow", flow.name]
    with subprocess.Popen(
        command, cwd=project.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout  # noqa: S101 (both were asked for)
        try:
            line = process.stdout.readline()
            if not line:
                hint = f"set the variables of its connections, or see `python -m {STAND_IN} --help`"
                raise DeployError(flow.name, "no stand-in model could be started", hint)
            variables: dict[str, str] = json.loads(line)
            with console.about(flow.name):
                names = ", ".join(sorted(variables))
                console.note("model", f"answered by a stand-in model; not set: {names}")
            yield variables
        finally:
            process.stdin.close()
