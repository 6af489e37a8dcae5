"""The network connections that firewalls and proxies must allow. All use TLS on port 443."""

from __future__ import annotations

from deploy.infra.desired import APPSERVICE, AZUREML, DesiredState
from deploy.infra.entities import NetworkFlow
from deploy.server.connections import CONNECTION_TYPES

HTTPS = 443
CI, FLOW, CLIENTS = "CI", "the flow", "callers"


def list_network_flows(desired: DesiredState) -> tuple[NetworkFlow, ...]:
    """Return the network flows of an environment, with host names of the public cloud."""
    names, infra = desired.names, desired.infra
    registry = f"{names.registry}.azurecr.io"
    rows = [
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
    if desired.has_key_auth:
        rows.append(
            (CI, f"{names.vault}.vault.azure.net", "the key of the callers, for the sample")
        )
    if infra.models:
        rows.append((FLOW, f"{names.openai}.openai.azure.com", "the model"))
    for endpoint in _list_external_endpoints(desired):
        rows.append((FLOW, f"the host in {endpoint}", "a service that a flow asks"))
    if AZUREML in desired.options:
        region = infra.location or "‹region›"
        hosts = f"*.{region}.inference.ml.azure.com"
        rows += [
            (CI, hosts, "score the sample before traffic moves"),
            (CLIENTS, hosts, "requests"),
            (CI, f"*.{region}.api.azureml.ms", "logs of deployments"),
        ]
    for site in desired.sites:
        hosts = f"{site.name}.azurewebsites.net, {site.name}-{site.slot}.azurewebsites.net"
        rows += [
            (CI, hosts, "health, version and the sample, before and after the swap"),
            (CLIENTS, f"{site.name}.azurewebsites.net", "requests"),
        ]
    if infra.private:
        network = f"{infra.addresses} in {names.network}"
        rows.append((CI, network, "everything else is private: CI runs in, or is peered to, it"))
        rows.append((CLIENTS, network, "endpoints and sites have private addresses there"))
    if infra.private and APPSERVICE in desired.options:
        why = "web apps leave by their own subnet, also for pulling"
        rows.append((FLOW, f"subnet sites of {names.network}", why))
    return tuple(NetworkFlow(source, target, HTTPS, why) for source, target, why in rows)


def _list_external_endpoints(desired: DesiredState) -> list[str]:
    """Return the variables that hold the addresses of services outside this environment."""
    endpoints = {
        str(declaration[field])
        for placement in desired.placements
        for declaration in placement.flow.connections.values()
        for field in CONNECTION_TYPES[declaration["type"]].endpoint
        if declaration.get(field)
        if not (desired.infra.models and declaration["type"] == "azure_open_ai")
    }
    return sorted(endpoints)
