"""The kinds of resources: Azure's types, the versions of their API, and what drives their cost."""

from __future__ import annotations

GROUP = "Microsoft.Resources/resourceGroups"
LOGS = "Microsoft.OperationalInsights/workspaces"
INSIGHTS = "Microsoft.Insights/components"
ALERTS = "Microsoft.Insights/actionGroups"
ALERT = "Microsoft.Insights/metricAlerts"
AUTOSCALE = "Microsoft.Insights/autoscalesettings"
BUDGET = "Microsoft.Consumption/budgets"
REGISTRY = "Microsoft.ContainerRegistry/registries"
VAULT = "Microsoft.KeyVault/vaults"
OPENAI = "Microsoft.CognitiveServices/accounts"
MODEL = "Microsoft.CognitiveServices/accounts/deployments"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
FEDERATION = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
STORAGE = "Microsoft.Storage/storageAccounts"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
PLAN = "Microsoft.Web/serverfarms"
SITE = "Microsoft.Web/sites"
SLOT = "Microsoft.Web/sites/slots"
PASSWORDS = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
SLOT_PASSWORDS = "Microsoft.Web/sites/slots/basicPublishingCredentialsPolicies"
CONFIG = "Microsoft.Web/sites/config"
SLOT_CONFIG = "Microsoft.Web/sites/slots/config"
NETWORK = "Microsoft.Network/virtualNetworks"
GUARD = "Microsoft.Network/networkSecurityGroups"
ENDPOINT = "Microsoft.Network/privateEndpoints"
ZONE = "Microsoft.Network/privateDnsZones"
ROLE = "Microsoft.Authorization/roleAssignments"

# What belongs to a site, has no tags, and is no part of a picture.
PARTS = frozenset({PASSWORDS, SLOT_PASSWORDS, CONFIG, SLOT_CONFIG})

# Those of infra/; a test holds the two together.
VERSIONS = {
    GROUP: "2025-04-01",
    LOGS: "2025-07-01",
    INSIGHTS: "2020-02-02",
    ALERTS: "2023-01-01",
    ALERT: "2018-03-01",
    AUTOSCALE: "2022-10-01",
    BUDGET: "2024-08-01",
    REGISTRY: "2025-11-01",
    VAULT: "2024-11-01",
    OPENAI: "2025-06-01",
    MODEL: "2025-06-01",
    IDENTITY: "2024-11-30",
    FEDERATION: "2024-11-30",
    STORAGE: "2025-06-01",
    WORKSPACE: "2025-12-01",
    PLAN: "2025-03-01",
    SITE: "2025-03-01",
    SLOT: "2025-03-01",
    PASSWORDS: "2025-03-01",
    SLOT_PASSWORDS: "2025-03-01",
    CONFIG: "2025-03-01",
    SLOT_CONFIG: "2025-03-01",
    NETWORK: "2025-05-01",
    GUARD: "2025-05-01",
    ENDPOINT: "2025-05-01",
    ZONE: "2024-06-01",
    ROLE: "2022-04-01",
}

# The pricing pages of each service; what is not here costs nothing by itself.
DRIVERS = {
    LOGS: "gigabytes taken in, and days kept beyond 31",
    INSIGHTS: "its data is in the log workspace and billed there",
    ALERT: "each alert rule, by the month",
    REGISTRY: "the tier, by the day; storage beyond what the tier includes",
    VAULT: "operations",
    OPENAI: "tokens; provisioned throughput by the hour",
    STORAGE: "gigabytes and operations; small",
    WORKSPACE: "itself nothing; each endpoint's instances by the hour, also the idle version that "
    "is kept for a rollback",
    PLAN: "instances by the hour, whether or not anybody asks; the staging slot is on the same",
    ENDPOINT: "each, by the hour, and by gigabytes",
    ZONE: "each, by the month, and by queries",
}
