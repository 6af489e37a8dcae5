"""A flow of a project as a service on this machine, for the tests of flows in tests/flows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from testcontainers.core.container import DockerContainer

from deploy.config import cases, configuration
from deploy.config.cases import Case
from deploy.config.configuration import Project
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.delivery import resolve_image, trial
from deploy.docker import engine
from deploy.sandbox import model_server, model_stand_in
from deploy.sandbox.model_server import ModelServer
from deploy.server import connections
from deploy.targets import verification
from tests import containers

START_SECONDS = 120


@dataclass(frozen=True)
class Service:
    """A flow's running container."""

    flow: Flow
    container: DockerContainer
    url: str
    headers: dict[str, str]
    # The model that answers the flow; None if its connections lead to a real one.
    model: ModelServer | None

    def find_problems(self, case: Case) -> list[str]:
        """Score a case; return how the answer differs from what the case expects.

        Raise `DeployError` if there is no answer.
        """
        if self.model:
            self.model.answer = case.model
        try:
            answer = verification.score(self.url, case.inputs, case.source, self.headers)
        except DeployError as error:
            log = engine.log_tail(self.container.get_wrapped_container(), 10)
            raise error.with_lines(log.splitlines()) from None
        problems = verification.find_mismatches(answer, case.expect)
        return problems or verification.find_differences(answer, case.equals)


@contextlib.contextmanager
def run(project: Project, name: str) -> Iterator[Service]:
    """Build a flow's image, and run it until the block ends. Raise `DeployError`."""
    flow = configuration.load_flow(project, name)
    image = resolve_image.build_image(project, flow)
    with contextlib.ExitStack() as stack:
        model = None
        if needs_stand_in(project, flow):
            model = stack.enter_context(model_server.serve())
            values = model_stand_in.build_connection_variables(flow, model)
            project = replace(project, environ={**project.environ, **values})
        variables = _read_variables(project, flow)
        container = containers.create(image, variables)
        stack.callback(container.stop)
        container.start()
        url = containers.wait_until_ready(container, image, variables, START_SECONDS)
        yield Service(flow, container, url, containers.authorization(variables), model)


def needs_stand_in(project: Project, flow: Flow) -> bool:
    """Return whether a variable of the flow's connections is not set."""
    return bool(connections.resolve(flow.connections, project.environ).problems)


def list_parameters(project: Project, chosen: Sequence[str]) -> list[Any]:
    """Return a pytest parameter set for each case of each flow, or of the `chosen` flows.

    Its values are the name of the flow and the case, or the error of a flow that cannot be read.
    """
    names = [
        name for name in configuration.list_flow_names(project) if name in chosen or not chosen
    ]
    if not names:
        reason = f"no flow {', '.join(chosen)}" if chosen else "there is no flow in flows/"
        return [pytest.param("", None, id="no flow", marks=pytest.mark.skip(reason=reason))]
    return [parameters for name in names for parameters in _list_flow_parameters(project, name)]


def _list_flow_parameters(project: Project, name: str) -> list[Any]:
    try:
        flow = configuration.load_flow(project, name)
        note = " (stand-in model)" if needs_stand_in(project, flow) else ""
        return [
            pytest.param(name, case, id=f"{name}: {case.name}{note}")
            for case in cases.load_cases(flow)
        ]
    except DeployError as error:
        return [pytest.param(name, error, id=name)]


def _read_variables(project: Project, flow: Flow) -> dict[str, str]:
    """Return a container's variables: those of the environment local, or of the connections."""
    if trial.ENVIRONMENT in flow.environments:
        spec = configuration.load_spec(project, flow.name, trial.ENVIRONMENT)
        if spec.missing:
            raise DeployError(spec.name, f"set {', '.join(spec.missing)}", "in .env (env.secret)")
        return dict(spec.variables)
    names = {
        name
        for declaration in flow.connections.values()
        for name in connections.list_variables(declaration)
    }
    return {name: value for name, value in project.environ.items() if name in names}
