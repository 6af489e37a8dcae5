"""Pull a base image; explain errors and how to resolve them."""

from __future__ import annotations

import contextlib

import docker
import docker.errors
from docker.models.images import Image as DockerImage

from deploy.build import base_image_store
from deploy.core import progress
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError
from deploy.docker import credentials, engine
from deploy.docker.credentials import DockerCredentials
from deploy.docker.pull import PullError, PullFailure, parse_registry, pull

MIRROR_HINT = "set image.base or FLOW_BASE_IMAGE to a copy in a registry that it reaches"
# The message and the hint for each reason; the engine's own error is appended to the message.
MESSAGES = {
    PullFailure.UNREACHABLE: "the engine cannot reach its registry",
    PullFailure.LIMITED: "its registry limits the pulls from this address",
    PullFailure.DENIED: "its registry refuses the pull",
    PullFailure.MISSING: "its registry has no such image",
    PullFailure.PLATFORM: "its registry has no image for {platform}",
    PullFailure.FAILING: "its registry fails",
    PullFailure.STALLED: "its registry stalls",
    PullFailure.BROKEN: "the connection to its registry broke",
    PullFailure.DISK: "the disk of the engine is full",
    PullFailure.REFERENCE: "this is not a valid reference",
    PullFailure.OTHER: "it cannot be pulled",
}
HINTS = {
    PullFailure.UNREACHABLE: (
        f"let the engine reach it (a proxy is set on the engine), or {MIRROR_HINT}"
    ),
    PullFailure.LIMITED: "`{login}`, which raises the limit; or set a mirror in the "
    "engine's registry-mirrors; or set image.base or FLOW_BASE_IMAGE to an image on a registry "
    "without such a limit",
    PullFailure.DENIED: "`{login}` with a user who may pull it",
    PullFailure.MISSING: "correct the name: {named}",
    PullFailure.PLATFORM: "set image.platform to a platform that it has, or choose another base",
    PullFailure.FAILING: "try again in a few minutes, or see the registry's status page",
    PullFailure.STALLED: "try again: downloaded layers are kept",
    PullFailure.BROKEN: "try again: downloaded layers are kept",
    PullFailure.DISK: "free disk space: `docker system df`, `docker system prune`",
    PullFailure.REFERENCE: "correct it: {named}",
    PullFailure.OTHER: "`docker pull {reference}` shows more",
}
# Reasons that may be caused by a credential helper of the docker command that failed.
CREDENTIAL_REASONS = (PullFailure.LIMITED, PullFailure.DENIED, PullFailure.MISSING)
PINNED_HINT = "base.lock pins it, so no other base replaces it"


class BasePullError(Exception):
    """A failed pull of a base: the reason, the engine's message, and the error for users."""

    def __init__(self, reason: PullFailure, text: str, error: DeployError) -> None:
        self.reason, self.text, self.error = reason, text, error
        super().__init__(text)


def pull_image(
    client: docker.DockerClient, reference: str, settings: ImageSettings, pinned: bool
) -> tuple[DockerImage, str]:
    """Pull `reference`; return the image, and its reference by digest.

    Raises:
        BasePullError: The image cannot be pulled.
        DeployError: The pulled image is for another platform.
    """
    registry_credentials = credentials.resolve_credentials(parse_registry(reference))
    operation = f"pulling {reference}"
    try:
        with engine.translate_errors(operation), progress.phase("base", operation) as phase:
            base_image_store.release_reference(client, reference, settings.platform)
            digest = pull(
                client, reference, settings.platform, registry_credentials.auth, phase.update
            )
    except PullError as error:
        problem = _create_error(error, reference, settings, registry_credentials, pinned)
        raise BasePullError(error.reason, error.text, problem) from None
    with engine.translate_errors(operation):
        image = base_image_store.get(client, reference, settings.platform)
    platform = base_image_store.get_platform(image)
    if platform != settings.platform:
        message = f"its registry returned the image for {platform} instead of {settings.platform}"
        hint = "choose a base that is published for that platform: image.base"
        raise DeployError(f"base image {reference}", message, hint)
    name = add_digest(image, reference, digest)
    with contextlib.suppress(PullError), engine.translate_errors(operation):
        if not base_image_store.can_resolve(client, image, name):
            # Its layers are local already; a build then finds it by digest without querying the
            # registry.
            pull(client, name, settings.platform, registry_credentials.auth)
            image = base_image_store.get(client, name, settings.platform)
    return image, name


def add_digest(image: DockerImage, reference: str, digest: str = "") -> str:
    """Return `reference` by digest if `image` came from a registry.

    An engine may know several digests (of the index and of the manifest): `digest` is the one that
    the registry returned for the reference.
    """
    if "@" in reference:
        return reference
    repository = strip_tag(reference)
    digests = [
        str(name)
        for name in image.attrs.get("RepoDigests") or []
        if _expand_repository(str(name).partition("@")[0]) == _expand_repository(repository)
    ]
    matching = [name for name in digests if digest and name.endswith(f"@{digest}")]
    if digest and not matching:
        # The digest names the image of another platform on this engine.
        return f"{repository}@{digest}"
    return next(iter([*matching, *digests]), reference)


def strip_tag(reference: str) -> str:
    """Return `reference` without its tag and digest."""
    name = reference.partition("@")[0]
    return name.rsplit(":", 1)[0] if ":" in name.rsplit("/", 1)[-1] else name


def _expand_repository(repository: str) -> str:
    """Return a repository's name as podman writes it, with Docker Hub's address."""
    first, separator, _ = repository.partition("/")
    if not separator:
        return f"docker.io/library/{repository}"
    if "." in first or ":" in first or first == "localhost":
        return repository
    return f"docker.io/{repository}"


def _create_error(
    error: PullError,
    reference: str,
    settings: ImageSettings,
    registry_credentials: DockerCredentials,
    pinned: bool,
) -> DeployError:
    origin = "image.base or FLOW_BASE_IMAGE names it" if settings.base else "image.python names it"
    origin = "base.lock names it" if pinned else origin
    server = parse_registry(reference)
    values = {
        "platform": settings.platform,
        "login": "docker login" if server == "docker.io" else f"docker login {server}",
        "named": origin,
        "reference": reference,
    }
    message = f"{MESSAGES[error.reason].format(**values)} ({error.text})"
    hint = HINTS[error.reason].format(**values)
    if registry_credentials.problem and error.reason in CREDENTIAL_REASONS:
        message = f"{message}; no credentials were sent, because {registry_credentials.problem}"
        hint = f"{credentials.HELPER_HINT}; or {hint}"
    if pinned:
        hint = f"{hint}; {PINNED_HINT}"
    return DeployError(f"base image {reference}", message, hint)
