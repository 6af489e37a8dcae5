"""The Docker engine: find it, and turn what it refuses into sentences."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests
import urllib3.exceptions
from docker.context import ContextAPI
from docker.models.containers import Container

from deploy.errors import DeployError

START = "start Docker, or let `inv setup` bring an engine up (Debian and Ubuntu, as root)"


def connect(address: str | None = None) -> docker.DockerClient:
    """Return a client of the engine at `address`, or of the one that the docker command would use.

    Raises `DeployError` where no engine answers.
    """
    address = address_of(address)
    where = address or "the default socket"
    try:
        client = (
            docker.DockerClient(base_url=address, timeout=600)
            if address
            else docker.from_env(timeout=600)
        )
        client.ping()
    except docker.errors.DockerException as error:
        raise DeployError(
            "Docker", f"no engine answers at {where}{_reason(error)}", START
        ) from None
    except ValueError:
        # Its text may quote what was read.
        what = "a log-in in its configuration cannot be read (config.json)"
        raise DeployError("Docker", what, "`docker login` writes it anew") from None
    except (requests.RequestException, OSError) as error:
        raise DeployError("Docker", f"no engine answers at {where} ({error})", START) from None
    return client


def address_of(address: str | None = None) -> str | None:
    """Return `address`, or that of the engine which the docker command would use.

    None stands for its default socket.
    """
    return address or os.environ.get("DOCKER_HOST") or _context_address()


def native_platform(client: docker.DockerClient) -> str:
    """Return the platform that the engine runs without emulation: linux/amd64 or linux/arm64."""
    version = client.version()
    return f"{version['Os']}/{version['Arch']}"


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn the engine's errors inside of the block into a `DeployError` that names the work."""
    try:
        yield
    except docker.errors.APIError as error:
        text = " ".join(str(error.explanation or error).split())
        # The engine's advice is to remove the other container, which is another deploy's.
        text = text.partition(" You have to remove")[0]
        raise DeployError("Docker", f"{doing}: {text}", _hint(text)) from None
    except docker.errors.DockerException as error:
        raise DeployError("Docker", f"{doing}: {error}", _hint(str(error))) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError):
        # The latter while an answer comes line by line, which docker reads past requests.
        raise DeployError("Docker", f"{doing}: the engine stopped answering", START) from None


def log_tail(container: Container, lines: int = 20) -> str:
    """Return the last `lines` lines that `container` printed, indented for a message."""
    with contextlib.suppress(docker.errors.APIError, requests.RequestException):
        text = container.logs(tail=lines).decode("utf-8", "replace").rstrip()
        return "\n".join(f"    {line}" for line in text.splitlines())
    return ""


def _context_address() -> str | None:
    """Return the address of the docker command's context (Docker Desktop, Colima, rootless)."""
    with contextlib.suppress(Exception):
        context: Any = ContextAPI.get_current_context()
        if context and context.name != "default":
            return str(context.Host)
    return None


def _reason(error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text:
        return " (permission denied: is your user in the group docker?)"
    if "FileNotFoundError" in text or "No such file" in text:
        return ""
    return f" ({' '.join(text.split())[:200]})"


def _hint(text: str) -> str:
    if "no space left on device" in text:
        return (
            f"the disk of the engine is full: `docker system df`, `docker system prune`; {_free()}"
        )
    if "port is already allocated" in text or "address already in use" in text:
        return "another program has the port: stop it, or set another `port` in deploy.yaml"
    if "is already in use by container" in text:
        return "another deploy of this flow is under way: wait for it, then try again"
    if "No such image" in text:
        return "`inv build` makes it again"
    return ""


def _free() -> str:
    stat = os.statvfs(Path.cwd())
    return f"{stat.f_bavail * stat.f_frsize / 2**30:.1f} GiB are free here"


@dataclass(frozen=True)
class Endpoint:
    address: str | None = None

    def command_line(self) -> tuple[str, ...]:
        return ("--host", self.address) if self.address else ()

    def environment(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}


def endpoint(address: str | None = None) -> Endpoint:
    return Endpoint(address_of(address))


def kind(client: docker.DockerClient) -> str:
    names = [part["Name"] for part in client.version().get("Components", ())]
    return "podman" if "Podman Engine" in names else "docker"


def disk_hint() -> str:
    return f"the disk of the engine is full: `docker system df`, `docker system prune`; {_free()}"
