"""The nouns: values that do not change, and neither read nor write anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.evaluation.settings import EvaluationModel


@dataclass(frozen=True)
class ImageSettings:
    """How an image is made."""

    python: str = "3.11"
    platform: str = "linux/amd64"
    # A reference; None for the official slim Python image.
    base: str | None = None
    # Debian packages that the flow needs besides Python's: `name` or `name=version`.
    system_packages: tuple[str, ...] = ()
    # The file that says so, for messages: flows/faq/deploy.yaml.
    origin: str = field(default="", compare=False)
    # The most that the image may add to its base, in bytes.
    max_size: int | None = None


@dataclass(frozen=True)
class Pictures:
    """Hosts from which pictures in requests are fetched; `private` ones may be in the network."""

    urls: tuple[str, ...] = ()
    private: bool = False


@dataclass(frozen=True)
class AllowedSecret:
    """What looks like a secret and is none: in which files, by which rule, and why it may stay."""

    file: str
    rule: str
    reason: str


@dataclass(frozen=True)
class Flow:
    """A source folder under flows/, with what its deploy.yaml says that holds in every environment.

    `entry` is the file that makes it a flow, `connections` are declarations that name environment
    variables, and `expect` is the shape of a good answer. `environments` maps each environment to
    the name of its target. `allow_secrets` are exceptions for the gate before a push. `evaluation`
    is how its answers are judged, None where deploy.yaml does not say.
    """

    name: str
    folder: Path
    kind: str
    entry: str
    sample: Path
    expect: Any
    connections: Mapping[str, Mapping[str, Any]]
    init: Mapping[str, Any]
    image: ImageSettings
    environments: Mapping[str, str]
    allow_secrets: tuple[AllowedSecret, ...] = ()
    evaluation: EvaluationModel | None = None
    pictures: Pictures = Pictures()


@dataclass(frozen=True)
class Spec:
    """One flow in one environment, validated and complete.

    `settings` and `place` are the target's own types: how the flow runs there, and where there is.
    `variables` go to the container; `missing` are variables under env.secret that are not
    set. `secrets` names those that may not be shown. `origins` tells
    for each key path the file and line, or the default, that it came from.
    """

    project: str
    flow: Flow
    environment: str
    target: str
    settings: Any
    place: Any
    variables: Mapping[str, str] = field(repr=False)
    secrets: frozenset[str]
    missing: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The spec in words, for messages: `faq in local`."""
        return f"{self.flow.name} in {self.environment}"

    @property
    def options(self) -> str:
        """What follows a command that is for this spec."""
        return f"--flow {self.flow.name} --env {self.environment}"


@dataclass(frozen=True)
class Image:
    """A built image: `tag` is the hash of its inputs, `id` its name where it is kept.

    On an engine that is the id of its store: the digest of the configuration, or with the store of
    containerd that of the manifest. In a registry it is the digest of the configuration.

    `digest` is the manifest's digest in a registry, and None until the image is there.
    """

    repository: str
    tag: str
    id: str
    platform: str
    base: str
    commit: str
    digest: str | None = None

    @property
    def reference(self) -> str:
        """Repository and tag, for people: `faq:1f2e…`."""
        return f"{self.repository}:{self.tag}"

    @property
    def pinned(self) -> str:
        """What is deployed: `registry/faq@sha256:…`; the image's id where it is in no registry."""
        return f"{self.repository}@{self.digest}" if self.digest else self.id


@dataclass(frozen=True)
class Attachment:
    """A document about an image that goes with it into a registry.

    `kind` is its name for people (sbom.cdx), `type` its media type.
    """

    kind: str
    type: str
    content: bytes


@dataclass(frozen=True)
class Step:
    """One change, or what one should know of it.

    `action` is create, change, replace, remove or keep; or note, for what changes nothing.
    A note whose `what` is not `note` tells of what somebody changed by hand. `before` and `after`
    are for people. `means` is for a change that is made only so that others come about.
    """

    action: str
    what: str
    before: str = ""
    after: str = ""
    why: str = ""
    means: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.action not in ("keep", "note")


@dataclass(frozen=True)
class Plan:
    """The changes that would bring a spec about, found by looking only.

    `found` is for the target alone: what it saw, and what it makes of that.
    """

    spec: Spec
    image: Image
    steps: tuple[Step, ...]
    found: Any = field(default=None, repr=False, compare=False)

    @property
    def changes(self) -> bool:
        """Whether anything would change."""
        return any(step.changes for step in self.steps)


@dataclass(frozen=True)
class Share:
    """One of several versions that are there at once, and the per cent of requests it gets.

    `since` is when it came to have that share, empty where nobody knows; `by` is who saw to it.
    """

    name: str
    percent: int
    state: str
    tag: str
    commit: str
    digest: str
    since: str
    by: str = ""


@dataclass(frozen=True)
class Deployment:
    """What runs.

    `state` is healthy, starting, unhealthy or stopped; `auth` tells how a caller authenticates;
    `digest` is the image's in its registry, empty where it came from none. `shares` are all
    versions that are there, on a target that has several at once; the rest is of the largest.
    """

    flow: str
    environment: str
    target: str
    state: str
    url: str
    auth: str
    image_id: str
    tag: str
    commit: str
    created: str
    name: str
    digest: str = ""
    shares: tuple[Share, ...] = ()
