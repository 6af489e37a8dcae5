"""Find the engine that the `docker` command would use.

The order is that of docker/cli (`resolveContextName` in cli/command/cli.go, cli/flags/options.go,
opts/hosts.go). docker-py's own search differs: it finds contexts only beside a config.json, uses
the default socket if a context is missing, and drops a context's certificates unless all three
files exist.
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

from deploy.core.errors import DeployError

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
DEFAULT_TLS_ADDRESS = "tcp://localhost:2376"
# docker/cli also uses this port with TLS.
DEFAULT_PORT = 2375
DEFAULT_SOURCE = "the default socket"
DEFAULT_CONTEXT = "default"
# Variables that select an engine. The docker command must not see them together with flags.
ENGINE_VARIABLES = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files for TLS."""

    # Without it, a public authority must have signed the engine's certificate.
    ca: Path | None = None
    certificate: Path | None = None  # the client's, used with `key`
    key: Path | None = None


@dataclass(frozen=True)
class Endpoint:
    """The address of an engine, and how to authenticate there."""

    address: str  # unix:///path, tcp://host:port or ssh://user@host
    source: str  # where it is set: DOCKER_HOST, environments.yaml, context colima …
    context: str = ""  # the docker command's context, "" for an address
    tls: TlsFiles | None = None  # None: no TLS
    skip_verify: bool = False  # TLS that accepts any certificate

    @property
    def scheme(self) -> str:
        """The scheme of the address: unix, tcp or ssh."""
        return self.address.partition("://")[0]

    @property
    def is_default(self) -> bool:
        """Whether it is the default: no variable, file or context selects it."""
        return self.source == DEFAULT_SOURCE

    def command_line(self) -> tuple[str, ...]:
        """Return the flags that make the `docker` command use this engine and no other.

        Contexts are given by address, too, because buildx calls the builder of `--host` "default".
        """
        host = ("--host", self.address)
        if self.tls is None:
            return host
        # An empty name stops the command from using its default files (~/.docker/cert.pem).
        return (
            *host,
            "--tls" if self.skip_verify else "--tlsverify",
            f"--tlscacert={self.tls.ca or ''}",
            f"--tlscert={self.tls.certificate or ''}",
            f"--tlskey={self.tls.key or ''}",
        )

    def environment(self) -> dict[str, str]:
        """Return the environment of this process without the variables that select an engine."""
        return {name: value for name, value in os.environ.items() if name not in ENGINE_VARIABLES}


def find_endpoint(address: str | None = None) -> Endpoint:
    """Return the engine at `address`, or the one that the `docker` command would use.

    TLS variables apply to an address, as with `docker --host`, and not to a context. Raises
    `DeployError` for a context that does not exist and for missing files.
    """
    if address:
        return _from_address(address, "environments.yaml")
    if host := os.environ.get("DOCKER_HOST"):
        return _from_address(host, "DOCKER_HOST")
    if name := os.environ.get("DOCKER_CONTEXT"):
        return _from_context(name, "DOCKER_CONTEXT")
    config = _config_folder() / "config.json"
    return _from_context(_current_context(config), str(config))


def find_other_sockets() -> list[str]:
    """Return the addresses of sockets that this user may open, but `docker` does not try."""
    # Checks access first: `is_socket` raises in a folder of root, such as /run/podman.
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


def _from_address(address: str, source: str) -> Endpoint:
    normal = _normalize_address(address, source)
    if not normal.startswith("tcp://"):
        return Endpoint(normal, source)
    tls, skip_verify = _tls_from_variables()
    return Endpoint(normal, source, "", tls, skip_verify)


def _normalize_address(address: str, source: str) -> str:
    """Return `address` with the defaults that the docker command adds: scheme, port, path."""
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
    # An address may contain a password, which docker rejects as well.
    redacted = "ssh://…" if "@" in address else address
    message = f"{redacted} is not the address of a Docker engine"
    return DeployError(source, message, "write unix:///path, tcp://host:2375 or ssh://user@host")


def _tls_from_variables() -> tuple[TlsFiles | None, bool]:
    """Return the TLS files that variables name, and whether any certificate is accepted.

    Any value turns a variable on, even "0", as in the docker command.
    """
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not verify and not os.environ.get("DOCKER_TLS"):
        return None, False
    cert_path = os.environ.get("DOCKER_CERT_PATH")
    folder = Path(cert_path) if cert_path else _config_folder()
    files = _tls_files(folder)
    if files.ca is None:
        variable = (
            "DOCKER_CERT_PATH" if cert_path else "DOCKER_TLS_VERIFY" if verify else "DOCKER_TLS"
        )
        message = f"TLS to the engine needs {folder}/ca.pem, which does not exist"
        hint = "set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem"
        raise DeployError(variable, message, hint)
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
    """Return the context that `docker context use` selected."""
    content = _read_json(path) if path.exists() else {}
    return str(content.get("currentContext") or DEFAULT_CONTEXT)


def _from_context(name: str, chosen_by: str) -> Endpoint:
    """Return the engine of the context `name`; `chosen_by` is the variable or file naming it."""
    if name == DEFAULT_CONTEXT:
        return _default_endpoint()
    identifier = hashlib.sha256(name.encode()).hexdigest()
    contexts = _config_folder() / "contexts"
    meta = contexts / "meta" / identifier / "meta.json"
    if not meta.is_file():
        known = ", ".join([DEFAULT_CONTEXT, *_context_names(contexts)])
        message = f'there is no Docker context "{name}"'
        raise DeployError(
            chosen_by, message, f"known: {known}; choose one with `docker context use`"
        )
    source = f"context {name}"
    content = _read_json(meta)
    target = (content.get("Endpoints") or {}).get("docker")
    if not isinstance(target, Mapping):
        message = f'the Docker context "{name}" names no engine'
        raise DeployError(chosen_by, message, "choose another with `docker context use`")
    address = _normalize_address(str(target.get("Host") or DEFAULT_SOCKET), source)
    if not address.startswith("tcp://"):
        return Endpoint(address, source, name)
    files = _tls_files(contexts / "tls" / identifier / "docker")
    skip_verify = bool(target.get("SkipTLSVerify"))
    tls = files if skip_verify or files != TlsFiles() else None
    return Endpoint(address, source, name, tls, skip_verify)


def _default_endpoint() -> Endpoint:
    tls, skip_verify = _tls_from_variables()
    if tls is None:
        return Endpoint(DEFAULT_SOCKET, DEFAULT_SOURCE)
    source = "DOCKER_TLS" if skip_verify else "DOCKER_TLS_VERIFY"
    return Endpoint(DEFAULT_TLS_ADDRESS, source, "", tls, skip_verify)


def _context_names(contexts: Path) -> list[str]:
    """Return the names of all contexts whose files can be read."""
    names = []
    for path in contexts.glob("meta/*/meta.json"):
        try:
            names.append(str(_read_json(path)["Name"]))
        except (DeployError, KeyError):
            continue
    return sorted(names)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeployError(str(path), f"it cannot be read: {error.strerror}", _REPAIR_HINT) from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DeployError(str(path), "it is not a JSON object", _REPAIR_HINT)
    return content


_REPAIR_HINT = "correct it, or set DOCKER_HOST, which takes precedence"
