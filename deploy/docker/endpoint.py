"""Which engine: found as the `docker` command finds it.

The order is that of docker/cli (`resolveContextName` in cli/command/cli.go, cli/flags/options.go,
opts/hosts.go). docker-py's own search differs: it looks for contexts beside a config.json only,
takes the default socket for a context that is missing, and drops a context's certificates unless
all three files are there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.errors import DeployError

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
DEFAULT_TLS_ADDRESS = "tcp://localhost:2376"
# docker/cli takes this port with TLS, too.
DEFAULT_PORT = 2375
DEFAULT_SOURCE = "the default socket"
DEFAULT_CONTEXT = "default"
# Variables that choose an engine. The docker command must not read them beside flags.
VARIABLES = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files for TLS. Without `ca` the certificate must be signed by a public authority."""

    ca: Path | None = None
    certificate: Path | None = None  # of the client, with its key
    key: Path | None = None


@dataclass(frozen=True)
class Endpoint:
    """The address of an engine, and how to authenticate there."""

    address: str  # unix:///path, tcp://host:port or ssh://user@host
    source: str  # what named it: DOCKER_HOST, environments.yaml, context colima …
    context: str = ""  # the docker command's context, "" for an address
    tls: TlsFiles | None = None  # None: no TLS
    skip_verify: bool = False  # TLS that accepts any certificate

    @property
    def scheme(self) -> str:
        return self.address.partition("://")[0]

    @property
    def is_default(self) -> bool:
        """Whether no variable, file or context chose it."""
        return self.source == DEFAULT_SOURCE

    def command_line(self) -> tuple[str, ...]:
        """Return the flags with which the `docker` command uses this engine, and no other.

        Also for a context: buildx calls the builder of `--host` "default".
        """
        host = ("--host", self.address)
        if self.tls is None:
            return host
        # An empty name keeps the command from files of its own (~/.docker/cert.pem).
        return (
            *host,
            "--tls" if self.skip_verify else "--tlsverify",
            f"--tlscacert={self.tls.ca or ''}",
            f"--tlscert={self.tls.certificate or ''}",
            f"--tlskey={self.tls.key or ''}",
        )

    def environment(self) -> dict[str, str]:
        """Return this process's environment without the variables that choose an engine."""
        return {name: value for name, value in os.environ.items() if name not in VARIABLES}


def endpoint(address: str | None = None) -> Endpoint:
    """Return the engine at `address`, or the one that the `docker` command would use.

    TLS variables apply to an address, as to that of `docker --host`, and not to a context.
    Raises `DeployError` for a context that does not exist and for files that are missing.
    """
    if address:
        return _at(address, "environments.yaml")
    if host := os.environ.get("DOCKER_HOST"):
        return _at(host, "DOCKER_HOST")
    if name := os.environ.get("DOCKER_CONTEXT"):
        return _of_context(name, "DOCKER_CONTEXT")
    config = _config_folder() / "config.json"
    return _of_context(_current_context(config), str(config))


def other_sockets() -> list[str]:
    """Return the addresses of sockets that this user may open, and `docker` does not try."""
    # In this order: a folder of root's, such as /run/podman, makes `is_socket` raise.
    usable = [path for path in _known_sockets() if os.access(path, os.W_OK) and path.is_socket()]
    return [f"unix://{path}" for path in usable]


def _known_sockets() -> Iterator[Path]:
    user = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    # Rootless Docker, then Podman for a user and for root.
    yield user / "docker.sock"
    yield user / "podman/podman.sock"
    yield Path("/run/podman/podman.sock")
    # Docker Desktop (macOS, Linux), Colima, OrbStack, Rancher Desktop.
    for name in (
        ".docker/run/docker.sock",
        ".docker/desktop/docker.sock",
        ".colima/default/docker.sock",
        ".orbstack/run/docker.sock",
        ".rd/docker.sock",
    ):
        yield Path.home() / name


def _at(address: str, source: str) -> Endpoint:
    normal = _normal(address, source)
    if not normal.startswith("tcp://"):
        return Endpoint(normal, source)
    tls, skip_verify = _tls_of_variables()
    return Endpoint(normal, source, "", tls, skip_verify)


def _normal(address: str, source: str) -> str:
    """Return `address` with what the docker command adds to it: a scheme, a port, a path."""
    scheme, separator, rest = address.strip().partition("://")
    if not separator:
        scheme, rest = ("unix" if scheme.startswith(("/", "./")) else "tcp"), scheme
    if scheme == "unix":
        return f"unix://{rest}" if rest else DEFAULT_SOCKET
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port, password = parts.port, parts.password
    except ValueError:
        raise _no_address(address, source) from None
    if scheme == "ssh" and parts.hostname and not password:
        return f"ssh://{rest}"
    if scheme == "tcp" and not parts.username:
        name = parts.hostname or "localhost"
        host = f"[{name}]" if ":" in name else name
        return f"tcp://{host}:{port or DEFAULT_PORT}{parts.path}".rstrip("/")
    raise _no_address(address, source)


def _no_address(address: str, source: str) -> DeployError:
    # A password may be in it, which docker refuses as well.
    shown = "ssh://…" if "@" in address else address
    what = f"{shown} is no address of a Docker engine"
    return DeployError(source, what, "write unix:///path, tcp://host:2375 or ssh://user@host")


def _tls_of_variables() -> tuple[TlsFiles | None, bool]:
    """Return the TLS files that variables name, and whether any certificate is accepted.

    Any value turns a variable on, as for the docker command: also "0".
    """
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not verify and not os.environ.get("DOCKER_TLS"):
        return None, False
    given = os.environ.get("DOCKER_CERT_PATH")
    folder = Path(given) if given else _config_folder()
    files = _tls_files(folder)
    if files.ca is None:
        where = "DOCKER_CERT_PATH" if given else "DOCKER_TLS_VERIFY" if verify else "DOCKER_TLS"
        what = f"TLS to the engine needs {folder}/ca.pem, which does not exist"
        hint = "set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem"
        raise DeployError(where, what, hint)
    return files, not verify


def _tls_files(folder: Path) -> TlsFiles:
    ca, certificate, key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    pair = certificate.is_file() and key.is_file()
    return TlsFiles(
        ca if ca.is_file() else None, certificate if pair else None, key if pair else None
    )


def _config_folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _current_context(path: Path) -> str:
    """Return the context that `docker context use` chose."""
    content = _json(path) if path.exists() else {}
    return str(content.get("currentContext") or DEFAULT_CONTEXT)


def _of_context(name: str, chosen_by: str) -> Endpoint:
    """Return the engine of a context; `chosen_by` is the variable or file that names it."""
    if name == DEFAULT_CONTEXT:
        return _default()
    identifier = hashlib.sha256(name.encode()).hexdigest()
    contexts = _config_folder() / "contexts"
    meta = contexts / "meta" / identifier / "meta.json"
    if not meta.is_file():
        known = ", ".join([DEFAULT_CONTEXT, *_names(contexts)])
        what = f'there is no Docker context "{name}"'
        raise DeployError(chosen_by, what, f"known: {known}; choose one with `docker context use`")
    source = f"context {name}"
    content = _json(meta)
    target = (content.get("Endpoints") or {}).get("docker")
    if not isinstance(target, Mapping):
        what = f'the Docker context "{name}" names no engine'
        raise DeployError(chosen_by, what, "choose another with `docker context use`")
    address = _normal(str(target.get("Host") or DEFAULT_SOCKET), source)
    if not address.startswith("tcp://"):
        return Endpoint(address, source, name)
    files = _tls_files(contexts / "tls" / identifier / "docker")
    skip_verify = bool(target.get("SkipTLSVerify"))
    tls = files if skip_verify or files != TlsFiles() else None
    return Endpoint(address, source, name, tls, skip_verify)


def _default() -> Endpoint:
    tls, skip_verify = _tls_of_variables()
    if tls is None:
        return Endpoint(DEFAULT_SOCKET, DEFAULT_SOURCE)
    source = "DOCKER_TLS" if skip_verify else "DOCKER_TLS_VERIFY"
    return Endpoint(DEFAULT_TLS_ADDRESS, source, "", tls, skip_verify)


def _names(contexts: Path) -> list[str]:
    """Return the names of the contexts that can be read."""
    names = []
    for path in contexts.glob("meta/*/meta.json"):
        try:
            names.append(str(_json(path)["Name"]))
        except (DeployError, KeyError):
            continue
    return sorted(names)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeployError(str(path), f"it cannot be read: {error.strerror}", _REPAIR) from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DeployError(str(path), "it is no JSON object", _REPAIR)
    return content


_REPAIR = "correct it, or set DOCKER_HOST, which the docker command takes first"
