"""The sections of the Infrastructure Request."""

from __future__ import annotations

import json
from typing import Any

from deploy.infra import resource_ids, resource_types
from deploy.infra.federation import AUDIENCE
from deploy.infra.request.document import Block, Checklist, Document, Heading, Paragraph, Table
from deploy.infra.requirements import Requirements
from deploy.infra.role_assignments import collect_role_ids

HTTPS_PORT = "443"
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
        if placement.target in desired.targets
    ]
    network = (
        f"{infra.addresses}, private endpoints"
        if infra.private
        else "public addresses, Entra and TLS"
    )
    rows = (
        ("Options", "; ".join(target.title for target in desired.targets.values())),
        ("Flows", ", ".join(flows)),
        ("Subscription", desired.subscription or BLANK),
        ("Region", infra.location or BLANK),
        ("Resource group", desired.names.group),
        ("Network", network),
        ("Availability zones", "required" if infra.zone_redundant else "not required"),
    )
    text = (
        "The project needs the following infrastructure once, before its first deploy. Create it "
        "from the Bicep files in infra/ with the parameter file of this environment, or by any "
        "other means with the same result. The project itself deploys what runs on it."
    )
    return [Paragraph(text), Table(("", ""), rows)]


def _questions(requirements: Requirements) -> list[Block]:
    if not requirements.questions:
        return []
    text = (
        "The configuration leaves these open. A key of environments.yaml in parentheses answers "
        "each."
    )
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
    used_types = dict.fromkeys(resource.kind for resource in requirements.resources)
    drivers = tuple((kind, kind.cost_driver) for kind in used_types if kind.cost_driver)
    return [
        Heading("Resources"),
        Paragraph("All are in one region and resource group, except for global resources."),
        Table(("Type", "Name", "Size", "Purpose"), rows),
        Heading("Required settings"),
        Table(("Resource", "Setting", "Value", "Reason"), settings),
        Heading("Cost drivers"),
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
    role_ids = collect_role_ids(requirements.desired)
    named = tuple(
        sorted((role, role_ids[role]) for role in {item.role for item in requirements.assignments})
    )
    blocks: list[Block] = [
        Heading("Identities"),
        Paragraph("Each is a user-assigned managed identity. None has a secret."),
        Table(("Name", "Purpose", "Assigned to"), identities),
        Heading("Role assignments"),
        Paragraph("Each at the listed scope and no higher. A deploy creates no role assignments."),
        Table(("Identity", "Role", "Scope", "Reason"), roles),
        Table(("Role", "Id"), named),
        Heading("Federated credentials"),
    ]
    if not requirements.federations:
        return [*blocks, Paragraph("None yet: see the open questions.")]
    rows = tuple(
        (item.name, item.issuer, item.subject, AUDIENCE) for item in requirements.federations
    )
    text = f"On {requirements.desired.names.deployer}: CI deploys without a stored secret."
    table = Table(("Name", "Issuer", "Subject", "Audience"), rows)
    return [*blocks, Paragraph(text), table]


def _network(requirements: Requirements) -> list[Block]:
    rows = tuple(
        (flow.source, flow.target, HTTPS_PORT, flow.why) for flow in requirements.network_flows
    )
    return [
        Heading("Network flows"),
        Paragraph("TCP with TLS. Host names are for the public cloud."),
        Table(("From", "To", "Port", "Reason"), rows),
    ]


def _quotas(requirements: Requirements) -> list[Block]:
    if not requirements.quotas:
        return []
    rows = tuple(
        (quota.name, f"{quota.amount} {quota.unit}", quota.why) for quota in requirements.quotas
    )
    return [Heading("Quotas"), Table(("Quota in the region", "At least", "Calculation"), rows)]


def _secrets(requirements: Requirements) -> list[Block]:
    if not requirements.secrets:
        text = "None: flows authenticate to every service with an identity."
        return [Heading("Secrets"), Paragraph(text)]
    rows = tuple((secret.name, secret.store, secret.reader) for secret in requirements.secrets)
    text = (
        "The project sets the values; they are in no file and not in this request. A person who "
        "sets a secret in a vault needs the role Key Vault Secrets Officer on that vault; the "
        "identities above do not."
    )
    table = Table(("Name", "Stored in", "Read by the flow"), rows)
    return [Heading("Secrets"), Paragraph(text), table]


def _monitoring(requirements: Requirements) -> list[Block]:
    desired, infra = requirements.desired, requirements.desired.infra
    titles = [resource.title for resource in requirements.resources if resource.kind.is_monitored]
    budget = f"{infra.budget.amount} a month from {infra.budget.start}" if infra.budget else BLANK
    rows = (
        ("Logs", f"{desired.names.logs}, {infra.log_days} days"),
        ("Diagnostic settings", ", ".join(titles)),
        ("Traces and metrics", desired.names.insights),
        ("Alerts to", ", ".join(infra.contacts) or BLANK),
        ("Budget", f"{budget}; alerts at 80 % spent and at 100 % forecast"),
    )
    return [Heading("Monitoring"), Table(("", ""), rows)]


def _names(requirements: Requirements) -> list[Block]:
    text = (
        "Names are ‹type›-‹workload›-‹environment›, with a suffix where a name must be unique in "
        "Azure. You can choose other names: the project enters them into environments.yaml. Every "
        "resource has these tags:"
    )
    return [
        Heading("Names and tags"),
        Paragraph(text),
        Table(("Tag", "Value"), tuple(requirements.desired.tags.items())),
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
        Table(("Approval", "Name", "Date", "Signature"), approvals),
    ]


def _acceptance(requirements: Requirements) -> list[Block]:
    environment = requirements.desired.environment
    items = [
        f"`inv infra.check --env {environment}` finds nothing missing and nothing different.",
        "CI signs in as the deploying identity, without a secret.",
        "The quotas above are granted.",
        "From the clients' network, the host names above resolve and answer on port 443.",
        f"The values are in environments.yaml, and `inv plan --env {environment}` runs.",
    ]
    if requirements.secrets:
        items.insert(3, "The secrets above are set, and the project knows who can change them.")
    return [Heading("Acceptance"), Checklist(tuple(items))]


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
