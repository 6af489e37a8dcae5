"""Azure's resource types that every environment can have; targets add their own."""

from __future__ import annotations

from typing import Self


class ResourceType(str):
    """The name of a type, such as `Microsoft.KeyVault/vaults`, with facts about it."""

    # The version of the API, the same as in infra/; a test compares the two.
    api_version: str
    # What drives its cost (from the service's pricing page); empty if it costs nothing by itself.
    cost_driver: str
    has_tags: bool
    # Whether its number of instances changes with the load.
    is_scaled: bool
    # Whether it sends diagnostics to the log workspace.
    is_monitored: bool

    def __new__(
        cls,
        name: str,
        api_version: str,
        cost_driver: str = "",
        *,
        has_tags: bool = True,
        is_scaled: bool = False,
        is_monitored: bool = False,
    ) -> Self:
        """Create the type `name`."""
        resource_type = super().__new__(cls, name)
        resource_type.api_version = api_version
        resource_type.cost_driver = cost_driver
        resource_type.has_tags = has_tags
        resource_type.is_scaled = is_scaled
        resource_type.is_monitored = is_monitored
        return resource_type


GROUP = ResourceType("Microsoft.Resources/resourceGroups", "2025-04-01")
LOG_WORKSPACE = ResourceType(
    "Microsoft.OperationalInsights/workspaces",
    "2025-07-01",
    "gigabytes ingested, and days kept beyond 31",
)
INSIGHTS = ResourceType(
    "Microsoft.Insights/components",
    "2020-02-02",
    "its data is in the log workspace and billed there",
)
ACTION_GROUP = ResourceType("Microsoft.Insights/actionGroups", "2023-01-01")
METRIC_ALERT = ResourceType(
    "Microsoft.Insights/metricAlerts", "2018-03-01", "each alert rule, by the month"
)
AUTOSCALE = ResourceType("Microsoft.Insights/autoscalesettings", "2022-10-01")
BUDGET = ResourceType("Microsoft.Consumption/budgets", "2024-08-01", has_tags=False)
REGISTRY = ResourceType(
    "Microsoft.ContainerRegistry/registries",
    "2025-11-01",
    "the tier, by the day; storage beyond what the tier includes",
    is_monitored=True,
)
VAULT = ResourceType("Microsoft.KeyVault/vaults", "2024-11-01", "operations", is_monitored=True)
OPENAI_ACCOUNT = ResourceType(
    "Microsoft.CognitiveServices/accounts",
    "2025-06-01",
    "tokens; provisioned throughput by the hour",
    is_monitored=True,
)
MODEL_DEPLOYMENT = ResourceType(
    "Microsoft.CognitiveServices/accounts/deployments",
    "2025-06-01",
    has_tags=False,
    is_scaled=True,
)
IDENTITY = ResourceType("Microsoft.ManagedIdentity/userAssignedIdentities", "2024-11-30")
FEDERATED_CREDENTIAL = ResourceType(
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials", "2024-11-30"
)
NETWORK = ResourceType("Microsoft.Network/virtualNetworks", "2025-05-01")
NETWORK_SECURITY_GROUP = ResourceType("Microsoft.Network/networkSecurityGroups", "2025-05-01")
PRIVATE_ENDPOINT = ResourceType(
    "Microsoft.Network/privateEndpoints", "2025-05-01", "each, by the hour, and by gigabytes"
)
PRIVATE_DNS_ZONE = ResourceType(
    "Microsoft.Network/privateDnsZones", "2024-06-01", "each, by the month, and by queries"
)
ROLE_ASSIGNMENT = ResourceType("Microsoft.Authorization/roleAssignments", "2022-04-01")
