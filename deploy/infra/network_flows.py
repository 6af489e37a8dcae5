"""The network connections that firewalls and proxies must allow."""

from __future__ import annotations

from deploy.infra.desired import DesiredState
from deploy.infra.entities import NetworkFlow
from deploy.server.connections import CONNECTION_TYPES

# The sources of network flows.
CI, FLOW, CLIENTS = "CI", "the flow", "clients"


def list_network_flows(desired: DesiredState) -> tuple[NetworkFlow, ...]:
    """Return the network flows of an environment, with host names of the public cloud."""
    names, infra = desired.names, desired.infra
    images = f"{names.registry}.azurecr.io, *.blob.core.windows.net"
    flows = [
        NetworkFlow(CI, "login.microsoftonline.com", "Entra tokens, by federation"),
        NetworkFlow(CI, "management.azure.com", "plan and deploy"),
        NetworkFlow(CI, images, "push and look up images; layers are in blobs"),
        NetworkFlow(FLOW, images, "pull the image"),
        NetworkFlow(FLOW, "login.microsoftonline.com", "tokens of its identity"),
        NetworkFlow(FLOW, f"{names.vault}.vault.azure.net", "secrets, when it starts"),
        NetworkFlow(
            FLOW, "*.applicationinsights.azure.com, *.monitor.azure.com", "traces and metrics"
        ),
    ]
    if infra.models:
        flows.append(NetworkFlow(FLOW, f"{names.openai}.openai.azure.com", "the model"))
    flows += [
        NetworkFlow(FLOW, f"the host in {endpoint}", "a service that a flow calls")
        for endpoint in _list_external_endpoints(desired)
    ]
    if infra.private:
        network = f"{infra.addresses} in {names.network}"
        flows += [
            NetworkFlow(CI, network, "all else is private: CI runs in this network or a peer"),
            NetworkFlow(CLIENTS, network, "flows have private addresses there"),
        ]
    for target in desired.targets.values():
        flows += target.list_network_flows(desired)
    return tuple(flows)


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
