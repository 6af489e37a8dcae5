"""Facts about the places where a flow can run. docs/choosing.md prints this table.

Each fact has a source, with the date of the version that was read. A fact that is not documented,
or whose source could not be read, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# The date when the sources were last read.
SOURCES_READ_ON = "2026-11-28"

LOCAL, AZUREML, APPSERVICE = "local", "azureml", "appservice"
CONTAINERAPPS, AKS, FUNCTIONS = "containerapps", "aks", "functions"
OPTION_NAMES = {
    LOCAL: "the local Docker engine",
    AZUREML: "a managed online endpoint of Azure Machine Learning",
    APPSERVICE: "Azure App Service",
    CONTAINERAPPS: "Azure Container Apps",
    AKS: "Azure Kubernetes Service",
    FUNCTIONS: "Azure Functions",
}
# The options in Azure that this project supports, and those that need an extension.
SUPPORTED_OPTIONS = (AZUREML, APPSERVICE)
EXTENSION_OPTIONS = (CONTAINERAPPS, AKS)
OPTIONS = (*SUPPORTED_OPTIONS, *EXTENSION_OPTIONS, FUNCTIONS)

# Limits of an endpoint: seconds, requests a second, connections, megabytes a second.
ML_SECONDS, ML_RATE, ML_CONNECTIONS, ML_BANDWIDTH = 180, 500, 500, 5
# Limits of the other options, in seconds.
SITE_SECONDS = 230
APPS_SECONDS, APPS_PREMIUM_SECONDS = 240, 30 * 60


@dataclass(frozen=True)
class Source:
    """The source of a fact."""

    title: str
    link: str
    # The date of the version that was read; empty for this project's own pages.
    dated: str = ""


@dataclass(frozen=True)
class Fact:
    """A statement and its source."""

    text: str
    source: Source


LEARN = "https://learn.microsoft.com"
ML, SITES, APPS = (
    f"{LEARN}/azure/{name}" for name in ("machine-learning", "app-service", "container-apps")
)
QUOTAS = Source(
    "Manage and increase quotas and limits for resources with Azure Machine Learning",
    f"{ML}/how-to-manage-quotas",
    "2026-01-27",
)
ENDPOINTS = Source(
    "Online endpoints for real-time inference", f"{ML}/concept-endpoints-online", "2025-10-06"
)
ML_AUTH = Source(
    "Authentication for managed online endpoints",
    f"{ML}/concept-endpoints-online-auth",
    "2023-12-15",
)
ML_NETWORK = Source(
    "Network isolation with managed online endpoints",
    f"{ML}/concept-secure-online-endpoint",
    "2024-02-29",
)
ML_STREAMS = Source(
    "How to use streaming endpoints deployed from prompt Flow",
    f"{ML}/prompt-flow/how-to-enable-streaming-mode",
    "2023-11-02",
)
SITE_TIME = Source(
    "Web request times out in Azure App Service",
    f"{LEARN}/troubleshoot/azure/app-service/web-request-times-out-app-service",
    "2025-12-16",
)
SITE_PLANS = Source(
    "Azure App Service plan overview", f"{SITES}/overview-hosting-plans", "2024-08-21"
)
SITE_SLOTS = Source(
    "Set up staging environments in Azure App Service",
    f"{SITES}/deploy-staging-slots",
    "2023-07-30",
)
SITE_AUTH = Source(
    "Authentication and authorization in Azure App Service and Azure Functions",
    f"{SITES}/overview-authentication-authorization",
    "2020-07-08",
)
SITE_PRIVATE = Source(
    "Use private endpoints for Azure App Service apps",
    f"{SITES}/overview-private-endpoint",
    "2025-01-31",
)
SITE_ZONES = Source(
    "Reliability in Azure App Service",
    f"{LEARN}/azure/reliability/reliability-app-service",
    "2025-05-07",
)
APPS_INGRESS = Source("Ingress in Azure Container Apps", f"{APPS}/ingress-overview", "2023-05-03")
APPS_PREMIUM = Source(
    "Use premium ingress with Azure Container Apps", f"{APPS}/premium-ingress", "2025-11-04"
)
APPS_BILLING = Source("Billing in Azure Container Apps", f"{APPS}/billing", "2025-12-09")
COMPARISON = Source(
    "Comparing Container Apps with other Azure container options",
    f"{APPS}/compare-options",
    "2025-07-18",
)
CONSIDERATIONS = Source(
    "Architectural considerations for choosing an Azure container service",
    f"{LEARN}/azure/architecture/guide/container-service-general-considerations",
    "2025-06-20",
)
AKS_CONCEPTS = Source(
    "Core concepts for Azure Kubernetes Service (AKS)",
    f"{LEARN}/azure/aks/core-aks-concepts",
    "2024-07-10",
)
LOCAL_PAGE = Source("Target local", "docs/targets/local.md")
SITE_PAGE = Source("Target appservice", "docs/targets/appservice.md")
APPS_PAGE = Source("Target containerapps, an example", "examples/target-containerapps/README.md")
EXTENDING = Source("Add a target", "docs/extending.md")
DECISION = Source("Flow deployment options", "docs/adr/0012-flow-deployment-options.md")

ML_LONGEST = Fact(f"{ML_SECONDS} s a request at most", QUOTAS)
ML_CAPS = Fact(
    f"{ML_RATE} requests/s, {ML_CONNECTIONS} connections and {ML_BANDWIDTH} MB/s an endpoint, "
    "unless Azure raises it",
    QUOTAS,
)
ML_IDLE = Fact("no scaling to zero documented: a deployment has instances", ENDPOINTS)
ML_ROLLOUT = Fact("by per cent, and mirroring of requests", ENDPOINTS)
ML_CALLERS = Fact("key or token, always; with Entra's a role on the endpoint", ML_AUTH)
ML_PRIVATE = Fact("by the workspace's private endpoint; out by a managed network", ML_NETWORK)
ML_BILLED = Fact("the instances of each deployment, kept ones too", ENDPOINTS)
ML_DOMAIN = Fact("an address of Azure's, in inference.ml.azure.com", ML_STREAMS)
ML_STREAMED = Fact("server-sent events", ML_STREAMS)
ML_ZONES = Fact("3 instances or more", ENDPOINTS)
ML_VIEW = Fact("models and flows; metrics, logs and costs by endpoint and deployment", ENDPOINTS)
SITE_MADE = Fact("web applications and APIs", COMPARISON)
SITE_LONGEST = Fact(
    f"{SITE_SECONDS} s without a sign of the answer (240 on Linux; {SITE_SECONDS} is kept here)",
    SITE_TIME,
)
SITE_STREAMED = Fact("ended when idle, and so not while something comes", SITE_TIME)
SITE_CAPS = Fact("what the plan's instances can do", SITE_PLANS)
SITE_IDLE = Fact("no scaling to zero: the plan's instances are billed", SITE_PLANS)
SITE_ROLLOUT = Fact("slots that are swapped, from Standard on: all or nothing here", SITE_PAGE)
SITE_CALLERS = Fact("the platform can check Entra's tokens before the container", SITE_AUTH)
SITE_NETWORK = Fact("private endpoint; out by network integration", SITE_PRIVATE)
SITE_BILLED = Fact("the plan's instances, however many sites and slots are on them", SITE_PLANS)
SITE_DOMAIN = Fact("built in, with certificates", CONSIDERATIONS)
SITE_ACROSS = Fact("2 instances or more across zones, from Premium v2 on; 3 here", SITE_ZONES)
APPS_LONGEST = Fact(
    f"{APPS_SECONDS} s without a sign of the answer; premium ingress (2 nodes or more) up to "
    f"{APPS_PREMIUM_SECONDS} s",
    APPS_PREMIUM,
)
APPS_IDLE = Fact("down to no replica, which costs nothing", APPS_BILLING)
APPS_ROLLOUT = Fact("by per cent between revisions; no mirroring documented", APPS_INGRESS)
APPS_BILLED = Fact("resources by the second, and requests", APPS_BILLING)
APPS_HERE = Fact("an example of an extension, not yet run against the service", APPS_PAGE)
AKS_NODES = Fact("one node or more, billed as virtual machines", AKS_CONCEPTS)
AKS_MADE = Fact("anything that runs on Kubernetes", COMPARISON)
AKS_HERE = Fact("by an extension that you write", EXTENDING)
FUNCTIONS_MODEL = Fact("made for functions that events start, in its own model", COMPARISON)
LOCAL_HERE = Fact("supported: a container on one engine", LOCAL_PAGE)
SUPPORTED_HERE = Fact("supported", DECISION)
ONE_IMAGE = Fact("the same image runs in every environment", DECISION)

COMPARISON_TABLE: Mapping[str, Mapping[str, Fact]] = {
    "In this project": {
        AZUREML: SUPPORTED_HERE,
        APPSERVICE: SUPPORTED_HERE,
        CONTAINERAPPS: APPS_HERE,
        AKS: AKS_HERE,
    },
    "Made for": {
        AZUREML: ML_VIEW,
        APPSERVICE: SITE_MADE,
        CONTAINERAPPS: Fact("services and jobs in containers", COMPARISON),
        AKS: AKS_MADE,
    },
    "Longest request": {
        AZUREML: ML_LONGEST,
        APPSERVICE: SITE_LONGEST,
        CONTAINERAPPS: APPS_LONGEST,
    },
    "Streams": {AZUREML: ML_STREAMED, APPSERVICE: SITE_STREAMED},
    "Traffic": {AZUREML: ML_CAPS, APPSERVICE: SITE_CAPS},
    "Scale to zero": {AZUREML: ML_IDLE, APPSERVICE: SITE_IDLE, CONTAINERAPPS: APPS_IDLE},
    "Autoscale": {
        AZUREML: Fact("Azure Monitor: by load or schedule", ENDPOINTS),
        APPSERVICE: Fact("by hand or by load; all sites of a plan together", SITE_PLANS),
        CONTAINERAPPS: Fact("by traffic or events (KEDA)", COMPARISON),
    },
    "Loss of a zone": {AZUREML: ML_ZONES, APPSERVICE: SITE_ACROSS},
    "A new version": {
        AZUREML: ML_ROLLOUT,
        APPSERVICE: SITE_ROLLOUT,
        CONTAINERAPPS: APPS_ROLLOUT,
    },
    "Private network": {
        AZUREML: ML_PRIVATE,
        APPSERVICE: SITE_NETWORK,
        CONTAINERAPPS: Fact("in your network", CONSIDERATIONS),
        AKS: Fact("in your network", CONSIDERATIONS),
    },
    "Callers": {
        AZUREML: ML_CALLERS,
        APPSERVICE: SITE_CALLERS,
        CONTAINERAPPS: Fact("the platform can check them before the container", APPS_INGRESS),
    },
    "Custom domain": {
        AZUREML: ML_DOMAIN,
        APPSERVICE: SITE_DOMAIN,
        CONTAINERAPPS: Fact("built in", CONSIDERATIONS),
        AKS: Fact("with your own ingress", CONSIDERATIONS),
    },
    "Images from": {
        AZUREML: Fact("Azure Container Registry only; they must stay there", ENDPOINTS),
        APPSERVICE: Fact("Azure Container Registry here", SITE_PAGE),
    },
    "Billed": {
        AZUREML: ML_BILLED,
        APPSERVICE: SITE_BILLED,
        CONTAINERAPPS: APPS_BILLED,
        AKS: AKS_NODES,
    },
}

CALCULATOR = Source("Azure pricing calculator", "https://azure.microsoft.com/pricing/calculator/")
GUIDES = (
    Source(
        "Choose an Azure container service",
        f"{LEARN}/azure/architecture/guide/choose-azure-container-service",
    ),
    CONSIDERATIONS,
    COMPARISON,
    Source(
        "Application platform for AI workloads on Azure",
        f"{LEARN}/azure/well-architected/ai/application-platform",
    ),
    Source(
        "Baseline OpenAI end-to-end chat reference architecture",
        f"{LEARN}/azure/architecture/ai-ml/architecture/baseline-openai-e2e-chat",
    ),
    Source("Deploy a flow", "https://microsoft.github.io/promptflow/how-to-guides/deploy-a-flow/"),
    Source(
        "Deploy a flow as a managed online endpoint for real-time inference",
        f"{ML}/prompt-flow/how-to-deploy-for-real-time-inference",
    ),
)
