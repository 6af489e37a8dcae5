"""The docker command's credentials: its configuration file, and the helpers that it names."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import dataclass, field

import docker.auth
import docker.errors

HELPER = "docker-credential-"
# What to do about a `problem`.
HINT = "install that helper, or take it out of config.json of the docker command"


@dataclass(frozen=True)
class DockerCredentials:
    """Credentials of the docker command for one registry."""

    # In the form of docker's `auth_config`; empty for an anonymous client.
    auth: dict[str, str] = field(default_factory=dict, repr=False)
    # Why a helper gives none, as a clause that names it; empty where nothing failed.
    problem: str = ""


def resolve(server: str) -> DockerCredentials:
    """Return what `docker login` and credential helpers know of the registry `server`.

    A helper that is missing or fails gives no credentials: a registry may need none.
    """
    try:
        config = docker.auth.load_config()
    except docker.errors.DockerException as error:
        return DockerCredentials(problem=f"config.json of the docker command is not valid: {error}")
    except ValueError:
        # Its text may quote what was read.
        return DockerCredentials(problem="config.json of the docker command cannot be read")
    helper = f"{HELPER}{config.get_credential_store(server)}"
    try:
        with warnings.catch_warnings():
            # docker warns of a missing helper on standard error; it is in `problem`.
            warnings.simplefilter("ignore")
            return DockerCredentials(_plain(config.resolve_authconfig(server) or {}))
    except docker.errors.DockerException as error:
        problem = f"{helper} fails: {_short(error)}"
        if shutil.which(helper) is None:
            problem = f"{helper} is not on the path"
    except (ValueError, KeyError, TypeError, OSError):
        # Its text may quote what the helper printed.
        problem = f"the answer of {helper} cannot be read"
    # What the file itself holds, without the helper.
    auths = docker.auth.AuthConfig({"auths": config.auths})
    return DockerCredentials(_plain(auths.resolve_authconfig(server) or {}), problem)


def _plain(found: dict[str, str]) -> dict[str, str]:
    """Return credentials under one spelling: files and helpers have different ones."""
    lower = {key.lower(): value for key, value in found.items() if value}
    return {key: lower[key] for key in ("username", "password", "identitytoken") if key in lower}


def _short(error: Exception) -> str:
    text = " ".join(str(error.__cause__ or error).split())
    reported = re.search(r'exited with "(.*)"', text)
    return (reported[1].strip() if reported else text)[:200]
