"""The container of the local target: its options, labels and state, and differences from a spec."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.models.containers import Container
from pydantic import Field

from deploy.config.schema import PlaceModel, TargetSettings
from deploy.core.entities import Image, Plan, Spec
from deploy.core.errors import DeployError
from deploy.docker import engine
from deploy.server.auth import KEY_VARIABLE
from deploy.targets import log_tail, verification

CONTAINER_PORT = "8080/tcp"
LABEL_PREFIX = "flow-deploy"


class Settings(TargetSettings):
    """How a flow runs on a Docker engine.

    `port` 0 means: a free one at first, and the same from then on.
    """

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$")] = "1g"
    cpus: Annotated[float, Field(ge=0.01, strict=False, allow_inf_nan=False)] | None = None
    start_timeout: Annotated[int, Field(ge=1, le=1800)] = 60
    auth: Literal["none", "key"] = Field(
        "none",
        description="Whether clients need the key, which the variable SERVE_KEY holds; must be "
        "written for an engine on another machine.",
    )

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Return the names of the secrets; with `auth: key` they include the key."""
        names = super().secret_names
        return (*names, KEY_VARIABLE) if self.auth == "key" and KEY_VARIABLE not in names else names


# For a container that failed, and serves no requests.
FAILED_STOP_SECONDS = 3


class Place(PlaceModel):
    """The Docker engine: an address as in DOCKER_HOST, or the docker command's default."""

    engine: str | None = None


LocalSpec = Spec[Settings, Place]
LocalPlan = Plan[Settings, Place]


def container_name(spec: Spec) -> str:
    # The project's name ends in a hash of its folder, so that two clones do not share names.
    return f"{spec.flow.name}-{spec.environment}-{spec.project.rpartition('-')[2]}"


def container_labels(spec: Spec) -> dict[str, str]:
    return {
        f"{LABEL_PREFIX}.project": spec.project,
        f"{LABEL_PREFIX}.flow": spec.flow.name,
        f"{LABEL_PREFIX}.environment": spec.environment,
    }


def environment_variables(spec: LocalSpec) -> dict[str, str]:
    """Return the container's environment variables.

    SERVE_SECRETS lists the variables whose values the server masks in its output.
    """
    variables = dict(spec.variables)
    secret_names = sorted(name for name in spec.settings.secret_names if name in variables)
    return {**variables, "SERVE_SECRETS": ",".join(secret_names)} if secret_names else variables


def create_container(
    client: docker.DockerClient, plan: LocalPlan, port: int, suffix: str
) -> Container:
    spec = plan.spec
    settings = spec.settings
    address = spec.place.engine
    return client.containers.create(
        plan.image.pinned,
        name=f"{container_name(spec)}{suffix}",
        environment=environment_variables(spec),
        labels={
            **container_labels(spec),
            f"{LABEL_PREFIX}.tag": plan.image.tag,
            f"{LABEL_PREFIX}.commit": plan.image.commit,
            f"{LABEL_PREFIX}.digest": plan.image.digest or "",
        },
        ports=cast(Any, {CONTAINER_PORT: (_bind_address(address), port or None)}),
        mem_limit=settings.memory,
        nano_cpus=int(settings.cpus * 1e9) if settings.cpus else None,
        read_only=True,
        tmpfs={"/tmp": "size=64m,mode=1777"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        pids_limit=1024,
        # A flow can reach a model server on this machine.
        extra_hosts={"host.docker.internal": "host-gateway"},
        detach=True,
        # Ignore the proxies of ~/.docker/config.json: the container gets only configured variables.
        use_config_proxy=False,
    )


# Podman adds these variables to every container.
PODMAN_VARIABLES = ("container", "HOSTNAME", "TERM")


def container_state(container: Container, spec: LocalSpec) -> str:
    """Return the state of a container: healthy, starting, unhealthy or stopped."""
    if container.status != "running":
        return "stopped"
    if verification.is_healthy(container_url(container, spec.place.engine)):
        return "healthy"
    started = datetime.fromisoformat(container.attrs["State"]["StartedAt"][:19] + "+00:00")
    age = (datetime.now(UTC) - started).total_seconds()
    return "starting" if age < spec.settings.start_timeout else "unhealthy"


def list_differences(container: Container, spec: LocalSpec, image: Image) -> list[str]:
    """Return the reasons why `container` differs from `spec`, as phrases for a plan."""
    settings = spec.settings
    host = container.attrs["HostConfig"]
    config = container.attrs["Config"]
    reasons = []
    # An engine with the containerd image store returns the manifest's digest, others the digest of
    # the image configuration.
    if container.attrs["Image"] not in (image.id, image.digest):
        reasons.append("another image")
    if container.status != "running":
        reasons.append("it is not running")
    elif not verification.is_healthy(container_url(container, spec.place.engine)):
        reasons.append("it is not healthy")
    if settings.port and host_port(container) != settings.port:
        reasons.append("another port")
    if host["Memory"] != _parse_memory(settings.memory) or host["NanoCpus"] != int(
        (settings.cpus or 0) * 1e9
    ):
        reasons.append("other limits")
    actual = dict(entry.split("=", 1) for entry in config["Env"] or [])
    desired = {**_image_variables(container), **environment_variables(spec)}
    podman_variables = {name: actual[name] for name in PODMAN_VARIABLES if name in actual}
    if actual != {**podman_variables, **desired}:
        reasons.append("other variables")
    return reasons


def auth_mode(container: Container) -> str:
    """Return how the container authenticates clients, according to its variables."""
    entries = container.attrs["Config"]["Env"] or []
    return "key" if any(entry.partition("=")[0] == KEY_VARIABLE for entry in entries) else "none"


def _image_variables(container: Container) -> dict[str, str]:
    """Return the environment variables of the container's image; empty if the image is gone."""
    try:
        image = container.image
    except docker.errors.ImageNotFound:
        image = None
    entries = image.attrs["Config"]["Env"] or [] if image else []
    return dict(entry.split("=", 1) for entry in entries)


def _parse_memory(memory: str) -> int:
    return int(memory[:-1]) * {"m": 2**20, "g": 2**30}[memory[-1]]


def _bind_address(address: str | None) -> str:
    """Return the address that the container's port is bound to.

    A port on this machine's engine is reachable from this machine only; a port on a remote engine
    must be reachable from outside.
    """
    return "0.0.0.0" if remote_host(address) else "127.0.0.1"


def remote_host(address: str | None) -> str | None:
    """Return the host name of a remote engine, or None for an engine on this machine."""
    parts = urlsplit(engine.resolve_address(address) or "")
    host = parts.hostname if parts.scheme in ("tcp", "ssh", "http", "https") else None
    return None if host is None or _is_loopback(host) else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(spec: LocalSpec) -> str | None:
    """Return a note on what a remote engine exposes to its network; None for a local engine.

    Raise `DeployError` for an open port that the flow's settings do not explicitly allow.
    """
    host = remote_host(spec.place.engine)
    if host is None:
        return None
    settings = spec.settings
    if settings.auth == "key":
        return (
            f"auth: key: {KEY_VARIABLE} goes to {host} over plain HTTP, which the network can read"
        )
    if "auth" not in settings.model_fields_set:
        message = (
            f"the engine is on {host}, where the flow's port would be open to all, without a key"
        )
        hint = "write `auth: key`, or `auth: none` to accept that, in deploy.yaml"
        raise DeployError(spec.name, message, hint)
    return f"auth: none: every client that reaches {host} can send requests, which cost model calls"


def host_port(container: Container) -> int:
    bindings = container.attrs["HostConfig"]["PortBindings"].get(CONTAINER_PORT) or [{}]
    live = (container.attrs["NetworkSettings"]["Ports"] or {}).get(CONTAINER_PORT) or [{}]
    return int(live[0].get("HostPort") or bindings[0].get("HostPort") or 0)


def container_url(container: Container, address: str | None) -> str:
    return f"http://{remote_host(address) or '127.0.0.1'}:{host_port(container)}"


def choose_port(port: int, address: str | None) -> int:
    """Return `port` if it is free, or any free port for 0. Raise `DeployError` if it is in use.

    The number is chosen here, not by the engine, so that it survives a stop of the container. Ports
    of a remote engine cannot be checked from here: the engine reports a conflict.
    """
    if remote_host(address):
        return port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            message = "another program uses this port"
            hint = "stop it, or set another `port` for this environment in deploy.yaml"
            raise DeployError(f"port {port}", message, hint) from None
        return int(probe.getsockname()[1])


def discard_failed(spec: LocalSpec, error: DeployError, container: Container) -> DeployError:
    """Remove a container that failed; return `error` with its last lines, secrets masked."""
    # The output comes through a pipe, and is complete only after the container has stopped.
    with contextlib.suppress(docker.errors.APIError):
        container.stop(timeout=FAILED_STOP_SECONDS)
    tail = engine.log_tail(container, 10)
    remove(container)
    lines = log_tail.mask_secrets(spec, tail.splitlines())
    return error if tail in error.problems[0].what else error.with_lines(lines)


def remove(container: Container) -> None:
    """Remove a container, if it still exists."""
    with contextlib.suppress(docker.errors.APIError):
        container.remove(force=True)


def exit_reason(container: Container) -> str:
    """Return why a container ended; empty while it runs."""
    container.reload()
    if container.status in ("created", "running"):
        return ""
    state = container.attrs["State"]
    if "exec format error" in engine.log_tail(container, 2):
        return "the image is for another platform than the engine's (image.platform)"
    memory_note = " (it needed more memory than its limit)" if state.get("OOMKilled") else ""
    return f"the container exited with code {state['ExitCode']}{memory_note}"
