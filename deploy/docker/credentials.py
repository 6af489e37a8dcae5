"""The docker command's credentials: its configuration file, and its credential helpers."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import dataclass, field

import docker.auth
import docker.errors

HELPER_PREFIX = "docker-credential-"
# The hint for a `problem`.
HELPER_HINT = "install that helper, or remove it from config.json of the docker command"


@dataclass(frozen=True)
class DockerCredentials:
    """Credentials of the docker command for one registry."""

    # In the form of docker's `auth_config`; empty for an anonymous client.
    auth: dict[str, str] = field(default_factory=dict, repr=False)
    # Why a helper returned none, as a clause that names the helper; empty without a failure.
    problem: str = ""


def resolve_credentials(server: str) -> DockerCredentials:
    """Return the credentials that `docker login` or a helper stored for the registry `server`.

    A missing or failing helper yields no credentials: a registry may need none.
    """
    try:
        config = docker.auth.load_config()
    except docker.errors.DockerException as error:
        return DockerCredentials(problem=f"config.json of the docker command is not valid: {error}")
    except ValueError:
        # The error may quote the file, which holds credentials.
        return DockerCredentials(problem="config.json of the docker command cannot be read")
    helper = f"{HELPER_PREFIX}{config.get_credential_store(server)}"
    try:
        with warnings.catch_warnings():
            # docker-py warns about a missing helper on standard error; `problem` reports it.
            warnings.simplefilter("ignore")
            return DockerCredentials(_normalize(config.resolve_authconfig(server) or {}))
    except docker.errors.DockerException as error:
        problem = f"{helper} fails: {_error_summary(error)}"
        if shutil.which(helper) is None:
            problem = f"{helper} is not on the path"
    except (ValueError, KeyError, TypeError, OSError):
        # The error may quote the helper's output, which holds credentials.
        problem = f"the answer of {helper} cannot be read"
    # Fall back to the credentials in the file itself.
    auths = docker.auth.AuthConfig({"auths": config.auths})
    return DockerCredentials(_normalize(auths.resolve_authconfig(server) or {}), problem)


def _normalize(credentials: dict[str, str]) -> dict[str, str]:
    """Return credentials with uniform keys: files and helpers spell them differently."""
    lower = {key.lower(): value for key, value in credentials.items() if value}
    return {key: lower[key] for key in ("username", "password", "identitytoken") if key in lower}


def _error_summary(error: Exception) -> str:
    text = " ".join(str(error.__cause__ or error).split())
    reported = re.search(r'exited with "(.*)"', text)
    return (reported[1].strip() if reported else text)[:200]
