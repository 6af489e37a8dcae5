"""The Docker engine: connect to it, and turn its errors into readable ones."""

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

from deploy.core.errors import DeployError
from deploy.docker import operating_system, ssh
from deploy.docker.endpoint import Endpoint, find_endpoint, find_other_sockets

__all__ = [
    "Endpoint",
    "connect",
    "detect_image_store",
    "detect_product",
    "disk_hint",
    "find_endpoint",
    "list_images",
    "list_short_tags",
    "log_tail",
    "native_platform",
    "resolve_address",
    "shorten_reference",
    "translate_errors",
]

TIMEOUT_SECONDS = 600
# A running engine returns its version at once; behind SSH it takes some seconds.
CONNECT_SECONDS = 60
# How to start the engine of a context, by the prefix of the context's name.
START_HINTS = {
    "colima": "`colima start`",
    "desktop": "start Docker Desktop",
    "orbstack": "start OrbStack",
    "rootless": "`systemctl --user start docker`",
}


def connect(address: str | None = None) -> docker.DockerClient:
    """Return a client of the engine at `address`, or of the one that the docker command would use.

    Raises `DeployError` if no engine answers.
    """
    endpoint = find_endpoint(address)
    if endpoint.scheme == "ssh" and shutil.which("ssh") is None:
        message = (
            f"{endpoint.address} ({endpoint.source}) needs the ssh command, "
            "which is not on the path"
        )
        raise DeployError("Docker", message, "install OpenSSH's client")
    try:
        probe = _client(endpoint, MINIMUM_DOCKER_API_VERSION, CONNECT_SECONDS)
    except ValueError:
        # The error may quote the configuration, which holds credentials.
        message = "credentials in its configuration (config.json) cannot be read"
        raise DeployError("Docker", message, "`docker login` writes them again") from None
    except docker.errors.DockerException as error:
        raise _unreachable_error(endpoint, str(error)) from None
    try:
        version = str(probe.version(api_version=False)["ApiVersion"])
        return _client(endpoint, version, TIMEOUT_SECONDS)
    except (KeyError, TypeError, requests.JSONDecodeError):
        raise _unreachable_error(
            endpoint, "the service that answers is not a Docker engine"
        ) from None
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise _unreachable_error(endpoint, _error_text(probe, error)) from None
    finally:
        probe.close()


def resolve_address(address: str | None = None) -> str:
    """Return `address`, or the address of the engine that the docker command would use."""
    return find_endpoint(address).address


def detect_product(client: docker.DockerClient) -> str:
    """Return the product behind the engine's API: docker or podman."""
    components = client.version().get("Components") or []
    names = [str(component.get("Name")) for component in components]
    return "podman" if "Podman Engine" in names else "docker"


def detect_image_store(client: docker.DockerClient) -> str:
    """Return the engine's image store: containerd, classic or containers-storage."""
    if detect_product(client) == "podman":
        return "containers-storage"
    # https://docs.docker.com/engine/storage/containerd/
    status = client.info().get("DriverStatus") or []
    containerd = ["driver-type", "io.containerd.snapshotter.v1"] in [list(row) for row in status]
    return "containerd" if containerd else "classic"


def list_images(
    client: docker.DockerClient, repository: str | None = None, label: str | None = None
) -> list[DockerImage]:
    """Return the images of `repository` that have `label` (`key` or `key=value`), newest first.

    docker-py's own listing (`ImageCollection.list`) fails if an image is removed meanwhile.
    """
    filters = {"label": label} if label else {}
    images = []
    for row in client.api.images(repository, filters=filters):
        with contextlib.suppress(docker.errors.ImageNotFound):
            images.append(client.images.get(row["Id"]))
    return sorted(images, key=lambda image: str(image.attrs["Created"]), reverse=True)


def list_short_tags(image: DockerImage) -> list[str]:
    """Return the short tags of `image`: podman adds Docker Hub's address to them."""
    return [shorten_reference(str(tag)) for tag in image.tags]


def shorten_reference(reference: str) -> str:
    """Return `reference` without Docker Hub's address."""
    return reference.removeprefix("docker.io/").removeprefix("library/")


def native_platform(client: docker.DockerClient) -> str:
    """Return the platform that the engine runs without emulation: linux/amd64 or linux/arm64."""
    version = client.version()
    return f"{version['Os']}/{version['Arch']}"


@contextlib.contextmanager
def translate_errors(operation: str) -> Iterator[None]:
    """Convert the engine's errors inside the block to a `DeployError` that names `operation`."""
    try:
        yield
    except docker.errors.APIError as error:
        text = " ".join(str(error.explanation or error).split())
        # The engine advises to remove the other container, which belongs to another deployment.
        text = text.partition(" You have to remove")[0]
        raise DeployError("Docker", f"{operation}: {text}", _error_hint(text)) from None
    except docker.errors.DockerException as error:
        raise DeployError("Docker", f"{operation}: {error}", _error_hint(str(error))) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError):
        # urllib3's errors come from streamed responses, which docker-py reads without requests.
        raise DeployError(
            "Docker",
            f"{operation}: the engine stopped answering",
            operating_system.start_engine_hint(),
        ) from None


def log_tail(container: Container, lines: int = 20) -> str:
    """Return the last `lines` lines that `container` printed, indented for a message."""
    with contextlib.suppress(docker.errors.APIError, requests.RequestException):
        text = container.logs(tail=lines).decode("utf-8", "replace").rstrip()
        return "\n".join(f"    {line}" for line in text.splitlines())
    return ""


def disk_hint() -> str:
    """Return the hint for a full disk of the engine."""
    return (
        "the disk of the engine is full: `docker system df`, `docker system prune`; "
        f"{_free_space()}"
    )


def _client(endpoint: Endpoint, version: str, timeout: int) -> docker.DockerClient:
    """Return a client that has not sent anything yet: a set `version` avoids a request for it."""
    if endpoint.scheme == "ssh":
        client = docker.DockerClient("unix:///unused", version=version, timeout=timeout)
        client.api.mount("http+docker://", ssh.SshAdapter(endpoint.address, timeout))
        return client
    if endpoint.tls is None:
        return docker.DockerClient(endpoint.address, version=version, timeout=timeout)
    files = endpoint.tls
    tls = docker.tls.TLSConfig(
        client_cert=(str(files.certificate), str(files.key)) if files.certificate else None,
        ca_cert=str(files.ca) if files.ca else None,
        verify=not endpoint.skip_verify,
    )
    client = docker.DockerClient(endpoint.address, version=version, timeout=timeout, tls=tls)
    # REQUESTS_CA_BUNDLE would override `verify` (https://github.com/psf/requests/issues/3829).
    client.api.trust_env = not (files.ca or endpoint.skip_verify)
    if endpoint.skip_verify:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return client


def _error_text(client: docker.DockerClient, error: Exception) -> str:
    adapter: Any = client.api.get_adapter(client.api.base_url)
    reported = adapter.last_line() if isinstance(adapter, ssh.SshAdapter) else ""
    explanation = getattr(error, "explanation", None)
    return reported or " ".join(str(explanation or error).split())


def _unreachable_error(endpoint: Endpoint, text: str) -> DeployError:
    reason, hint = _explain_failure(endpoint, text)
    message = f"no engine answers at {endpoint.address} ({endpoint.source})"
    return DeployError("Docker", f"{message}: {reason}" if reason else message, hint)


def _explain_failure(endpoint: Endpoint, text: str) -> tuple[str, str]:
    """Return why the engine did not answer (empty if it is not running), and what to do next."""
    if endpoint.scheme == "ssh":
        command = shlex.join([*ssh.command(endpoint.address)[:-1], "docker", "version"])
        return text[:200], f"`{command}` must work without a password"
    if endpoint.scheme == "tcp" and (explanation := _explain_tls_failure(endpoint, text)):
        return explanation
    if "Permission denied" in text:
        return "permission denied", operating_system.docker_group_hint()
    if "No such file" in text:
        return "", _start_hint(endpoint)
    if "Connection refused" in text:
        return "connection refused", _start_hint(endpoint)
    if "timed out" in text:
        return f"no answer within {CONNECT_SECONDS} s", _start_hint(endpoint)
    return text[:200], _start_hint(endpoint)


def _explain_tls_failure(endpoint: Endpoint, text: str) -> tuple[str, str] | None:
    """Return the cause of a TLS failure, and what to do next; None for other failures."""
    if "HTTP request to an HTTPS server" in text:
        folder = "the folder with ca.pem, cert.pem and key.pem"
        return "it speaks TLS", f"set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to {folder}"
    if endpoint.tls is None:
        return None
    if "certificate verify failed" in text:
        detail = re.search(r"certificate verify failed: (.+?) \(_ssl", text)
        reason = f" ({detail[1]})" if detail else ""
        authority = endpoint.tls.ca or "a public authority"
        return f"its certificate is not trusted{reason}", f"it must be signed by {authority}"
    if "wrong version number" in text or "record layer failure" in text:
        return "it does not speak TLS", "unset DOCKER_TLS_VERIFY, or correct the port"
    # In TLS 1.3 a client without a certificate may see a closed connection instead of the alert.
    was_cut = any(
        sign in text for sign in ("EOF occurred", "reset by peer", "Broken pipe", "aborted")
    )
    if "alert" in text.lower() or (was_cut and endpoint.tls.certificate is None):
        certificate = endpoint.tls.certificate or "none was sent"
        return f"it does not accept the client's certificate ({certificate})", _CLIENT_CERTIFICATE
    return None


_CLIENT_CERTIFICATE = "cert.pem and key.pem must be from the authority that the engine trusts"


def _start_hint(endpoint: Endpoint) -> str:
    """Return a hint that says how to start the engine, or which other engine is available."""
    if endpoint.context:
        hints = [START_HINTS[name] for name in START_HINTS if endpoint.context.startswith(name)]
        hint = hints[0] if hints else "start it"
        return f"{hint}, or choose another with `docker context use`"
    if not endpoint.is_default:
        return f"start it, or correct {endpoint.source}"
    others = find_other_sockets()
    return f"export DOCKER_HOST={others[0]}" if others else operating_system.start_engine_hint()


def _error_hint(text: str) -> str:
    if "no space left on device" in text:
        return disk_hint()
    if "port is already allocated" in text or "address already in use" in text:
        return "another program has the port: stop it, or set another `port` in deploy.yaml"
    if "is already in use by container" in text:
        return "another deploy of this flow is under way: wait for it, then try again"
    if "No such image" in text:
        return "`inv build` builds it again"
    return ""


def _free_space() -> str:
    stat = os.statvfs(Path.cwd())
    return f"{stat.f_bavail * stat.f_frsize / 2**30:.1f} GiB are free here"
