"""The local Docker engine: a laptop, or a CI machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.models.containers import Container
from pydantic import Field

from deploy import engine, verify
from deploy.errors import DeployError
from deploy.model import Deployment, Image, Plan, Spec, Step
from deploy.runtime.connections import resolve
from deploy.schema import Strict, TargetSettings
from deploy.targets.base import Prove

PORT = "8080/tcp"
LABEL = "flow-deploy"
# Names while one container takes the place of another.
CANDIDATE, BEFORE = "-candidate", "-before"
# Longer than the server's own grace period (SERVE_GRACE), so that it is the server that ends the
# drain.
STOP_SECONDS = 30


class Settings(TargetSettings):
    """How a flow runs on a Docker engine.

    `port` 0 means: a free one at first, and the same from then on.
    """

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$")] = "1g"
    cpus: Annotated[float, Field(gt=0, strict=False)] | None = None
    start_timeout: Annotated[int, Field(ge=1, le=1800)] = 60


class Place(Strict):
    """Which engine: an address as in DOCKER_HOST, or the one that the docker command uses."""

    engine: str | None = None


class Local:
    """One container for a flow in an environment, found by its labels."""

    Settings = Settings
    Place = Place

    def plan(self, spec: Spec, image: Image) -> Plan:
        _require_values(spec)
        client = engine.connect(_place(spec).engine)
        with engine.explained("looking at the containers"):
            current = _find(client, spec)
            what = f"container {_name(spec)}"
            after = f"{image.reference} ({image.id[7:19]})"
            if current is None:
                return Plan(spec, image, (Step("create", what, "", after, "none is there"),))
            before = f"{current.labels.get(f'{LABEL}.tag', '?')} ({current.attrs['Image'][7:19]})"
            reasons = _differences(current, spec, image)
        if not reasons:
            return Plan(spec, image, (Step("keep", what, before, after, "it runs already"),))
        return Plan(spec, image, (Step("replace", what, before, after, ", ".join(reasons)),))

    def apply(self, plan: Plan, prove: Prove) -> Deployment:
        spec = plan.spec
        client = engine.connect(_place(spec).engine)
        with engine.explained(f"deploying {spec.name}"):
            _mend(client, spec)
            current = _find(client, spec)
            if current is None:
                self._start(client, plan, _settings(spec).port, prove)
            elif plan.changes:
                self._replace(client, plan, current, prove)
        found = self.status(spec)
        if found is None:
            raise DeployError(spec.name, "the container is gone", "look at `docker events`")
        return found

    def status(self, spec: Spec) -> Deployment | None:
        client = engine.connect(_place(spec).engine)
        with engine.explained("looking at the containers"):
            container = _find(client, spec)
            if container is None:
                return None
            url = _url(container, _place(spec).engine)
            running = container.status == "running"
            state = ("healthy" if verify.healthy(url) else "unhealthy") if running else "stopped"
            return Deployment(
                flow=spec.flow.name,
                environment=spec.environment,
                target="local",
                state=state,
                url=url,
                auth="none",
                image_id=str(container.attrs["Image"]),
                tag=container.labels.get(f"{LABEL}.tag", ""),
                commit=container.labels.get(f"{LABEL}.commit", ""),
                created=str(container.attrs["Created"]),
                name=str(container.name),
            )

    def logs(self, spec: Spec, tail: int) -> Iterator[str]:
        client = engine.connect(_place(spec).engine)
        with engine.explained("reading the log"):
            container = _find(client, spec)
            if container is None:
                raise DeployError(
                    spec.name, "nothing is deployed", f"`inv deploy --flow {spec.flow.name}`"
                )
            yield from container.logs(tail=tail).decode("utf-8", "replace").splitlines()

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        client = engine.connect(_place(spec).engine)
        steps = []
        with engine.explained(f"removing {spec.name}"):
            for container in _all(client, spec):
                container.stop(timeout=STOP_SECONDS)
                container.remove(force=True)
                steps.append(Step("remove", f"container {container.name}"))
        return tuple(steps)

    def _replace(
        self, client: docker.DockerClient, plan: Plan, current: Container, prove: Prove
    ) -> None:
        """Prove the new one on a port of its own while the old one serves.

        Then let it take the old one's place.
        """
        spec = plan.spec
        port = _settings(spec).port or _host_port(current)
        candidate = self._start(client, plan, 0, prove, suffix=CANDIDATE)
        candidate.remove(force=True)
        current.stop(timeout=STOP_SECONDS)
        current.rename(_name(spec) + BEFORE)
        try:
            self._start(client, plan, port, prove)
        except BaseException:
            current.rename(_name(spec))
            current.start()
            raise
        current.remove(force=True)

    def _start(
        self, client: docker.DockerClient, plan: Plan, port: int, prove: Prove, suffix: str = ""
    ) -> Container:
        """Start a container and prove it; remove it again where that fails."""
        spec = plan.spec
        port = _usable_port(port, _place(spec).engine)
        container = _create(client, plan, port, suffix)
        try:
            container.start()
            container.reload()
            url = _url(container, _place(spec).engine)
            seconds = _settings(spec).start_timeout
            verify.ready(url, plan.image, seconds, lambda: _why_dead(container))
            prove(url, {})
        except DeployError as error:
            # The container goes, and its log with it: what it said last must be in the message.
            raise _with_log(error, container) from None
        except BaseException:
            _remove(container)
            raise
        return container


TARGET = Local()


def _settings(spec: Spec) -> Settings:
    return cast(Settings, spec.settings)


def _place(spec: Spec) -> Place:
    return cast(Place, spec.place)


def _name(spec: Spec) -> str:
    # The project's name ends in a hash of its folder: two clones do not take each other's names.
    return f"{spec.flow.name}-{spec.environment}-{spec.project.rpartition('-')[2]}"


def _labels(spec: Spec) -> dict[str, str]:
    return {
        f"{LABEL}.project": spec.project,
        f"{LABEL}.flow": spec.flow.name,
        f"{LABEL}.environment": spec.environment,
    }


def _all(client: docker.DockerClient, spec: Spec) -> list[Container]:
    labels = [f"{key}={value}" for key, value in _labels(spec).items()]
    found: list[Container] = client.containers.list(all=True, filters={"label": labels})
    return found


def _find(client: docker.DockerClient, spec: Spec) -> Container | None:
    """Return the container that serves, or that served when a deploy was killed half-way."""
    every = {str(container.name): container for container in _all(client, spec)}
    return every.get(_name(spec)) or every.get(_name(spec) + BEFORE)


def _mend(client: docker.DockerClient, spec: Spec) -> None:
    """Put right what a deploy that was killed half-way left: one container, under its own name."""
    every = {str(container.name): container for container in _all(client, spec)}
    before = every.pop(_name(spec) + BEFORE, None)
    current = every.pop(_name(spec), None)
    if before is not None and current is None:
        before.rename(_name(spec))
    elif before is not None:
        before.remove(force=True)
    for leftover in every.values():
        leftover.remove(force=True)


def _create(client: docker.DockerClient, plan: Plan, port: int, suffix: str) -> Container:
    spec = plan.spec
    settings = _settings(spec)
    address = _place(spec).engine
    return client.containers.create(
        plan.image.id,
        name=f"{_name(spec)}{suffix}",
        environment=dict(spec.variables),
        labels={
            **_labels(spec),
            f"{LABEL}.tag": plan.image.tag,
            f"{LABEL}.commit": plan.image.commit,
        },
        ports=cast(Any, {PORT: (_bind(address), port or None)}),
        mem_limit=settings.memory,
        nano_cpus=int(settings.cpus * 1e9) if settings.cpus else None,
        read_only=True,
        tmpfs={"/tmp": "size=64m,mode=1777"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        pids_limit=1024,
        # So that a flow can reach a model server on this machine.
        extra_hosts={"host.docker.internal": "host-gateway"},
        detach=True,
    )


def _differences(container: Container, spec: Spec, image: Image) -> list[str]:
    """Return in words why `container` is not what `spec` wants."""
    settings = _settings(spec)
    host = container.attrs["HostConfig"]
    config = container.attrs["Config"]
    reasons = []
    if container.attrs["Image"] != image.id:
        reasons.append("another image")
    if container.status != "running":
        reasons.append("it does not run")
    elif not verify.healthy(_url(container, _place(spec).engine)):
        reasons.append("it is not healthy")
    if settings.port and _host_port(container) != settings.port:
        reasons.append("another port")
    if host["Memory"] != _bytes(settings.memory) or host["NanoCpus"] != int(
        (settings.cpus or 0) * 1e9
    ):
        reasons.append("other limits")
    present = dict(entry.split("=", 1) for entry in config["Env"] or [])
    own = set(present) - _image_variables(container)
    if any(present.get(k) != v for k, v in spec.variables.items()) or own - set(spec.variables):
        reasons.append("other variables")
    return reasons


def _image_variables(container: Container) -> set[str]:
    """Return the variables that the container has from its image.

    All of its own if that is gone.
    """
    try:
        image = container.image
    except docker.errors.ImageNotFound:
        image = None
    config = (image or container).attrs["Config"]
    entries = config["Env"] or []
    return {entry.split("=", 1)[0] for entry in entries}


def _bytes(memory: str) -> int:
    return int(memory[:-1]) * {"m": 2**20, "g": 2**30}[memory[-1]]


def _bind(address: str | None) -> str:
    """A port on this machine's engine is for this machine alone.

    On another machine's it must be reachable.
    """
    return "0.0.0.0" if _remote(address) else "127.0.0.1"


def _remote(address: str | None) -> str | None:
    parts = urlsplit(address or "")
    return parts.hostname if parts.scheme in ("tcp", "ssh", "http", "https") else None


def _host_port(container: Container) -> int:
    bindings = container.attrs["HostConfig"]["PortBindings"].get(PORT) or [{}]
    live = (container.attrs["NetworkSettings"]["Ports"] or {}).get(PORT) or [{}]
    return int(live[0].get("HostPort") or bindings[0].get("HostPort") or 0)


def _url(container: Container, address: str | None) -> str:
    return f"http://{_remote(address) or '127.0.0.1'}:{_host_port(container)}"


def _require_values(spec: Spec) -> None:
    """Raise where a connection lacks its variables: the container would name them too, but only
    once it is built.
    """
    problems = resolve(spec.flow.connections, spec.variables).problems
    if problems:
        raise DeployError(spec.name, "; ".join(problems), "put it into .env (see .env.example)")


def _usable_port(port: int, address: str | None) -> int:
    """Return `port` if it is free, or for 0 one that is; raise `DeployError` otherwise.

    The number is fixed here, not left to the engine, so that it survives when the container stops.
    Ports of an engine on another machine cannot be looked at from here: the engine will tell.
    """
    if _remote(address):
        return port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            what = "another program has this port"
            hint = "stop it, or set another `port` for this environment in deploy.yaml"
            raise DeployError(f"port {port}", what, hint) from None
        return int(probe.getsockname()[1])


def _with_log(error: DeployError, container: Container) -> DeployError:
    first = error.problems[0]
    tail = engine.log_tail(container, 10)
    _remove(container)
    if not tail or tail in first.what:
        return error
    return DeployError(first.where, f"{first.what}\n  its last lines:\n{tail}", first.hint)


def _remove(container: Container) -> None:
    with contextlib.suppress(docker.errors.APIError):
        container.remove(force=True)


def _why_dead(container: Container) -> str:
    container.reload()
    if container.status in ("created", "running"):
        return ""
    state = container.attrs["State"]
    memory = " (it needed more memory than its limit)" if state.get("OOMKilled") else ""
    return f"the container ended with status {state['ExitCode']}{memory}"
