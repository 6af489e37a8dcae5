"""The deployment that a spec and an image describe, and its differences from an existing one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.azure import container_variables
from deploy.core.entities import Image, Spec
from deploy.targets.azureml import state
from deploy.targets.azureml.settings import Probe, place_of, settings_of
from deploy.targets.azureml.state import Endpoint, Version

# azure-identity reads this variable to select one of several identities.
CLIENT_ID_VARIABLE = "AZURE_CLIENT_ID"


@dataclass(frozen=True)
class Difference:
    """One difference from the desired state, formatted for a plan; contains no secrets."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class DesiredState:
    """The desired deployment."""

    # None until the image is in the registry.
    image: str | None
    instance_type: str
    # None if Azure Monitor sets the number of instances.
    count: int | None
    variables: Mapping[str, str] = field(repr=False)
    # Seconds.
    timeout: float
    concurrency: int
    liveness: state.ProbeTimings
    readiness: state.ProbeTimings
    app_insights: bool
    # Names of variables whose values must not be shown.
    hidden: frozenset[str] = frozenset()
    # Names of secret variables whose values would be stored as plain text.
    plain: tuple[str, ...] = ()


def build_desired_state(spec: Spec, image: Image, endpoint: Endpoint | None) -> DesiredState:
    """Return the deployment that `spec` and `image` describe.

    The client ID of a user-assigned identity is known only once the endpoint exists.
    """
    settings = settings_of(spec)
    variables = environment_variables(spec)
    identity = place_of(spec).identity
    client_id = (endpoint.client_ids if endpoint else {}).get((identity or "").lower())
    if client_id and CLIENT_ID_VARIABLE not in variables:
        variables[CLIENT_ID_VARIABLE] = client_id
    return DesiredState(
        image=image.pinned if image.digest else None,
        instance_type=settings.instance_type,
        count=None if settings.autoscale else settings.instance_count,
        variables=variables,
        timeout=float(settings.request_timeout),
        concurrency=settings.max_concurrent_requests_per_instance,
        liveness=_probe_timings(settings.probes.liveness),
        readiness=_probe_timings(settings.probes.readiness),
        app_insights=settings.app_insights,
        hidden=container_variables.list_secret_names(spec),
        plain=list_plain_secrets(spec),
    )


def environment_variables(spec: Spec) -> dict[str, str]:
    """Return the container's environment variables, with references for secrets that have one."""
    settings = settings_of(spec)
    variables = container_variables.collect_plain(spec)
    for name, reference in settings.env.secret_refs.items():
        variables[name] = f"${{{{{reference}}}}}"
    return container_variables.add_masked_names(spec, variables)


def list_plain_secrets(spec: Spec) -> tuple[str, ...]:
    """Return the names of secret variables whose values would be stored as plain text."""
    references = settings_of(spec).env.secret_refs
    return tuple(
        sorted(
            name
            for name in environment_variables(spec)
            if name in spec.secrets and name not in references
        )
    )


def list_differences(version: Version, desired_state: DesiredState) -> tuple[Difference, ...]:
    """Return the differences between `version` and the desired state, except the instance count."""
    pairs = [
        ("image", version.image, desired_state.image or "the new image"),
        ("instance_type", version.instance_type.lower(), desired_state.instance_type.lower()),
        ("request_timeout", f"{version.timeout:g} s", f"{desired_state.timeout:g} s"),
        (
            "max_concurrent_requests_per_instance",
            str(version.concurrency),
            str(desired_state.concurrency),
        ),
        ("probes.liveness", _format_probe(version.liveness), _format_probe(desired_state.liveness)),
        (
            "probes.readiness",
            _format_probe(version.readiness),
            _format_probe(desired_state.readiness),
        ),
        (
            "app_insights",
            _format_bool(version.app_insights),
            _format_bool(desired_state.app_insights),
        ),
    ]
    differences = [
        Difference(setting, before, after) for setting, before, after in pairs if before != after
    ]
    return (*differences, *_list_variable_differences(version.variables, desired_state))


def _list_variable_differences(
    before: Mapping[str, str], desired_state: DesiredState
) -> list[Difference]:
    differences = []
    hidden = desired_state.hidden | container_variables.read_masked_names(before)
    for name in sorted({*before, *desired_state.variables}):
        old, new = before.get(name), desired_state.variables.get(name)
        if old != new:
            masked_values = [
                container_variables.mask_value(name, value, hidden) for value in (old, new)
            ]
            differences.append(Difference(f"env.{name}", *masked_values))
    return differences


def _probe_timings(probe: Probe) -> state.ProbeTimings:
    return (
        float(probe.initial_delay),
        float(probe.period),
        float(probe.timeout),
        probe.success_threshold,
        probe.failure_threshold,
    )


def _format_probe(probe: state.ProbeTimings) -> str:
    delay, period, timeout, successes, failures = probe
    return (
        f"after {delay:g} s, every {period:g} s, {timeout:g} s each, "
        f"{successes} to pass, {failures} to fail"
    )


def _format_bool(value: bool) -> str:
    return "yes" if value else "no"
