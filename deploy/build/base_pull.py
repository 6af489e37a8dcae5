"""Pull a base image, and say what to do where that fails."""

from __future__ import annotations

import contextlib

import docker
import docker.errors
from docker.models.images import Image as DockerImage

from deploy import console
from deploy.build import base_local
from deploy.docker import credentials, engine
from deploy.docker.credentials import DockerCredentials
from deploy.docker.pull import PullError, Reason, pull, registry_of
from deploy.errors import DeployError
from deploy.model import ImageSettings

ELSEWHERE = "set image.base or FLOW_BASE_IMAGE to a copy on a registry that it reaches"
# What is wrong, where the engine's own words follow, and what to do.
WHAT = {
    Reason.UNREACHABLE: "the engine cannot reach its registry",
    Reason.LIMITED: "its registry limits how often this address pulls",
    Reason.DENIED: "its registry refuses the pull",
    Reason.MISSING: "its registry has no such image",
    Reason.PLATFORM: "its registry has no image for {platform}",
    Reason.FAILING: "its registry fails",
    Reason.STALLED: "its registry stalls",
    Reason.BROKEN: "the connection to its registry broke",
    Reason.DISK: "the disk of the engine is full",
    Reason.REFERENCE: "this is not a valid reference",
    Reason.OTHER: "it cannot be pulled",
}
HINTS = {
    Reason.UNREACHABLE: f"let the engine reach it (a proxy is set on the engine), or {ELSEWHERE}",
    Reason.LIMITED: "`{login}`, which raises the limit; or set a mirror in the "
    "engine's registry-mirrors; or set image.base or FLOW_BASE_IMAGE to an image on a registry "
    "without such a limit",
    Reason.DENIED: "`{login}` with a user who may pull it",
    Reason.MISSING: "correct the name: {named}",
    Reason.PLATFORM: "set image.platform to a platform that it has, or choose another base",
    Reason.FAILING: "try again in some minutes; its operator's status page may say more",
    Reason.STALLED: "try again: layers that have arrived are kept",
    Reason.BROKEN: "try again: layers that have arrived are kept",
    Reason.DISK: "make room: `docker system df`, `docker system prune`",
    Reason.REFERENCE: "correct it: {named}",
    Reason.OTHER: "`docker pull {reference}` shows more",
}
# Where a helper of the docker command that failed may be the cause.
CREDENTIALS = (Reason.LIMITED, Reason.DENIED, Reason.MISSING)
PINNED = "base.lock pins it, so no other base takes its place"


class BasePullError(Exception):
    """A base that cannot be pulled: the reason, the engine's words, and the error for users."""

    def __init__(self, reason: Reason, text: str, error: DeployError) -> None:
        self.reason, self.text, self.error = reason, text, error
        super().__init__(text)


def get(
    client: docker.DockerClient, reference: str, settings: ImageSettings, pinned: bool
) -> tuple[DockerImage, str]:
    """Pull `reference`; return the image, and its reference by digest.

    Raises:
        BasePullError: It cannot be pulled.
        DeployError: What arrived is not what was asked for.
    """
    known = credentials.resolve(registry_of(reference))
    doing = f"pulling {reference}"
    try:
        with engine.explained(doing), console.phase("base", doing) as phase:
            base_local.make_room(client, reference, settings.platform)
            digest = pull(client, reference, settings.platform, known.auth, phase.now)
    except PullError as error:
        problem = _problem(error, reference, settings, known, pinned)
        raise BasePullError(error.reason, error.text, problem) from None
    with engine.explained(doing):
        image = base_local.get(client, reference, settings.platform)
    platform = base_local.platform_of(image)
    if platform != settings.platform:
        what = f"its registry sent it for {platform}, and {settings.platform} was asked for"
        hint = "choose a base that is published for that platform: image.base"
        raise DeployError(f"base image {reference}", what, hint)
    name = by_digest(image, reference, digest)
    with contextlib.suppress(PullError), engine.explained(doing):
        if not base_local.resolves(client, image, name):
            # Its layers are there; a build then finds it by digest without asking the registry.
            pull(client, name, settings.platform, known.auth)
            image = base_local.get(client, name, settings.platform)
    return image, name


def by_digest(image: DockerImage, reference: str, digest: str = "") -> str:
    """Return `reference` by digest where `image` came from a registry.

    An engine may know several digests (of the index and of the manifest): `digest` is the one that
    the registry gave for the reference.
    """
    if "@" in reference:
        return reference
    repository = repository_of(reference)
    known = [
        str(name)
        for name in image.attrs.get("RepoDigests") or []
        if _full(str(name).partition("@")[0]) == _full(repository)
    ]
    given = [name for name in known if digest and name.endswith(f"@{digest}")]
    if digest and not given:
        # It names the image of another platform on this engine.
        return f"{repository}@{digest}"
    return next(iter([*given, *known]), reference)


def repository_of(reference: str) -> str:
    """Return `reference` without its tag and digest."""
    name = reference.partition("@")[0]
    return name.rsplit(":", 1)[0] if ":" in name.rsplit("/", 1)[-1] else name


def _full(repository: str) -> str:
    """Return the name of a repository as podman writes it: with Docker Hub's address."""
    first, separator, _ = repository.partition("/")
    if not separator:
        return f"docker.io/library/{repository}"
    if "." in first or ":" in first or first == "localhost":
        return repository
    return f"docker.io/{repository}"


def _problem(
    error: PullError,
    reference: str,
    settings: ImageSettings,
    known: DockerCredentials,
    pinned: bool,
) -> DeployError:
    named = "image.base or FLOW_BASE_IMAGE names it" if settings.base else "image.python names it"
    named = "base.lock names it" if pinned else named
    server = registry_of(reference)
    values = {
        "platform": settings.platform,
        "login": "docker login" if server == "docker.io" else f"docker login {server}",
        "named": named,
        "reference": reference,
    }
    what = f"{WHAT[error.reason].format(**values)} ({error.text})"
    hint = HINTS[error.reason].format(**values)
    if known.problem and error.reason in CREDENTIALS:
        what = f"{what}; it was asked without credentials, as {known.problem}"
        hint = f"{credentials.HINT}; or {hint}"
    if pinned:
        hint = f"{hint}; {PINNED}"
    return DeployError(f"base image {reference}", what, hint)
