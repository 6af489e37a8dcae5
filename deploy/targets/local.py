"""Target `local`: one container on a Docker engine, on a laptop or a CI machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import docker
import docker.errors
from docker.models.containers import Container

from deploy.config.target import SmokeTest, Target
from deploy.core import progress
from deploy.core.entities import Deployment, Image, Plan, Step
from deploy.core.errors import DeployError, Problem
from deploy.docker import engine
from deploy.registry import image_repository, pull
from deploy.server.auth import KEY_VARIABLE
from deploy.server.connections import resolve
from deploy.targets import local_container, verification
from deploy.targets.local_container import LocalPlan, LocalSpec, Place, Settings

# Suffixes of container names while one container replaces another.
CANDIDATE_SUFFIX, PREVIOUS_SUFFIX = "-candidate", "-before"
# Longer than the server's own grace period (SERVE_GRACE), so that the server finishes its requests
# before the engine kills it.
STOP_SECONDS = 30


class Local:
    """The local target: one container per flow and environment, found by its labels."""

    Settings = Settings
    Place = Place

    def engine(self, spec: LocalSpec) -> str | None:
        return _engine_address(spec)

    def check(self, spec: LocalSpec) -> None:
        # The container would report them, too, but only after the build.
        missing = [f"set {name} (env.secret)" for name in spec.missing]
        missing += resolve(spec.flow.connections, spec.variables).problems
        if missing:
            raise DeployError(spec.name, "; ".join(missing), "in .env (see .env.example)")
        local_container.check_exposure(spec)

    def plan(self, spec: LocalSpec, image: Image) -> LocalPlan:
        exposure = local_container.check_exposure(spec)
        notes = (Step("note", "note", "", "", exposure),) if exposure else ()
        client = _connect(spec)
        with engine.translate_errors("looking at the containers"):
            current = _find_container(client, spec)
            resource = f"container {local_container.container_name(spec)}"
            after = f"{image.reference} ({image.id[7:19]})"
            if current is None:
                return Plan(
                    spec,
                    image,
                    (Step("create", resource, "", after, "no container exists"), *notes),
                )
            tag = current.labels.get(f"{local_container.LABEL_PREFIX}.tag", "?")
            before = f"{spec.flow.name}:{tag} ({current.attrs['Image'][7:19]})"
            reasons = local_container.list_differences(current, spec, image)
        if not reasons:
            return Plan(
                spec,
                image,
                (Step("keep", resource, before, after, "image and settings are the same"), *notes),
            )
        step = Step("replace", resource, before, after, ", ".join(reasons))
        return Plan(spec, image, (step, *notes))

    def apply(self, plan: LocalPlan, smoke_test: SmokeTest, wait: bool = True) -> Deployment:
        spec = plan.spec
        client = _connect(spec)
        if plan.image.digest:
            pull.pull_image(
                client,
                image_repository.open_repository(spec),
                plan.image,
            )
        with engine.translate_errors(f"deploying {spec.name}"):
            _recover_interrupted_deploy(client, spec)
            current = _find_container(client, spec)
            if current is None or plan.has_changes:
                with progress.phase("deploy", "local: start, wait for health, score the sample"):
                    if current is None:
                        self._start(client, plan, spec.settings.port, smoke_test)
                    else:
                        self._replace(client, plan, current, smoke_test)
        deployment = self.status(spec)
        if deployment is None:
            raise DeployError(
                spec.name, "the container was removed", "`docker events` shows by what"
            )
        return deployment

    def rollback(self, spec: LocalSpec) -> Deployment:
        message = "this target keeps no previous version"
        raise DeployError(spec.name, message, "check out the earlier commit, then `inv deploy`")

    def headers(self, spec: LocalSpec) -> Mapping[str, str]:
        key = spec.variables.get(KEY_VARIABLE)
        return {"Authorization": f"Bearer {key}"} if key else {}

    def explain_response(
        self, spec: LocalSpec, status: int, headers: Mapping[str, str]
    ) -> Problem | None:
        if status != 401:
            return None
        message = f"the container has another key than {KEY_VARIABLE} now"
        return Problem(
            spec.name, message, f"`inv deploy --flow {spec.flow.name}` gives it this key"
        )

    def status(self, spec: LocalSpec) -> Deployment | None:
        client = _connect(spec)
        with engine.translate_errors("looking at the containers"):
            container = _find_container(client, spec)
            if container is None:
                return None
            url = local_container.container_url(container, _engine_address(spec))
            return Deployment(
                flow=spec.flow.name,
                environment=spec.environment,
                target="local",
                state=local_container.container_state(container, spec),
                url=url,
                auth=local_container.auth_mode(container),
                image_id=str(container.attrs["Image"]),
                tag=container.labels.get(f"{local_container.LABEL_PREFIX}.tag", ""),
                commit=container.labels.get(f"{local_container.LABEL_PREFIX}.commit", ""),
                created=str(container.attrs["Created"]),
                name=str(container.name),
                digest=container.labels.get(f"{local_container.LABEL_PREFIX}.digest", ""),
            )

    def logs(self, spec: LocalSpec, tail: int, follow: bool = False) -> Iterator[str]:
        client = _connect(spec)
        with engine.translate_errors("reading the log"):
            container = _find_container(client, spec)
            if container is None:
                raise DeployError(
                    spec.name, "nothing is deployed", f"`inv deploy --flow {spec.flow.name}`"
                )
            incomplete_line = b""
            for chunk in container.logs(tail=tail, stream=True, follow=follow):
                *lines, incomplete_line = (incomplete_line + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace").rstrip("\r") for line in lines)
            if incomplete_line:
                yield incomplete_line.decode("utf-8", "replace")

    def destroy(self, spec: LocalSpec) -> tuple[Step, ...]:
        client = _connect(spec)
        steps = []
        with engine.translate_errors(f"removing {spec.name}"):
            for container in _list_containers(client, spec):
                container.stop(timeout=STOP_SECONDS)
                container.remove(force=True)
                steps.append(Step("remove", f"container {container.name}"))
        return tuple(steps)

    def _replace(
        self,
        client: docker.DockerClient,
        plan: LocalPlan,
        current: Container,
        smoke_test: SmokeTest,
    ) -> None:
        """Replace the running container.

        The candidate is verified on a port of its own while the current container serves.
        """
        spec = plan.spec
        port = spec.settings.port or local_container.host_port(current)
        port_changes = port != local_container.host_port(current)
        candidate = self._start(
            client, plan, port if port_changes else 0, smoke_test, suffix=CANDIDATE_SUFFIX
        )
        if port_changes:
            # Rename first: wherever this is interrupted, the next deployment finds a container that
            # serves.
            current.rename(local_container.container_name(spec) + PREVIOUS_SUFFIX)
            candidate.rename(local_container.container_name(spec))
            current.stop(timeout=STOP_SECONDS)
            current.remove(force=True)
            return
        # The candidate is verified. It cannot take over the port: a container's port is fixed when
        # it is created.
        candidate.remove(force=True)
        current.stop(timeout=STOP_SECONDS)
        current.rename(local_container.container_name(spec) + PREVIOUS_SUFFIX)
        try:
            self._start(client, plan, port, smoke_test)
        except BaseException:
            # Suppress errors of the cleanup: the user must see the first error.
            with contextlib.suppress(docker.errors.APIError):
                current.rename(local_container.container_name(spec))
                current.start()
            raise
        current.remove(force=True)

    def _start(
        self,
        client: docker.DockerClient,
        plan: LocalPlan,
        port: int,
        smoke_test: SmokeTest,
        suffix: str = "",
    ) -> Container:
        """Start a container and verify it; remove it if the verification fails."""
        spec = plan.spec
        port = local_container.choose_port(port, _engine_address(spec))
        container = local_container.create_container(client, plan, port, suffix)
        try:
            container.start()
            container.reload()
            url = local_container.container_url(container, _engine_address(spec))
            seconds = spec.settings.start_timeout
            headers = self.headers(spec)
            verification.wait_until_ready(
                url, plan.image, seconds, lambda: local_container.exit_reason(container), headers
            )
            smoke_test(url, headers)
        except DeployError as error:
            # The log is lost with the container, so the message includes its last lines.
            raise local_container.discard_failed(spec, error, container) from None
        except BaseException:
            local_container.remove(container)
            raise
        return container


TARGET: Target[Settings, Place] = Local()


def _engine_address(spec: LocalSpec) -> str | None:
    return spec.place.engine


def _connect(spec: LocalSpec) -> docker.DockerClient:
    return engine.connect(_engine_address(spec))


def _list_containers(client: docker.DockerClient, spec: LocalSpec) -> list[Container]:
    labels = [f"{key}={value}" for key, value in local_container.container_labels(spec).items()]
    containers: list[Container] = client.containers.list(
        all=True, filters={"label": labels}, ignore_removed=True
    )
    return containers


def _find_container(client: docker.DockerClient, spec: LocalSpec) -> Container | None:
    """Return the container that serves, or the one that an interrupted deployment left, or None."""
    containers = {str(container.name): container for container in _list_containers(client, spec)}
    return containers.get(local_container.container_name(spec)) or containers.get(
        local_container.container_name(spec) + PREVIOUS_SUFFIX
    )


def _recover_interrupted_deploy(client: docker.DockerClient, spec: LocalSpec) -> None:
    """Clean up after an interrupted deployment: keep one container, under its final name."""
    containers = {str(container.name): container for container in _list_containers(client, spec)}
    previous = containers.pop(local_container.container_name(spec) + PREVIOUS_SUFFIX, None)
    current = containers.pop(local_container.container_name(spec), None)
    if previous is not None and current is not None:
        # Only the old container is known to be verified: remove it only if the new one is healthy.
        if local_container.container_state(current, spec) == "healthy":
            previous.remove(force=True)
            previous = None
        else:
            current.remove(force=True)
    if previous is not None:
        previous.rename(local_container.container_name(spec))
        previous.start()
    for leftover in containers.values():
        leftover.remove(force=True)
