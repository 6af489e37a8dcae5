"""Azure's resource types, the versions of their APIs, and what drives their cost."""

from __future__ import annotations

GROUP = "Microsoft.Resources/resourceGroups"
LOG_WORKSPACE = "Microsoft.OperationalInsights/workspaces"
INSIGHTS = "Microsoft.Insights/components"
ACTION_GROUP = "Microsoft.Insights/actionGroups"
METRIC_ALERT = "Microsoft.Insights/metricAlerts"
AUTOSCALE = "Microsoft.Insights/autoscalesettings"
BUDGET = "Microsoft.Consumption/budgets"
REGISTRY = "Microsoft.ContainerRegistry/registries"
VAULT = "Microsoft.KeyVault/vaults"
OPENAI_ACCOUNT = "Microsoft.CognitiveServices/accounts"
MODEL_DEPLOYMENT = "Microsoft.CognitiveServices/accounts/deployments"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
FEDERATED_CREDENTIAL = (
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
)
STORAGE = "Microsoft.Storage/storageAccounts"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
PLAN = "Microsoft.Web/serverfarms"
SITE = "Microsoft.Web/sites"
SLOT = "Microsoft.Web/sites/slots"
PUBLISHING_POLICY = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
SLOT_PUBLISHING_POLICY = "Microsoft.Web/sites/slots/basicPublishingCredentialsPolicies"
CONFIG = "Microsoft.Web/sites/config"
SLOT_CONFIG = "Microsoft.Web/sites/slots/config"
NETWORK = "Microsoft.Network/virtualNetworks"
NETWORK_SECURITY_GROUP = "Microsoft.Network/networkSecurityGroups"
PRIVATE_ENDPOINT = "Microsoft.Network/privateEndpoints"
PRIVATE_DNS_ZONE = "Microsoft.Network/privateDnsZones"
ROLE_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"

# Parts of a site: they have no tags and are left out of diagrams.
SITE_PARTS = frozenset({PUBLISHING_POLICY, SLOT_PUBLISHING_POLICY, CONFIG, SLOT_CONFIG})

# The same versions as in infra/; a test compares the two.
API_VERSIONS = {
    GROUP: "2025-04-01",
    LOG_WORKSPACE: "2025-07-01",
    INSIGHTS: "2020-02-02",
    ACTION_GROUP: "2023-01-01",
    METRIC_ALERT: "2018-03-01",
    AUTOSCALE: "2022-10-01",
    BUDGET: "2024-08-01",
    REGISTRY: "2025-11-01",
    VAULT: "2024-11-01",
    OPENAI_ACCOUNT: "2025-06-01",
    MODEL_DEPLOYMENT: "2025-06-01",
    IDENTITY: "2024-11-30",
    FEDERATED_CREDENTIAL: "2024-11-30",
    STORAGE: "2025-06-01",
    WORKSPACE: "2025-12-01",
    PLAN: "2025-03-01",
    SITE: "2025-03-01",
    SLOT: "2025-03-01",
    PUBLISHING_POLICY: "2025-03-01",
    SLOT_PUBLISHING_POLICY: "2025-03-01",
    CONFIG: "2025-03-01",
    SLOT_CONFIG: "2025-03-01",
    NETWORK: "2025-05-01",
    NETWORK_SECURITY_GROUP: "2025-05-01",
    PRIVATE_ENDPOINT: "2025-05-01",
    PRIVATE_DNS_ZONE: "2024-06-01",
    ROLE_ASSIGNMENT: "2022-04-01",
}

# From the pricing page of each service. A type that is not listed costs nothing by itself.
COST_DRIVERS = {
    LOG_WORKSPACE: "gigabytes taken in, and days kept beyond 31",
    INSIGHTS: "its data is in the log workspace and billed there",
    METRIC_ALERT: "each alert rule, by the month",
    REGISTRY: "the tier, by the day; storage beyond what the tier includes",
    VAULT: "operations",
    OPENAI_ACCOUNT: "tokens; provisioned throughput by the hour",
    STORAGE: "gigabytes and operations; small",
    WORKSPACE: "itself nothing; each endpoint's instances by the hour, also the idle version that "
    "is kept for a rollback",
    PLAN: "instances by the hour, whether or not anybody asks; the staging slot is on the same",
    PRIVATE_ENDPOINT: "each, by the hour, and by gigabytes",
    PRIVATE_DNS_ZONE: "each, by the month, and by queries",
}
