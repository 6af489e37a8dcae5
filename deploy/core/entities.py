"""The nouns of the domain: immutable values that do no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from typing_extensions import TypeVar

# How a flow runs on a target, and where the target is, in the target's own types. A bare `Spec` is
# one for any target, whose settings and place cannot be read.
SettingsT_co = TypeVar("SettingsT_co", covariant=True, default=object)
PlaceT_co = TypeVar("PlaceT_co", covariant=True, default=object)


@dataclass(frozen=True)
class ImageSettings:
    """The settings with which the image of a flow is built."""

    python: str = "3.11"
    platform: str = "linux/amd64"
    # The reference of the base image; None for the official slim Python image.
    base: str | None = None
    # Debian packages that the flow needs in addition to Python packages: `name` or `name=version`.
    system_packages: tuple[str, ...] = ()
    # The file that these settings come from, for messages: flows/faq/deploy.yaml.
    origin: str = field(default="", compare=False)
    # How much larger than its base the image may be, in bytes.
    max_size: int | None = None


@dataclass(frozen=True)
class PictureSources:
    """The hosts from which the server fetches pictures that requests refer to."""

    urls: tuple[str, ...] = ()
    # Whether the hosts may have addresses in private networks.
    private: bool = False


@dataclass(frozen=True)
class AllowedSecret:
    """An exception for the secret scan: text that looks like a secret and is not one."""

    # A path in the image; it may be a pattern.
    file: str
    # The rule that reports the text (`secret_patterns`, `entropy`).
    rule: str
    # Why the text may stay.
    reason: str


@dataclass(frozen=True)
class Bounds:
    """The allowed range of a metric; None means no limit on that side."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class EvaluationFlow:
    """An evaluation flow that scores each answer, with the thresholds of its metrics."""

    # Each input by name: `${data.…}`, `${run.outputs.…}` or a value.
    inputs: Mapping[str, Any]
    # The arguments that a flex flow's class is constructed with.
    init: Mapping[str, Any]
    # The range of each metric by its name.
    thresholds: Mapping[str, Bounds]


@dataclass(frozen=True)
class Evaluation:
    """The data set of a flow, and the evaluation flows that score its answers."""

    # The file with the data set, relative to the flow's folder.
    data: str
    inputs: Mapping[str, Any]
    # Evaluation flows by their folders, relative to the flow's folder.
    flows: Mapping[str, EvaluationFlow]
    # How many rows run at a time.
    concurrency: int
    # Seconds for the whole evaluation.
    timeout: int


@dataclass(frozen=True)
class Flow:
    """A source folder under flows/, with the part of deploy.yaml that all environments share."""

    name: str
    folder: Path
    # The name of a kind of flow (`deploy.kinds`).
    kind: str
    # The file that makes the folder a flow, such as flow.dag.yaml.
    entry: str
    sample: Path
    # The shape of a good answer.
    expect: Any
    # Declarations by connection name; they name environment variables, not values.
    connections: Mapping[str, Mapping[str, Any]]
    init: Mapping[str, Any]
    image: ImageSettings
    # The name of the target for each environment.
    environments: Mapping[str, str]
    # Exceptions for the secret scan before a push.
    allow_secrets: tuple[AllowedSecret, ...] = ()
    # How the answers are evaluated; None if deploy.yaml does not say.
    evaluation: Evaluation | None = None
    pictures: PictureSources = PictureSources()


@dataclass(frozen=True)
class Spec(Generic[SettingsT_co, PlaceT_co]):
    """The validated and complete configuration of one flow in one environment."""

    project: str
    flow: Flow
    environment: str
    target: str
    # How the flow runs on the target (from deploy.yaml).
    settings: SettingsT_co
    # Where the target is (from environments.yaml).
    place: PlaceT_co
    # The environment variables of the container.
    variables: Mapping[str, str] = field(repr=False)
    # The names of the variables whose values must not be displayed.
    secrets: frozenset[str]
    # The variables under env.secret that are not set.
    missing: tuple[str, ...] = ()
    # For each key path the file and line, or the default, that its value comes from.
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the spec in messages: `faq in local`."""
        return f"{self.flow.name} in {self.environment}"

    @property
    def options(self) -> str:
        """The command-line options that select this spec."""
        return f"--flow {self.flow.name} --env {self.environment}"


@dataclass(frozen=True)
class Image:
    """A built image."""

    repository: str
    # The hash of the inputs of the build.
    tag: str
    # The name of the image where it is stored. On an engine: the id in its image store, which is
    # the digest of the configuration, or with the containerd store the digest of the manifest. In a
    # registry: the digest of the configuration.
    id: str
    platform: str
    base: str
    commit: str
    # The digest of the manifest in a registry; None until the image is pushed.
    digest: str | None = None

    @property
    def reference(self) -> str:
        """Repository and tag, for display: `faq:1f2e…`."""
        return f"{self.repository}:{self.tag}"

    @property
    def pinned(self) -> str:
        """Reference to deploy: `registry/faq@sha256:…`, or the id of an image in no registry."""
        return f"{self.repository}@{self.digest}" if self.digest else self.id


@dataclass(frozen=True)
class Attachment:
    """A document about an image that is pushed to the registry with it."""

    # A short name for display, such as sbom.cdx.
    kind: str
    # The media type.
    type: str
    content: bytes


@dataclass(frozen=True)
class Step:
    """One change of a plan, or a note about it."""

    # create, change, replace, remove or keep; or note, for information that changes nothing.
    action: str
    # The thing that changes. In a note: `note`, or the thing that was changed manually.
    what: str
    # The value before and after the change, for display.
    before: str = ""
    after: str = ""
    why: str = ""
    # Whether the change is made only because other changes need it.
    implied: bool = False

    @property
    def is_change(self) -> bool:
        """Whether this step changes anything."""
        return self.action not in ("keep", "note")

    def __str__(self) -> str:
        """Return the step as a line of text."""
        if self.action == "note":
            return self.why
        values = [self.before, self.after] if self.before != self.after else []
        change = " → ".join(value for value in values if value)
        return f"{self.action} {self.what}{f': {change}' if change else ''} ({self.why})"


@dataclass(frozen=True)
class Plan(Generic[SettingsT_co, PlaceT_co]):
    """The changes that would bring a target to a spec, computed without changing anything."""

    spec: Spec[SettingsT_co, PlaceT_co]
    image: Image
    steps: tuple[Step, ...]
    # The state that the target observed, and its conclusions. Only the target reads it.
    target_state: Any = field(default=None, repr=False, compare=False)

    @property
    def has_changes(self) -> bool:
        """Whether applying the plan would change anything."""
        return any(step.is_change for step in self.steps)


@dataclass(frozen=True)
class TrafficShare:
    """One of several versions that run at the same time, with its share of the traffic."""

    name: str
    # The share of the requests, in per cent.
    percent: int
    state: str
    tag: str
    commit: str
    digest: str
    # When the version got this share; empty if that is not known.
    since: str
    # Who set the share.
    by: str = ""


@dataclass(frozen=True)
class Deployment:
    """The current state of a deployed flow."""

    flow: str
    environment: str
    target: str
    # healthy, starting, unhealthy or stopped.
    state: str
    url: str
    # How a client authenticates.
    auth: str
    image_id: str
    tag: str
    commit: str
    created: str
    name: str
    # The digest of the image in its registry; empty if it came from none.
    digest: str = ""
    # All running versions, on a target that can run several; the other fields describe the version
    # with the largest share.
    shares: tuple[TrafficShare, ...] = ()
