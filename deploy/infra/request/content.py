"""The sections of the Infrastructure Request."""

from __future__ import annotations

import json
from typing import Any

from deploy.infra import resource_ids, resource_types
from deploy.infra.desired import APPSERVICE, AZUREML
from deploy.infra.entities import Requirements
from deploy.infra.federation import AUDIENCE
from deploy.infra.request.document import Block, Checklist, Document, Heading, Paragraph, Table
from deploy.infra.role_assignments import ROLE_IDS

OPTION_TITLES = {
    AZUREML: "Azure Machine Learning, managed online endpoints",
    APPSERVICE: "App Service",
}
BLANK = "________________"
APPROVERS = ("Platform", "Network", "Identity", "Security", "Cost", "Project")


def build_document(requirements: Requirements) -> Document:
    """Return the request for `requirements`."""
    desired = requirements.desired
    blocks = [
        *_summary(requirements),
        *_questions(requirements),
        *_resources(requirements),
        *_access(requirements),
        *_network(requirements),
        *_quotas(requirements),
        *_secrets(requirements),
        *_monitoring(requirements),
        *_names(requirements),
        *_people(requirements),
        *_acceptance(requirements),
    ]
    return Document(
        f"Infrastructure Request: {desired.infra.workload} {desired.environment}", tuple(blocks)
    )


def _summary(requirements: Requirements) -> list[Block]:
    desired, infra = requirements.desired, requirements.desired.infra
    flows = [
        f"{placement.flow.name} ({placement.target})"
        for placement in desired.placements
        if placement.target in OPTION_TITLES
    ]
    network = (
        f"{infra.addresses}, private endpoints"
        if infra.private
        else "public addresses, Entra and TLS"
    )
    rows = (
        ("Options", "; ".join(OPTION_TITLES[name] for name in desired.options)),
        ("Flows", ", ".join(flows)),
        ("Subscription", desired.subscription or BLANK),
        ("Region", infra.location or BLANK),
        ("Resource group", desired.names.group),
        ("Network", network),
        ("Availability zones", "spread over zones" if infra.zone_redundant else "not asked for"),
    )
    text = (
        "The project needs what follows once, before its first deploy. It can be made from the "
        "Bicep files in infra/ with the parameter file of this environment, or by any other means "
        "that has this result. What runs on it is deployed by the project itself."
    )
    return [Paragraph(text), Table(("", ""), rows)]


def _questions(requirements: Requirements) -> list[Block]:
    if not requirements.questions:
        return []
    text = "Nobody has said yet. In brackets is the key of environments.yaml that answers it."
    return [Heading("Open questions"), Paragraph(text), Checklist(requirements.questions)]


def _resources(requirements: Requirements) -> list[Block]:
    rows = tuple(
        (resource.kind, resource.name, resource.sku or "-", resource.why)
        for resource in requirements.resources
    )
    settings = tuple(
        (resource.title, setting.path, _format_value(setting.value), setting.why)
        for resource in requirements.resources
        for setting in resource.settings
    )
    used_types = {resource.kind for resource in requirements.resources}
    drivers = tuple(
        (kind, text) for kind, text in resource_types.COST_DRIVERS.items() if kind in used_types
    )
    return [
        Heading("Resources"),
        Paragraph("All in the one region and resource group, but for what Azure calls global."),
        Table(("Type", "Name", "Size", "What for"), rows),
        Heading("Settings that they must have"),
        Table(("Resource", "Setting", "Value", "Why"), settings),
        Heading("What drives the cost"),
        Table(("Type", "Billed by"), drivers),
    ]


def _access(requirements: Requirements) -> list[Block]:
    used: dict[str, list[str]] = {
        item.identity: [] for item in requirements.resources if item.identity
    }
    for item in requirements.resources:
        if item.identity:
            used[item.identity].append(item.title)
    identities = tuple(
        (item.name, item.why, ", ".join(used.get(item.id, ["-"])))
        for item in requirements.resources
        if item.kind == resource_types.IDENTITY
    )
    roles = tuple(
        (item.principal, item.role, resource_ids.format_id(item.scope), item.why)
        for item in requirements.assignments
    )
    named = tuple(
        sorted((role, ROLE_IDS[role]) for role in {item.role for item in requirements.assignments})
    )
    blocks: list[Block] = [
        Heading("Identities"),
        Paragraph("Each is a user-assigned managed identity. None has a secret."),
        Table(("Name", "What for", "Assigned to"), identities),
        Heading("Role assignments"),
        Paragraph("Each at the scope that is named and no higher. Deploying makes none."),
        Table(("Who", "Role", "On", "Why"), roles),
        Table(("Role", "Id"), named),
        Heading("Federated credentials"),
    ]
    if not requirements.federations:
        return [*blocks, Paragraph("None are known: see the open questions.")]
    rows = tuple(
        (item.name, item.issuer, item.subject, AUDIENCE) for item in requirements.federations
    )
    text = f"On {requirements.desired.names.deployer}, so that CI deploys without a stored secret."
    table = Table(("Name", "Issuer", "Subject", "Audience"), rows)
    return [*blocks, Paragraph(text), table]


def _network(requirements: Requirements) -> list[Block]:
    rows = tuple(
        (flow.source, flow.target, str(flow.port), flow.why) for flow in requirements.network_flows
    )
    return [
        Heading("Network flows"),
        Paragraph("TCP with TLS. Names are those of the public cloud."),
        Table(("From", "To", "Port", "Why"), rows),
    ]


def _quotas(requirements: Requirements) -> list[Block]:
    if not requirements.quotas:
        return []
    rows = tuple(
        (quota.name, f"{quota.amount} {quota.unit}", quota.why) for quota in requirements.quotas
    )
    return [Heading("Quotas"), Table(("Quota in the region", "At least", "How reckoned"), rows)]


def _secrets(requirements: Requirements) -> list[Block]:
    if not requirements.secrets:
        text = "None: every service is asked with an identity."
        return [Heading("Secrets"), Paragraph(text)]
    rows = tuple((secret.name, secret.store, secret.reader) for secret in requirements.secrets)
    text = (
        "By name. The project sets the values; they are in no file and in no request. Whoever sets "
        "one in a vault needs the role Key Vault Secrets Officer on that vault while doing so: a "
        "person, none of the identities above."
    )
    table = Table(("Name", "Kept in", "Read by the flow"), rows)
    return [Heading("Secrets"), Paragraph(text), table]


def _monitoring(requirements: Requirements) -> list[Block]:
    desired, infra = requirements.desired, requirements.desired.infra
    watched = {
        resource_types.REGISTRY,
        resource_types.VAULT,
        resource_types.OPENAI_ACCOUNT,
        resource_types.WORKSPACE,
        resource_types.SITE,
    }
    titles = [resource.title for resource in requirements.resources if resource.kind in watched]
    budget = f"{infra.budget.amount} a month from {infra.budget.start}" if infra.budget else BLANK
    rows = (
        ("Logs", f"{desired.names.logs}, {infra.log_days} days"),
        ("Diagnostic settings to it", ", ".join(titles)),
        ("Traces and metrics", desired.names.insights),
        ("Alerts to", ", ".join(infra.contacts) or BLANK),
        ("Budget", f"{budget}; told at 80 % spent and at 100 % forecast"),
    )
    return [Heading("Monitoring"), Table(("", ""), rows)]


def _names(requirements: Requirements) -> list[Block]:
    text = (
        "Names are ‹kind›-‹workload›-‹environment›, with a few characters at the end where a name "
        "must be unique in Azure. Other names are as good: the project enters them into "
        "environments.yaml. Every resource carries these tags:"
    )
    return [
        Heading("Names and tags"),
        Paragraph(text),
        Table(("Tag", "Value"), tuple(requirements.tags.items())),
    ]


def _people(requirements: Requirements) -> list[Block]:
    infra = requirements.desired.infra
    contacts = (
        ("Owner", infra.owner or BLANK),
        ("Cost center", infra.cost_center or BLANK),
        ("Technical contact", BLANK),
        ("Needed by", BLANK),
    )
    approvals = tuple((name, BLANK, BLANK, BLANK) for name in APPROVERS)
    return [
        Heading("Contacts and approvals"),
        Table(("", ""), contacts),
        Table(("For", "Name", "Date", "Signature"), approvals),
    ]


def _acceptance(requirements: Requirements) -> list[Block]:
    environment = requirements.desired.environment
    items = [
        f"`inv infra.check --env {environment}` finds nothing missing and nothing different.",
        "CI logs in as the deploying identity, without a secret.",
        "The quotas above are granted.",
        "From where callers are, the names above resolve and answer on port 443.",
        f"The values are in environments.yaml, and `inv plan --env {environment}` runs.",
    ]
    if requirements.secrets:
        items.insert(
            3, "The secrets above are set, and the project knows by whom they are changed."
        )
    return [Heading("Acceptance"), Checklist(tuple(items))]


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
