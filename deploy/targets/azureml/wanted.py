"""The deployment that a spec and an image ask for, and how one that is there differs from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.arm import variables
from deploy.model import Image, Spec
from deploy.targets.azureml import state
from deploy.targets.azureml.settings import Probe, place_of, settings_of
from deploy.targets.azureml.state import Endpoint, Version

# azure-identity's variable for which of several identities is meant.
CLIENT_ID = "AZURE_CLIENT_ID"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as wanted, for people; no secret is in it."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Wanted:
    """A deployment as it should be. `image` is None until it is in the registry.

    `count` is None where Azure Monitor decides; `hidden` are variables that may not be shown, and
    `plain` those of them whose value would be stored as it is.
    """

    image: str | None
    instance_type: str
    count: int | None
    variables: Mapping[str, str] = field(repr=False)
    timeout: float
    concurrency: int
    liveness: state.Probe
    readiness: state.Probe
    app_insights: bool
    hidden: frozenset[str] = frozenset()
    plain: tuple[str, ...] = ()


def of(spec: Spec, image: Image, endpoint: Endpoint | None) -> Wanted:
    """Return what `spec` and `image` ask for.

    The client id of a user-assigned identity is known once the endpoint is there.
    """
    settings = settings_of(spec)
    values = variables_of(spec)
    identity = place_of(spec).identity
    client = (endpoint.clients if endpoint else {}).get((identity or "").lower())
    if client and CLIENT_ID not in values:
        values[CLIENT_ID] = client
    return Wanted(
        image=image.pinned if image.digest else None,
        instance_type=settings.instance_type,
        count=None if settings.autoscale else settings.instance_count,
        variables=values,
        timeout=float(settings.request_timeout),
        concurrency=settings.max_concurrent_requests_per_instance,
        liveness=_probe(settings.probes.liveness),
        readiness=_probe(settings.probes.readiness),
        app_insights=settings.app_insights,
        hidden=variables.hidden(spec),
        plain=plain_secrets(spec),
    )


def variables_of(spec: Spec) -> dict[str, str]:
    """Return the container's variables, references in place of secrets where there are some."""
    settings = settings_of(spec)
    values = variables.plain(spec)
    for name, reference in settings.env.secret_refs.items():
        values[name] = f"${{{{{reference}}}}}"
    return variables.with_masked(spec, values)


def plain_secrets(spec: Spec) -> tuple[str, ...]:
    """Return the variables whose secret value would be stored in the deployment as it is."""
    referred = settings_of(spec).env.secret_refs
    return tuple(
        sorted(name for name in variables_of(spec) if name in spec.secrets and name not in referred)
    )


def differences(version: Version, wanted: Wanted) -> tuple[Difference, ...]:
    """Return why `version` is not what is wanted; the number of instances is no reason."""
    pairs = [
        ("image", version.image, wanted.image or "the new image"),
        ("instance_type", version.instance_type.lower(), wanted.instance_type.lower()),
        ("request_timeout", f"{version.timeout:g} s", f"{wanted.timeout:g} s"),
        (
            "max_concurrent_requests_per_instance",
            str(version.concurrency),
            str(wanted.concurrency),
        ),
        ("probes.liveness", _shown(version.liveness), _shown(wanted.liveness)),
        ("probes.readiness", _shown(version.readiness), _shown(wanted.readiness)),
        ("app_insights", _yes(version.app_insights), _yes(wanted.app_insights)),
    ]
    found = [Difference(what, before, after) for what, before, after in pairs if before != after]
    return (*found, *_variables(version.variables, wanted))


def _variables(before: Mapping[str, str], wanted: Wanted) -> list[Difference]:
    found = []
    hidden = wanted.hidden | variables.masked(before)
    for name in sorted({*before, *wanted.variables}):
        old, new = before.get(name), wanted.variables.get(name)
        if old != new:
            shown = [variables.shown(name, value, hidden) for value in (old, new)]
            found.append(Difference(f"env.{name}", *shown))
    return found


def _probe(given: Probe) -> state.Probe:
    return (
        float(given.initial_delay),
        float(given.period),
        float(given.timeout),
        given.success_threshold,
        given.failure_threshold,
    )


def _shown(probe: state.Probe) -> str:
    delay, period, timeout, successes, failures = probe
    return (
        f"after {delay:g} s, every {period:g} s, {timeout:g} s each, "
        f"{successes} to pass, {failures} to fail"
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
