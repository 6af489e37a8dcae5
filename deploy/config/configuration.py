"""Read configuration files and environment variables into a `Spec`; no other module reads them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import kinds
from deploy.config import env_file, environments_file, rules, target_registry
from deploy.config.deploy_file import DeployFile
from deploy.config.origins import find_origins
from deploy.config.schema import PlaceModel, TargetSettings
from deploy.config.target import AnySpec
from deploy.config.validation import validate
from deploy.core import yaml_files
from deploy.core.entities import AllowedSecret, Flow, ImageSettings, PictureSources, Spec
from deploy.core.errors import DeployError, Problem, suggest_nearest
from deploy.core.yaml_files import Document, KeyPath, display_path
from deploy.server import connections

ENVIRONMENTS_FILE = "environments.yaml"
DEPLOY_FILE = "deploy.yaml"
FLOW_NAME = re.compile(r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$")


@dataclass(frozen=True)
class Project:
    """A repository, with the variables of its .env file and of the process."""

    root: Path
    # Variables of the process take precedence over those of .env.
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """The label of this checkout's resources; it is unique, so two clones do not collide."""
        return f"{self.root.name}-{hashlib.sha256(str(self.root).encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class EnvironmentDraft:
    """An environment as the files describe it; its resources may not exist yet."""

    environment: str
    place: PlaceModel
    # All keys of environments.yaml, whichever target they are for.
    place_values: Mapping[str, Any]
    # The flows that run in the environment, with their settings.
    flow_settings: tuple[tuple[Flow, TargetSettings], ...]


def open_project(root: Path) -> Project:
    """Return the project in `root`."""
    return Project(root.resolve(), {**env_file.read_env_file(root / ".env"), **os.environ})


def list_flow_names(project: Project) -> list[str]:
    """Return the names of all flows.

    These are the folders under flows/ with a deploy.yaml, and those with a flow but no deploy.yaml.
    """
    folders = sorted(path for path in (project.root / "flows").glob("*") if path.is_dir())
    return [path.name for path in folders if (path / DEPLOY_FILE).exists() or kinds.is_flow(path)]


def load_flow(project: Project, name: str) -> Flow:
    """Return the flow `name`. Raises `DeployError` with every problem in its deploy.yaml."""
    return _read_flow(project, name)[0]


def load_flows(project: Project, only: str | None = None) -> list[Flow]:
    """Return the flow `only`, or all flows. Raises `DeployError` with the problems of all."""
    names = list_flow_names(project)
    if only is not None and only not in names:
        raise DeployError(
            "--flow", f"there is no flow {only!r} under flows/", suggest_nearest(only, names)
        )
    return _collect_results(
        [lambda n=n: load_flow(project, n) for n in ([only] if only else names)]
    )


def load_specs(project: Project, environment: str, only: str | None = None) -> list[AnySpec]:
    """Return the specs of the flow `only`, or of every flow that has `environment`.

    Raises `DeployError` with every problem in every relevant file.
    """
    flow_names = [flow.name for flow in select_flows(project, environment, only)]
    return _collect_results([lambda n=n: load_spec(project, n, environment) for n in flow_names])


def select_flows(project: Project, environment: str, only: str | None) -> list[Flow]:
    """Return the flow `only`, or every flow that has `environment`.

    Raises `DeployError` if the environment or the flow does not exist, or no flow has the
    environment.
    """
    known = yaml_files.load(project.root / ENVIRONMENTS_FILE).data
    if environment not in known:
        location = f"--env {environment}"
        raise DeployError(
            location,
            f"{ENVIRONMENTS_FILE} has no such environment",
            suggest_nearest(environment, known),
        )
    flows = load_flows(project, only)
    if only and environment not in flows[0].environments:
        location = display_path(flows[0].folder / DEPLOY_FILE)
        message = f"the flow {only} has no environment {environment}"
        raise DeployError(location, message, suggest_nearest(environment, flows[0].environments))
    selected = [flow for flow in flows if environment in flow.environments]
    if not selected:
        message = "no flow has this environment"
        raise DeployError(f"--env {environment}", message, f"add it to a flow's {DEPLOY_FILE}")
    return selected


def load_spec(project: Project, name: str, environment: str) -> AnySpec:
    """Return the complete spec of the flow `name` in `environment`.

    Raises `DeployError` with every problem.
    """
    flow, document = _read_flow(project, name)
    problems: list[Problem] = []
    settings = _validate_settings(document, environment, problems)
    if settings is None:
        raise DeployError.from_problems(problems)
    place = _validate_place(project, environment, settings.target)
    variables = dict(settings.env.clear)
    secrets: set[str] = set()
    for declaration in flow.connections.values():
        for variable, is_secret in connections.list_variables(declaration).items():
            if project.environ.get(variable):
                variables[variable] = project.environ[variable]
                secrets |= {variable} if is_secret else set()
    for variable in settings.secret_names:
        secrets.add(variable)
        if project.environ.get(variable):
            variables[variable] = project.environ[variable]
    return Spec(
        project=project.name,
        flow=flow,
        environment=environment,
        target=settings.target,
        settings=settings,
        place=place,
        variables=variables,
        secrets=frozenset(secrets),
        missing=tuple(name for name in settings.secret_names if name not in variables),
        origins=find_origins(
            document,
            yaml_files.load(project.root / ENVIRONMENTS_FILE),
            environment,
            variables,
            bool(project.environ.get("FLOW_BASE_IMAGE")),
        ),
    )


def load_environment_draft(project: Project, environment: str) -> EnvironmentDraft:
    """Return `environment` as far as the files describe it, complete or not.

    A key with a variable that is not set counts as absent. Raises `DeployError` with every other
    problem.
    """
    flows = select_flows(project, environment, None)
    document = yaml_files.load(project.root / ENVIRONMENTS_FILE)
    place_values, problems = environments_file.expand_environment(
        document, project.environ, environment, partly=True
    )
    common_values = {
        key: value for key, value in place_values.items() if key in PlaceModel.model_fields
    }
    place = validate(PlaceModel, common_values, document, (environment,), problems)
    if problems or place is None:
        raise DeployError.from_problems(problems)
    flow_settings = []
    for flow in flows:
        deploy_document = yaml_files.load(flow.folder / DEPLOY_FILE)
        if settings := _validate_settings(deploy_document, environment, problems):
            flow_settings.append((flow, settings))
    return EnvironmentDraft(environment, place, place_values, tuple(flow_settings))


def _collect_results(loads: list[Any]) -> list[Any]:
    """Return the results of all `loads`; raise one error with the problems of all that fail."""
    results, problems = [], []
    for load in loads:
        try:
            results.append(load())
        except DeployError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise DeployError.from_problems(problems)
    return results


def _read_flow(project: Project, name: str) -> tuple[Flow, Document]:
    folder = project.root / "flows" / name
    document = yaml_files.load(folder / DEPLOY_FILE)
    problems = rules.find_secrets(document)
    if not FLOW_NAME.match(name):
        hint = "2 to 40 lower-case letters, digits and hyphens, a letter first"
        problems.append(Problem(display_path(folder), "this cannot be the name of a flow", hint))
    file = validate(DeployFile, document.data, document, (), problems)
    declared = document.data.get("connections")
    for connection, declaration in (declared if isinstance(declared, dict) else {}).items():
        rules.check_connection(document, connection, declaration, problems)
    environments = document.data.get("environments")
    for environment in environments if isinstance(environments, dict) else {}:
        _check_environment(project, document, environment, problems)
    kind = entry = ""
    try:
        kind, entry = kinds.detect_kind(folder)
    except DeployError as error:
        problems += error.problems
    sample = folder / (file.sample if file else "sample.json")
    if file:
        problems += rules.check_sample(document, sample)
    if problems or not file:
        raise DeployError.from_problems(problems)
    flow = Flow(
        name=name,
        folder=folder,
        kind=kind,
        entry=entry,
        sample=sample,
        expect=file.expect,
        connections=file.connections,
        init=file.init,
        image=ImageSettings(
            file.image.python,
            file.image.platform,
            file.image.base or project.environ.get("FLOW_BASE_IMAGE") or None,
            system_packages=tuple(file.image.system_packages),
            origin=display_path(document.path),
            max_size=file.image.max_bytes,
        ),
        environments={name: str(value["target"]) for name, value in file.environments.items()},
        allow_secrets=tuple(AllowedSecret(a.file, a.rule, a.reason) for a in file.allow_secrets),
        evaluation=file.evaluation.to_entity() if file.evaluation else None,
        pictures=PictureSources(tuple(file.pictures.urls), file.pictures.private),
    )
    return flow, document


def _check_environment(
    project: Project, document: Document, environment: str, problems: list[Problem]
) -> None:
    location = document.where(("environments", environment))
    try:
        known = yaml_files.load(project.root / ENVIRONMENTS_FILE).data
    except DeployError as error:
        problems += [problem for problem in error.problems if problem not in problems]
        return
    if environment not in known:
        message = f"{ENVIRONMENTS_FILE} has no environment {environment}"
        problems.append(Problem(location, message, suggest_nearest(environment, known)))
    _validate_settings(document, environment, problems)


def _validate_settings(
    document: Document, environment: str, problems: list[Problem]
) -> TargetSettings | None:
    at: KeyPath = ("environments", environment)
    data = document.data["environments"][environment]
    if not isinstance(data, dict):
        return None
    name = data.get("target")
    if not isinstance(name, str) or name not in target_registry.target_names():
        message = "the key target is missing" if name is None else f"unknown target {name!r}"
        location = document.where(at if name is None else (*at, "target"))
        problems.append(
            Problem(
                location, message, suggest_nearest(str(name or ""), target_registry.target_names())
            )
        )
        return None
    settings = validate(target_registry.get(name).Settings, data, document, at, problems)
    if settings:
        rules.check_clear_variables(document, at, settings.env.clear, problems)
    return settings


def _validate_place(project: Project, environment: str, target: str) -> Any:
    """Return the section of environments.yaml for `environment`, as the target's own type."""
    document = yaml_files.load(project.root / ENVIRONMENTS_FILE)
    values, problems = environments_file.expand_environment(document, project.environ, environment)
    model = target_registry.get(target).Place
    target_values = {key: value for key, value in values.items() if key in model.model_fields}
    place_problems: list[Problem] = []
    place = validate(model, target_values, document, (environment,), place_problems)
    # A value whose variable is not set already has a problem.
    reported = {problem.where for problem in problems}
    problems += [problem for problem in place_problems if problem.where not in reported]
    if problems:
        raise DeployError.from_problems(problems)
    return place
