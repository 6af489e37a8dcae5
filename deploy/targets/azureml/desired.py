"""The deployment that a spec and an image describe, and its differences from an existing one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.azure import container_variables
from deploy.core.entities import Image
from deploy.targets import difference
from deploy.targets.azureml import state
from deploy.targets.azureml.settings import EndpointSpec, Probe
from deploy.targets.azureml.state import Endpoint, Version
from deploy.targets.difference import Difference

# azure-identity reads this variable to select one of several identities.
CLIENT_ID_VARIABLE = "AZURE_CLIENT_ID"


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


def build_desired_state(
    spec: EndpointSpec, image: Image, endpoint: Endpoint | None
) -> DesiredState:
    """Return the deployment that `spec` and `image` describe.

    The client ID of a user-assigned identity is known only once the endpoint exists.
    """
    settings = spec.settings
    variables = environment_variables(spec)
    identity = spec.place.identity
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
        plain=container_variables.list_plain_secrets(spec, variables),
    )


def environment_variables(spec: EndpointSpec) -> dict[str, str]:
    """Return the container's environment variables, with references for secrets that have one."""
    variables = container_variables.collect_plain(spec)
    for name, reference in spec.settings.env.secret_refs.items():
        variables[name] = f"${{{{{reference}}}}}"
    return container_variables.add_masked_names(spec, variables)


def list_differences(version: Version, desired_state: DesiredState) -> tuple[Difference, ...]:
    """Return the differences between `version` and the desired state, except the instance count."""
    old, new = version, desired_state
    settings = difference.compare(
        [
            ("image", old.image, new.image or "the new image"),
            ("instance_type", old.instance_type.lower(), new.instance_type.lower()),
            ("request_timeout", f"{old.timeout:g} s", f"{new.timeout:g} s"),
            ("max_concurrent_requests_per_instance", old.concurrency, new.concurrency),
            ("probes.liveness", _format_probe(old.liveness), _format_probe(new.liveness)),
            ("probes.readiness", _format_probe(old.readiness), _format_probe(new.readiness)),
            ("app_insights", old.app_insights, new.app_insights),
        ]
    )
    hidden = new.hidden | container_variables.read_masked_names(old.variables)
    variables = difference.compare_variables(old.variables, new.variables, hidden)
    return (*settings, *variables)


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
