"""Who must reach whom, for firewalls and proxies. All of it is TLS on port 443."""

from __future__ import annotations

from deploy.infra.model import Route
from deploy.infra.wanted import APPSERVICE, AZUREML, Wanted
from deploy.runtime.connections import TYPES

HTTPS = 443
CI, FLOW, CALLERS = "CI", "the flow", "callers"


def routes_of(wanted: Wanted) -> tuple[Route, ...]:
    """Return the network flows of an environment, with the names of the public cloud."""
    names, infra = wanted.names, wanted.infra
    registry = f"{names.registry}.azurecr.io"
    found = [
        (CI, "login.microsoftonline.com", "tokens of Entra, by federation"),
        (CI, "management.azure.com", "plan and deploy"),
        (
            CI,
            f"{registry}, *.blob.core.windows.net",
            "push and look up images; layers are in blobs",
        ),
        (FLOW, f"{registry}, *.blob.core.windows.net", "pull the image"),
        (FLOW, "login.microsoftonline.com", "tokens of its identity"),
        (FLOW, f"{names.vault}.vault.azure.net", "secrets, when it starts"),
        (FLOW, "*.applicationinsights.azure.com, *.monitor.azure.com", "traces and metrics"),
    ]
    if wanted.keyed:
        found.append(
            (CI, f"{names.vault}.vault.azure.net", "the key of the callers, for the sample")
        )
    if infra.models:
        found.append((FLOW, f"{names.openai}.openai.azure.com", "the model"))
    for endpoint in _others(wanted):
        found.append((FLOW, f"the host in {endpoint}", "a service that a flow asks"))
    if AZUREML in wanted.options:
        place = infra.location or "‹region›"
        hosts = f"*.{place}.inference.ml.azure.com"
        found += [
            (CI, hosts, "score the sample before traffic moves"),
            (CALLERS, hosts, "requests"),
            (CI, f"*.{place}.api.azureml.ms", "logs of deployments"),
        ]
    for site in wanted.sites:
        hosts = f"{site.name}.azurewebsites.net, {site.name}-{site.slot}.azurewebsites.net"
        found += [
            (CI, hosts, "health, version and the sample, before and after the swap"),
            (CALLERS, f"{site.name}.azurewebsites.net", "requests"),
        ]
    if infra.private:
        inside = f"{infra.addresses} in {names.network}"
        found.append((CI, inside, "everything else is private: CI runs in, or is peered to, it"))
        found.append((CALLERS, inside, "endpoints and sites have private addresses there"))
    if infra.private and APPSERVICE in wanted.options:
        why = "web apps leave by their own subnet, also for pulling"
        found.append((FLOW, f"subnet sites of {names.network}", why))
    return tuple(Route(source, target, HTTPS, why) for source, target, why in found)


def _others(wanted: Wanted) -> list[str]:
    """Return the variables that hold the addresses of services which are not made here."""
    found = {
        str(declaration[field])
        for use in wanted.uses
        for declaration in use.flow.connections.values()
        for field in TYPES[declaration["type"]].endpoint
        if declaration.get(field)
        if not (wanted.infra.models and declaration["type"] == "azure_open_ai")
    }
    return sorted(found)
