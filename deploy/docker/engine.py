"""The Docker engine: connect to it, and turn what it refuses into sentences."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.tls
import requests
import urllib3
import urllib3.exceptions
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.models.containers import Container
from docker.models.images import Image as DockerImage

from deploy import machine
from deploy.docker import ssh
from deploy.docker.endpoint import Endpoint, endpoint, other_sockets
from deploy.errors import DeployError

__all__ = [
    "Endpoint",
    "address_of",
    "connect",
    "disk_hint",
    "endpoint",
    "explained",
    "familiar",
    "image_store",
    "kind",
    "list_images",
    "log_tail",
    "native_platform",
    "tags_of",
]

SECONDS = 600
# An engine that is there tells its version at once; one behind SSH takes some seconds.
CONNECT_SECONDS = 60
# How the engine of a context is started, by the beginning of the context's name.
STARTERS = {
    "colima": "`colima start`",
    "desktop": "start Docker Desktop",
    "orbstack": "start OrbStack",
    "rootless": "`systemctl --user start docker`",
}


def connect(address: str | None = None) -> docker.DockerClient:
    """Return a client of the engine at `address`, or of the one that the docker command would use.

    Raises `DeployError` where no engine answers.
    """
    there = endpoint(address)
    if there.scheme == "ssh" and shutil.which("ssh") is None:
        what = f"{there.address} ({there.source}) needs the ssh command, which is not on the path"
        raise DeployError("Docker", what, "install OpenSSH's client")
    try:
        probe = _client(there, MINIMUM_DOCKER_API_VERSION, CONNECT_SECONDS)
    except ValueError:
        # Its text may quote what was read.
        what = "a log-in in its configuration cannot be read (config.json)"
        raise DeployError("Docker", what, "`docker login` writes it anew") from None
    except docker.errors.DockerException as error:
        raise _no_answer(there, str(error)) from None
    try:
        version = str(probe.version(api_version=False)["ApiVersion"])
        return _client(there, version, SECONDS)
    except (KeyError, TypeError, requests.JSONDecodeError):
        raise _no_answer(there, "what answers is no Docker engine") from None
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise _no_answer(there, _text(probe, error)) from None
    finally:
        probe.close()


def address_of(address: str | None = None) -> str:
    """Return `address`, or that of the engine which the docker command would use."""
    return endpoint(address).address


def kind(client: docker.DockerClient) -> str:
    """Return which engine it is: docker or podman."""
    components = client.version().get("Components") or []
    names = [str(component.get("Name")) for component in components]
    return "podman" if "Podman Engine" in names else "docker"


def image_store(client: docker.DockerClient) -> str:
    """Return where the engine keeps images: containerd, classic or containers-storage."""
    if kind(client) == "podman":
        return "containers-storage"
    # https://docs.docker.com/engine/storage/containerd/
    status = client.info().get("DriverStatus") or []
    containerd = ["driver-type", "io.containerd.snapshotter.v1"] in [list(row) for row in status]
    return "containerd" if containerd else "classic"


def list_images(
    client: docker.DockerClient, repository: str | None = None, label: str | None = None
) -> list[DockerImage]:
    """Return the images of `repository` that have `label` (`key` or `key=value`), newest first.

    Docker's SDK fails where an image is removed while it lists (docker-py, `ImageCollection.list`).
    """
    filters = {"label": label} if label else {}
    found = []
    for row in client.api.images(repository, filters=filters):
        with contextlib.suppress(docker.errors.ImageNotFound):
            found.append(client.images.get(row["Id"]))
    return sorted(found, key=lambda image: str(image.attrs["Created"]), reverse=True)


def tags_of(image: DockerImage) -> list[str]:
    """Return the tags of `image` by their short names: podman writes Docker Hub's address."""
    return [familiar(str(tag)) for tag in image.tags]


def familiar(reference: str) -> str:
    """Return `reference` without Docker Hub's address."""
    return reference.removeprefix("docker.io/").removeprefix("library/")


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
        raise DeployError(
            "Docker", f"{doing}: the engine stopped answering", machine.start_engine()
        ) from None


def log_tail(container: Container, lines: int = 20) -> str:
    """Return the last `lines` lines that `container` printed, indented for a message."""
    with contextlib.suppress(docker.errors.APIError, requests.RequestException):
        text = container.logs(tail=lines).decode("utf-8", "replace").rstrip()
        return "\n".join(f"    {line}" for line in text.splitlines())
    return ""


def disk_hint() -> str:
    """Return what to do where the engine's disk is full."""
    return f"the disk of the engine is full: `docker system df`, `docker system prune`; {_free()}"


def _client(there: Endpoint, version: str, timeout: int) -> docker.DockerClient:
    """Return a client that has sent nothing yet: it asks for no version of the API."""
    if there.scheme == "ssh":
        client = docker.DockerClient("unix:///unused", version=version, timeout=timeout)
        client.api.mount("http+docker://", ssh.SshAdapter(there.address, timeout))
        return client
    if there.tls is None:
        return docker.DockerClient(there.address, version=version, timeout=timeout)
    files = there.tls
    tls = docker.tls.TLSConfig(
        client_cert=(str(files.certificate), str(files.key)) if files.certificate else None,
        ca_cert=str(files.ca) if files.ca else None,
        verify=not there.skip_verify,
    )
    client = docker.DockerClient(there.address, version=version, timeout=timeout, tls=tls)
    # REQUESTS_CA_BUNDLE would win over this (https://github.com/psf/requests/issues/3829).
    client.api.trust_env = not (files.ca or there.skip_verify)
    if there.skip_verify:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return client


def _text(client: docker.DockerClient, error: Exception) -> str:
    adapter: Any = client.api.get_adapter(client.api.base_url)
    reported = adapter.last_line() if isinstance(adapter, ssh.SshAdapter) else ""
    explanation = getattr(error, "explanation", None)
    return reported or " ".join(str(explanation or error).split())


def _no_answer(there: Endpoint, text: str) -> DeployError:
    reason, hint = _reason(there, text)
    what = f"no engine answers at {there.address} ({there.source})"
    return DeployError("Docker", f"{what}: {reason}" if reason else what, hint)


def _reason(there: Endpoint, text: str) -> tuple[str, str]:
    """Return why the engine did not answer, "" where nothing is there, and what to do next."""
    if there.scheme == "ssh":
        line = shlex.join([*ssh.command(there.address)[:-1], "docker", "version"])
        return text[:200], f"`{line}` must work without a password"
    if there.scheme == "tcp" and (found := _tls_reason(there, text)):
        return found
    if "Permission denied" in text:
        return "permission denied", machine.join_docker_group()
    if "No such file" in text:
        return "", _start(there)
    if "Connection refused" in text:
        return "connection refused", _start(there)
    if "timed out" in text:
        return f"nothing within {CONNECT_SECONDS} s", _start(there)
    return text[:200], _start(there)


def _tls_reason(there: Endpoint, text: str) -> tuple[str, str] | None:
    """Return what is wrong with TLS, and what to do; None where it is something else."""
    if "HTTP request to an HTTPS server" in text:
        folder = "the folder with ca.pem, cert.pem and key.pem"
        return "it speaks TLS", f"set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to {folder}"
    if there.tls is None:
        return None
    if "certificate verify failed" in text:
        detail = re.search(r"certificate verify failed: (.+?) \(_ssl", text)
        reason = f" ({detail[1]})" if detail else ""
        authority = there.tls.ca or "a public authority"
        return f"its certificate is not trusted{reason}", f"it must be signed by {authority}"
    if "wrong version number" in text or "record layer failure" in text:
        return "it does not speak TLS", "unset DOCKER_TLS_VERIFY, or correct the port"
    # With TLS 1.3 a client without a certificate may see the end of the connection, not the alert.
    cut = any(end in text for end in ("EOF occurred", "reset by peer", "Broken pipe", "aborted"))
    if "alert" in text.lower() or (cut and there.tls.certificate is None):
        mine = there.tls.certificate or "none was sent"
        return f"it does not accept the client's certificate ({mine})", _CLIENT_CERTIFICATE
    return None


_CLIENT_CERTIFICATE = "cert.pem and key.pem must be from the authority that the engine trusts"


def _start(there: Endpoint) -> str:
    """Return how to start the engine, or which other one is there."""
    if there.context:
        starters = [STARTERS[name] for name in STARTERS if there.context.startswith(name)]
        start = starters[0] if starters else "start it"
        return f"{start}, or choose another with `docker context use`"
    if not there.is_default:
        return f"start it, or correct {there.source}"
    others = other_sockets()
    return f"export DOCKER_HOST={others[0]}" if others else machine.start_engine()


def _hint(text: str) -> str:
    if "no space left on device" in text:
        return disk_hint()
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
