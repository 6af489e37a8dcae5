"""The container that the local target makes of a spec, and how a running one differs from it."""

from __future__ import annotations

import ipaddress
import socket
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.models.containers import Container
from pydantic import Field

from deploy import verify
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.model import Image, Plan, Spec
from deploy.runtime.access import KEY
from deploy.schema import PlaceModel, TargetSettings

PORT = "8080/tcp"
LABEL = "flow-deploy"


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
        """With `auth: key` the key is one of them."""
        given = super().secret_names
        return (*given, KEY) if self.auth == "key" and KEY not in given else given


class Place(PlaceModel):
    """Which engine: an address as in DOCKER_HOST, or the one that the docker command uses."""

    engine: str | None = None


def settings_of(spec: Spec) -> Settings:
    return cast(Settings, spec.settings)


def place_of(spec: Spec) -> Place:
    return cast(Place, spec.place)


def name_of(spec: Spec) -> str:
    # The project's name ends in a hash of its folder: two clones do not take each other's names.
    return f"{spec.flow.name}-{spec.environment}-{spec.project.rpartition('-')[2]}"


def labels_of(spec: Spec) -> dict[str, str]:
    return {
        f"{LABEL}.project": spec.project,
        f"{LABEL}.flow": spec.flow.name,
        f"{LABEL}.environment": spec.environment,
    }


def variables_of(spec: Spec) -> dict[str, str]:
    """Return the container's variables; one of them names those to be masked in its output."""
    given = dict(spec.variables)
    masked = sorted(name for name in settings_of(spec).secret_names if name in given)
    return {**given, "SERVE_SECRETS": ",".join(masked)} if masked else given


def create(client: docker.DockerClient, plan: Plan, port: int, suffix: str) -> Container:
    spec = plan.spec
    settings = settings_of(spec)
    address = place_of(spec).engine
    return client.containers.create(
        plan.image.pinned,
        name=f"{name_of(spec)}{suffix}",
        environment=variables_of(spec),
        labels={
            **labels_of(spec),
            f"{LABEL}.tag": plan.image.tag,
            f"{LABEL}.commit": plan.image.commit,
            f"{LABEL}.digest": plan.image.digest or "",
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
        # Proxies of ~/.docker/config.json: the container has what the configuration says.
        use_config_proxy=False,
    )


# Variables that podman adds to every container.
ADDED = ("container", "HOSTNAME", "TERM")


def state_of(container: Container, spec: Spec) -> str:
    """Return healthy, starting, unhealthy or stopped."""
    if container.status != "running":
        return "stopped"
    if verify.healthy(url_of(container, place_of(spec).engine)):
        return "healthy"
    started = datetime.fromisoformat(container.attrs["State"]["StartedAt"][:19] + "+00:00")
    age = (datetime.now(UTC) - started).total_seconds()
    return "starting" if age < settings_of(spec).start_timeout else "unhealthy"


def differences(container: Container, spec: Spec, image: Image) -> list[str]:
    """Return in words why `container` is not what `spec` wants."""
    settings = settings_of(spec)
    host = container.attrs["HostConfig"]
    config = container.attrs["Config"]
    reasons = []
    # An engine with containerd's store tells the manifest's digest, others the configuration's.
    if container.attrs["Image"] not in (image.id, image.digest):
        reasons.append("another image")
    if container.status != "running":
        reasons.append("it does not run")
    elif not verify.healthy(url_of(container, place_of(spec).engine)):
        reasons.append("it is not healthy")
    if settings.port and host_port(container) != settings.port:
        reasons.append("another port")
    if host["Memory"] != _bytes(settings.memory) or host["NanoCpus"] != int(
        (settings.cpus or 0) * 1e9
    ):
        reasons.append("other limits")
    present = dict(entry.split("=", 1) for entry in config["Env"] or [])
    desired = {**_image_variables(container), **variables_of(spec)}
    added = {name: present[name] for name in ADDED if name in present}
    if present != {**added, **desired}:
        reasons.append("other variables")
    return reasons


def auth_of(container: Container) -> str:
    """Return how callers are let in: the variables that the container was made with tell."""
    given = container.attrs["Config"]["Env"] or []
    return "key" if any(entry.partition("=")[0] == KEY for entry in given) else "none"


def _image_variables(container: Container) -> dict[str, str]:
    """Return the variables that the container has from its image, none if that is gone."""
    try:
        image = container.image
    except docker.errors.ImageNotFound:
        image = None
    entries = image.attrs["Config"]["Env"] or [] if image else []
    return dict(entry.split("=", 1) for entry in entries)


def _bytes(memory: str) -> int:
    return int(memory[:-1]) * {"m": 2**20, "g": 2**30}[memory[-1]]


def _bind(address: str | None) -> str:
    """A port on this machine's engine is for this machine alone.

    On another machine's it must be reachable.
    """
    return "0.0.0.0" if remote_host(address) else "127.0.0.1"


def remote_host(address: str | None) -> str | None:
    """Return the host of an engine on another machine, or None for an engine on this one."""
    parts = urlsplit(engine.address_of(address) or "")
    host = parts.hostname if parts.scheme in ("tcp", "ssh", "http", "https") else None
    return None if host is None or _is_loopback(host) else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def exposure(spec: Spec) -> str | None:
    """Return what an engine on another machine opens to its network; None for one on this machine.

    Raises `DeployError` for an open port that the flow's settings do not ask for.
    """
    host = remote_host(place_of(spec).engine)
    if host is None:
        return None
    settings = settings_of(spec)
    if settings.auth == "key":
        return f"auth: key: {KEY} goes to {host} over plain HTTP, which the network can read"
    if "auth" not in settings.model_fields_set:
        what = f"the engine is on {host}, where the flow's port would be open to all, without a key"
        hint = "write `auth: key`, or `auth: none` if that is what you want, in deploy.yaml"
        raise DeployError(spec.name, what, hint)
    return f"auth: none: every client that reaches {host} can send requests, which cost model calls"


def host_port(container: Container) -> int:
    bindings = container.attrs["HostConfig"]["PortBindings"].get(PORT) or [{}]
    live = (container.attrs["NetworkSettings"]["Ports"] or {}).get(PORT) or [{}]
    return int(live[0].get("HostPort") or bindings[0].get("HostPort") or 0)


def url_of(container: Container, address: str | None) -> str:
    return f"http://{remote_host(address) or '127.0.0.1'}:{host_port(container)}"


def usable_port(port: int, address: str | None) -> int:
    """Return `port` if it is free, or for 0 one that is; raise `DeployError` otherwise.

    The number is fixed here, not left to the engine, so that it survives when the container stops.
    Ports of an engine on another machine cannot be looked at from here: the engine will tell.
    """
    if remote_host(address):
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
