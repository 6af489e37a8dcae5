"""Configuration files and environment variables → `Spec`. Nothing else reads configuration."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from deploy import checks, documents, kinds, targets
from deploy.documents import Document, KeyPath, show
from deploy.errors import DeployError, Problem, nearest
from deploy.explain import origins
from deploy.model import AllowedSecret, Flow, ImageSettings, Pictures, Spec
from deploy.runtime import connections
from deploy.schema import DeployFile, PlaceModel, TargetSettings
from deploy.validation import check

ENVIRONMENTS = "environments.yaml"
DEPLOY = "deploy.yaml"
NAME = re.compile(r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$")
# Variables that the container cannot start without, or not as it was tested.
IMAGE_VARIABLES = {"PATH", "HOME", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LD_PRELOAD"}
# How the names of variables end that hold a secret.
SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CONNECTION_STRING)$")


@dataclass(frozen=True)
class Project:
    """The repository: its folder, and the variables of .env under those of the process."""

    root: Path
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """What resources of this checkout are labelled with, so that two clones do not meet."""
        return f"{self.root.name}-{hashlib.sha256(str(self.root).encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Outline:
    """An environment that may not be there yet: what the files say of it.

    `given` is all that environments.yaml says, whichever target it is for; `uses` are the flows
    that run there, with their settings.
    """

    environment: str
    place: PlaceModel
    given: Mapping[str, Any]
    uses: tuple[tuple[Flow, TargetSettings], ...]


def open_project(root: Path) -> Project:
    """Return the project in `root`."""
    return Project(root.resolve(), {**env_file(root / ".env"), **os.environ})


def env_file(path: Path) -> dict[str, str]:
    """Return the variables in .env. Raises `DeployError` for a line that is none; quotes none."""
    if not path.exists():
        return {}
    text = documents.read_text(path)
    problems = [
        Problem(f"{show(path)}:{b.original.line}", "this line cannot be read", "write NAME=value")
        for b in parse_stream(io.StringIO(text))
        if b.error
    ]
    if problems:
        raise DeployError.of(problems)
    values = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in values.items() if value is not None}


def flow_names(project: Project) -> list[str]:
    """Return the names of all flows: folders under flows/ with a deploy.yaml, or that lack one."""
    folders = sorted(path for path in (project.root / "flows").glob("*") if path.is_dir())
    return [path.name for path in folders if (path / DEPLOY).exists() or kinds.is_flow(path)]


def load_flow(project: Project, name: str) -> Flow:
    """Return the flow `name`. Raises `DeployError` with every problem in its deploy.yaml."""
    return _flow(project, name)[0]


def load_flows(project: Project, only: str | None = None) -> list[Flow]:
    """Return the flow `only`, or all. Raises `DeployError` with the problems of all."""
    names = flow_names(project)
    if only is not None and only not in names:
        raise DeployError("--flow", f"there is no flow {only!r} under flows/", nearest(only, names))
    return _collect([lambda n=n: load_flow(project, n) for n in ([only] if only else names)])


def load_specs(project: Project, environment: str, only: str | None = None) -> list[Spec]:
    """Return the specs of the flow `only`, or of every flow that has `environment`.

    Raises `DeployError` with every problem in every file that matters.
    """
    chosen = [flow.name for flow in flows_in(project, environment, only)]
    return _collect([lambda n=n: load_spec(project, n, environment) for n in chosen])


def flows_in(project: Project, environment: str, only: str | None) -> list[Flow]:
    """Return the flow `only`, or every flow that has `environment`. Raises `DeployError`."""
    known = documents.load(project.root / ENVIRONMENTS).data
    if environment not in known:
        where = f"--env {environment}"
        raise DeployError(
            where, f"{ENVIRONMENTS} has no such environment", nearest(environment, known)
        )
    flows = load_flows(project, only)
    if only and environment not in flows[0].environments:
        where = show(flows[0].folder / DEPLOY)
        what = f"the flow {only} has no environment {environment}"
        raise DeployError(where, what, nearest(environment, flows[0].environments))
    chosen = [flow for flow in flows if environment in flow.environments]
    if not chosen:
        what = "no flow has this environment"
        raise DeployError(f"--env {environment}", what, f"add it to a flow's {DEPLOY}")
    return chosen


def load_spec(project: Project, name: str, environment: str) -> Spec:
    """Return the flow `name` in `environment`, complete.

    Raises `DeployError` with every problem.
    """
    flow, document = _flow(project, name)
    settings: TargetSettings = _settings(document, environment, [])  # type: ignore[assignment]
    place = _place(project, environment, settings.target)
    variables = dict(settings.env.clear)
    hidden: set[str] = set()
    for declaration in flow.connections.values():
        for variable, secret in connections.variables(declaration).items():
            if project.environ.get(variable):
                variables[variable] = project.environ[variable]
                hidden |= {variable} if secret else set()
    for variable in settings.secret_names:
        hidden.add(variable)
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
        secrets=frozenset(hidden),
        missing=tuple(name for name in settings.secret_names if name not in variables),
        origins=origins(
            document,
            documents.load(project.root / ENVIRONMENTS),
            environment,
            variables,
            bool(project.environ.get("FLOW_BASE_IMAGE")),
        ),
    )


def load_outline(project: Project, environment: str) -> Outline:
    """Return `environment` as far as the files describe it, complete or not.

    What names a variable that is not set counts as not said. Raises `DeployError` with every other
    problem.
    """
    flows = flows_in(project, environment, None)
    document, given, problems = _filled(project, environment, partly=True)
    own = {key: value for key, value in given.items() if key in PlaceModel.model_fields}
    place = check(PlaceModel, own, document, (environment,), problems)
    if problems or place is None:
        raise DeployError.of(problems)
    uses = []
    for flow in flows:
        declared = documents.load(flow.folder / DEPLOY)
        uses.append((flow, _settings(declared, environment, problems)))
    return Outline(environment, place, given, tuple(uses))  # type: ignore[arg-type]


def _collect(loads: list[Any]) -> list[Any]:
    """Call each of `loads`; raise one error with the problems of all that fail."""
    results, problems = [], []
    for load in loads:
        try:
            results.append(load())
        except DeployError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise DeployError.of(problems)
    return results


def _flow(project: Project, name: str) -> tuple[Flow, Document]:
    folder = project.root / "flows" / name
    document = documents.load(folder / DEPLOY)
    problems = checks.secrets_in(document)
    if not NAME.match(name):
        hint = "2 to 40 lower-case letters, digits and hyphens, a letter first"
        problems.append(Problem(show(folder), "this cannot be the name of a flow", hint))
    file = check(DeployFile, document.data, document, (), problems)
    declared = document.data.get("connections")
    for connection, declaration in (declared if isinstance(declared, dict) else {}).items():
        checks.connection(document, connection, declaration, problems)
    environments = document.data.get("environments")
    for environment in environments if isinstance(environments, dict) else {}:
        _check_environment(project, document, environment, problems)
    kind = entry = ""
    try:
        kind, entry = kinds.detect(folder)
    except DeployError as error:
        problems += error.problems
    sample = folder / (file.sample if file else "sample.json")
    if file:
        problems += checks.sample(document, sample)
    if problems or not file:
        raise DeployError.of(problems)
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
            origin=show(document.path),
            max_size=file.image.max_bytes,
        ),
        environments={name: str(value["target"]) for name, value in file.environments.items()},
        allow_secrets=tuple(AllowedSecret(a.file, a.rule, a.reason) for a in file.allow_secrets),
        evaluation=file.evaluation,
        pictures=Pictures(tuple(file.pictures.urls), file.pictures.private),
    )
    return flow, document


def _check_environment(
    project: Project, document: Document, environment: str, problems: list[Problem]
) -> None:
    where = document.where(("environments", environment))
    try:
        known = documents.load(project.root / ENVIRONMENTS).data
    except DeployError as error:
        problems += [problem for problem in error.problems if problem not in problems]
        return
    if environment not in known:
        what = f"{ENVIRONMENTS} has no environment {environment}"
        problems.append(Problem(where, what, nearest(environment, known)))
    _settings(document, environment, problems)


def _settings(
    document: Document, environment: str, problems: list[Problem]
) -> TargetSettings | None:
    at: KeyPath = ("environments", environment)
    data = document.data["environments"][environment]
    if not isinstance(data, dict):
        return None
    name = data.get("target")
    if not isinstance(name, str) or name not in targets.names():
        what = "the key target is missing" if name is None else f"unknown target {name!r}"
        where = document.where(at if name is None else (*at, "target"))
        problems.append(Problem(where, what, nearest(str(name or ""), targets.names())))
        return None
    settings = check(targets.get(name).Settings, data, document, at, problems)
    for variable in settings.env.clear if settings else ():
        where = document.where((*at, "env", "clear", variable))
        if variable in IMAGE_VARIABLES:
            problems.append(Problem(where, "the image sets this itself", "leave it out"))
        if SECRET_NAME.search(variable):
            hint = "put the value into .env, and the name under env.secret"
            problems.append(
                Problem(where, "this is the name of a secret; it may not be written here", hint)
            )
    return settings


def _place(project: Project, environment: str, target: str) -> Any:
    """Return what environments.yaml says of `environment`, as the target's own type."""
    document, filled, problems = _filled(project, environment)
    model = targets.get(target).Place
    own = {key: value for key, value in filled.items() if key in model.model_fields}
    found: list[Problem] = []
    place = check(model, own, document, (environment,), found)
    # What is wrong with a value that lacks its variable is no news.
    told = {problem.where for problem in problems}
    problems += [problem for problem in found if problem.where not in told]
    if problems:
        raise DeployError.of(problems)
    return place


def _filled(
    project: Project, environment: str, partly: bool = False
) -> tuple[Document, dict[str, Any], list[Problem]]:
    """Return what environments.yaml says of `environment`, its variables filled in.

    With the file, and the problems that every reader of it has. With `partly`, a key whose
    variables are not set is left out.
    """
    document = documents.load(project.root / ENVIRONMENTS)
    problems = checks.secrets_in(document)
    data = document.data[environment] or {}
    if not isinstance(data, dict):
        raise DeployError(document.where((environment,)), "a mapping is expected")
    filled = {}
    for key, value in data.items():
        unset: list[Problem] = []
        whole = _fill(project, document, (environment, key), value, unset)
        if not (unset and partly):
            filled[key] = whole
            problems += unset
    every = {name: found.Place for name, found in targets.every().items()}
    for key in data:
        # An environment serves flows with different targets: a key that any of them knows may stand
        # here.
        if not any(key in place.model_fields for place in every.values()):
            choices = sorted({name for place in every.values() for name in place.model_fields})
            problems.append(
                Problem(document.where((environment, key)), "unknown key", nearest(key, choices))
            )
    return document, filled, problems


def filled_in(project: Project, value: Any) -> Any:
    """Return `value` of environments.yaml, its variables filled in; those not set are empty."""
    if not isinstance(value, str):
        return value
    return re.sub(r"\$\{(\w+)\}", lambda found: project.environ.get(found[1], ""), value)


def _fill(
    project: Project, document: Document, at: KeyPath, value: Any, problems: list[Problem]
) -> Any:
    """Replace ${VAR} in texts by the variable's value; a variable that is not set is a problem."""
    if isinstance(value, dict):
        return {k: _fill(project, document, (*at, k), v, problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(project, document, (*at, i), v, problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    for variable in re.findall(r"\$\{(\w+)\}", value):
        text = project.environ.get(variable)
        if not text:
            what = f"the variable {variable} is not set"
            problems.append(Problem(document.where(at), what, "set it, or put it into .env"))
        value = value.replace(f"${{{variable}}}", text or "")
    return value
