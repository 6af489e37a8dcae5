"""The local Docker engine: a laptop, or a CI machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import docker
import docker.errors
from docker.models.containers import Container

from deploy import console, verify
from deploy.docker import engine
from deploy.errors import DeployError, Problem
from deploy.model import Deployment, Image, Plan, Spec, Step
from deploy.registry import pull, remote
from deploy.runtime.access import KEY
from deploy.runtime.connections import resolve
from deploy.targets import local_container as shape
from deploy.targets.base import Prove

# Names while one container takes the place of another.
CANDIDATE, BEFORE = "-candidate", "-before"
# Longer than the server's own grace period (SERVE_GRACE), so that it is the server that ends the
# drain.
STOP_SECONDS = 30
# For one that has failed, and serves nobody.
FAILED_STOP_SECONDS = 3


class Local:
    """One container for a flow in an environment, found by its labels."""

    Settings = shape.Settings
    Place = shape.Place

    def engine(self, spec: Spec) -> str | None:
        return _address(spec)

    def check(self, spec: Spec) -> None:
        # The container would name them too, but only once it is built.
        missing = [f"set {name} (env.secret)" for name in spec.missing]
        missing += resolve(spec.flow.connections, spec.variables).problems
        if missing:
            raise DeployError(spec.name, "; ".join(missing), "in .env (see .env.example)")
        shape.exposure(spec)

    def plan(self, spec: Spec, image: Image) -> Plan:
        exposure = shape.exposure(spec)
        notes = (Step("note", "note", "", "", exposure),) if exposure else ()
        client = _client(spec)
        with engine.explained("looking at the containers"):
            current = _find(client, spec)
            what = f"container {shape.name_of(spec)}"
            after = f"{image.reference} ({image.id[7:19]})"
            if current is None:
                return Plan(spec, image, (Step("create", what, "", after, "none is there"), *notes))
            tag = current.labels.get(f"{shape.LABEL}.tag", "?")
            before = f"{spec.flow.name}:{tag} ({current.attrs['Image'][7:19]})"
            reasons = shape.differences(current, spec, image)
        if not reasons:
            return Plan(spec, image, (Step("keep", what, before, after, "it runs already"), *notes))
        replaced = Step("replace", what, before, after, ", ".join(reasons))
        return Plan(spec, image, (replaced, *notes))

    def apply(self, plan: Plan, prove: Prove, wait: bool = True) -> Deployment:
        spec = plan.spec
        client = _client(spec)
        if plan.image.digest:
            pull.fetch(client, remote.of(spec.flow.name, spec.place, spec.environment), plan.image)
        with engine.explained(f"deploying {spec.name}"):
            _mend(client, spec)
            current = _find(client, spec)
            if current is None or plan.changes:
                with console.phase("deploy", "local: start, wait for health, score the sample"):
                    if current is None:
                        self._start(client, plan, shape.settings_of(spec).port, prove)
                    else:
                        self._replace(client, plan, current, prove)
        found = self.status(spec)
        if found is None:
            raise DeployError(spec.name, "the container is gone", "look at `docker events`")
        return found

    def rollback(self, spec: Spec) -> Deployment:
        what = "this target keeps no earlier version"
        raise DeployError(spec.name, what, "check the earlier commit out, then `inv deploy`")

    def headers(self, spec: Spec) -> Mapping[str, str]:
        key = spec.variables.get(KEY)
        return {"Authorization": f"Bearer {key}"} if key else {}

    def refusal(self, spec: Spec, status: int, headers: Mapping[str, str]) -> Problem | None:
        if status != 401:
            return None
        what = f"the container has another key than {KEY} now"
        return Problem(spec.name, what, f"`inv deploy --flow {spec.flow.name}` gives it this one")

    def status(self, spec: Spec) -> Deployment | None:
        client = _client(spec)
        with engine.explained("looking at the containers"):
            container = _find(client, spec)
            if container is None:
                return None
            url = shape.url_of(container, _address(spec))
            return Deployment(
                flow=spec.flow.name,
                environment=spec.environment,
                target="local",
                state=shape.state_of(container, spec),
                url=url,
                auth=shape.auth_of(container),
                image_id=str(container.attrs["Image"]),
                tag=container.labels.get(f"{shape.LABEL}.tag", ""),
                commit=container.labels.get(f"{shape.LABEL}.commit", ""),
                created=str(container.attrs["Created"]),
                name=str(container.name),
                digest=container.labels.get(f"{shape.LABEL}.digest", ""),
            )

    def logs(self, spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
        client = _client(spec)
        with engine.explained("reading the log"):
            container = _find(client, spec)
            if container is None:
                raise DeployError(
                    spec.name, "nothing is deployed", f"`inv deploy --flow {spec.flow.name}`"
                )
            rest = b""
            for part in container.logs(tail=tail, stream=True, follow=follow):
                *lines, rest = (rest + part).split(b"\n")
                yield from (line.decode("utf-8", "replace").rstrip("\r") for line in lines)
            if rest:
                yield rest.decode("utf-8", "replace")

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        client = _client(spec)
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
        port = shape.settings_of(spec).port or shape.host_port(current)
        moves = port != shape.host_port(current)
        candidate = self._start(client, plan, port if moves else 0, prove, suffix=CANDIDATE)
        if moves:
            # Names first: wherever this is interrupted, the next deploy finds one that serves.
            current.rename(shape.name_of(spec) + BEFORE)
            candidate.rename(shape.name_of(spec))
            current.stop(timeout=STOP_SECONDS)
            current.remove(force=True)
            return
        # It has proved itself; the port can only be had by a container that is created with it.
        candidate.remove(force=True)
        current.stop(timeout=STOP_SECONDS)
        current.rename(shape.name_of(spec) + BEFORE)
        try:
            self._start(client, plan, port, prove)
        except BaseException:
            # What went wrong first is what the user must see.
            with contextlib.suppress(docker.errors.APIError):
                current.rename(shape.name_of(spec))
                current.start()
            raise
        current.remove(force=True)

    def _start(
        self, client: docker.DockerClient, plan: Plan, port: int, prove: Prove, suffix: str = ""
    ) -> Container:
        """Start a container and prove it; remove it again where that fails."""
        spec = plan.spec
        port = shape.usable_port(port, _address(spec))
        container = shape.create(client, plan, port, suffix)
        try:
            container.start()
            container.reload()
            url = shape.url_of(container, _address(spec))
            seconds = shape.settings_of(spec).start_timeout
            headers = self.headers(spec)
            verify.ready(url, plan.image, seconds, lambda: _why_dead(container), headers)
            prove(url, headers)
        except DeployError as error:
            # The container goes, and its log with it: what it said last must be in the message.
            raise _with_log(error, container) from None
        except BaseException:
            _remove(container)
            raise
        return container


TARGET = Local()


def _address(spec: Spec) -> str | None:
    return shape.place_of(spec).engine


def _client(spec: Spec) -> docker.DockerClient:
    return engine.connect(_address(spec))


def _all(client: docker.DockerClient, spec: Spec) -> list[Container]:
    labels = [f"{key}={value}" for key, value in shape.labels_of(spec).items()]
    found: list[Container] = client.containers.list(
        all=True, filters={"label": labels}, ignore_removed=True
    )
    return found


def _find(client: docker.DockerClient, spec: Spec) -> Container | None:
    """Return the container that serves, or that served when a deploy was killed half-way."""
    every = {str(container.name): container for container in _all(client, spec)}
    return every.get(shape.name_of(spec)) or every.get(shape.name_of(spec) + BEFORE)


def _mend(client: docker.DockerClient, spec: Spec) -> None:
    """Put right what a deploy that was killed half-way left: one container, under its own name."""
    every = {str(container.name): container for container in _all(client, spec)}
    before = every.pop(shape.name_of(spec) + BEFORE, None)
    current = every.pop(shape.name_of(spec), None)
    if before is not None and current is not None:
        # The old one is the last that was proved; it goes only if the new one serves.
        if shape.state_of(current, spec) == "healthy":
            before.remove(force=True)
            before = None
        else:
            current.remove(force=True)
    if before is not None:
        before.rename(shape.name_of(spec))
        before.start()
    for leftover in every.values():
        leftover.remove(force=True)


def _with_log(error: DeployError, container: Container) -> DeployError:
    # What it prints comes through a pipe, and is all there once it has stopped.
    with contextlib.suppress(docker.errors.APIError):
        container.stop(timeout=FAILED_STOP_SECONDS)
    tail = engine.log_tail(container, 10)
    _remove(container)
    return error if tail in error.problems[0].what else error.with_lines(tail.splitlines())


def _remove(container: Container) -> None:
    with contextlib.suppress(docker.errors.APIError):
        container.remove(force=True)


def _why_dead(container: Container) -> str:
    container.reload()
    if container.status in ("created", "running"):
        return ""
    state = container.attrs["State"]
    if "exec format error" in engine.log_tail(container, 2):
        return "the image is for another platform than this engine's (image.platform)"
    memory = " (it needed more memory than its limit)" if state.get("OOMKilled") else ""
    return f"the container ended with status {state['ExitCode']}{memory}"
