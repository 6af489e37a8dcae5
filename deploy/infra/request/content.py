"""What the Infrastructure Request says, section by section."""

from __future__ import annotations

import json
from typing import Any

from deploy.infra import ids, kinds
from deploy.infra.federation import AUDIENCE
from deploy.infra.model import Needs
from deploy.infra.request.document import Block, Checklist, Document, Heading, Paragraph, Table
from deploy.infra.roles import ROLES
from deploy.infra.wanted import APPSERVICE, AZUREML

TITLES = {AZUREML: "Azure Machine Learning, managed online endpoints", APPSERVICE: "App Service"}
BLANK = "________________"
APPROVERS = ("Platform", "Network", "Identity", "Security", "Cost", "Project")


def document_of(needs: Needs) -> Document:
    """Return the request for `needs`."""
    wanted = needs.wanted
    blocks = [
        *_summary(needs),
        *_questions(needs),
        *_resources(needs),
        *_access(needs),
        *_network(needs),
        *_quotas(needs),
        *_secrets(needs),
        *_monitoring(needs),
        *_names(needs),
        *_people(needs),
        *_acceptance(needs),
    ]
    return Document(
        f"Infrastructure Request: {wanted.infra.workload} {wanted.environment}", tuple(blocks)
    )


def _summary(needs: Needs) -> list[Block]:
    wanted, infra = needs.wanted, needs.wanted.infra
    flows = [f"{use.flow.name} ({use.target})" for use in wanted.uses if use.target in TITLES]
    where = (
        f"{infra.addresses}, private endpoints"
        if infra.private
        else "public addresses, Entra and TLS"
    )
    rows = (
        ("Options", "; ".join(TITLES[name] for name in wanted.options)),
        ("Flows", ", ".join(flows)),
        ("Subscription", wanted.subscription or BLANK),
        ("Region", infra.location or BLANK),
        ("Resource group", wanted.names.group),
        ("Network", where),
        ("Availability zones", "spread over zones" if infra.zone_redundant else "not asked for"),
    )
    text = (
        "The project needs what follows once, before its first deploy. It can be made from the "
        "Bicep files in infra/ with the parameter file of this environment, or by any other means "
        "that has this result. What runs on it is deployed by the project itself."
    )
    return [Paragraph(text), Table(("", ""), rows)]


def _questions(needs: Needs) -> list[Block]:
    if not needs.questions:
        return []
    text = "Nobody has said yet. In brackets is the key of environments.yaml that answers it."
    return [Heading("Open questions"), Paragraph(text), Checklist(needs.questions)]


def _resources(needs: Needs) -> list[Block]:
    rows = tuple((one.kind, one.name, one.sku or "-", one.why) for one in needs.resources)
    settings = tuple(
        (one.title, setting.path, _said(setting.value), setting.why)
        for one in needs.resources
        for setting in one.settings
    )
    there = {one.kind for one in needs.resources}
    drivers = tuple((kind, text) for kind, text in kinds.DRIVERS.items() if kind in there)
    return [
        Heading("Resources"),
        Paragraph("All in the one region and resource group, but for what Azure calls global."),
        Table(("Type", "Name", "Size", "What for"), rows),
        Heading("Settings that they must have"),
        Table(("Resource", "Setting", "Value", "Why"), settings),
        Heading("What drives the cost"),
        Table(("Type", "Billed by"), drivers),
    ]


def _access(needs: Needs) -> list[Block]:
    used: dict[str, list[str]] = {one.identity: [] for one in needs.resources if one.identity}
    for one in needs.resources:
        if one.identity:
            used[one.identity].append(one.title)
    identities = tuple(
        (one.name, one.why, ", ".join(used.get(one.id, ["-"])))
        for one in needs.resources
        if one.kind == kinds.IDENTITY
    )
    roles = tuple((one.who, one.role, ids.shown(one.scope), one.why) for one in needs.assignments)
    named = tuple(sorted((role, ROLES[role]) for role in {one.role for one in needs.assignments}))
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
    if not needs.federations:
        return [*blocks, Paragraph("None are known: see the open questions.")]
    rows = tuple((one.name, one.issuer, one.subject, AUDIENCE) for one in needs.federations)
    text = f"On {needs.wanted.names.deployer}, so that CI deploys without a stored secret."
    table = Table(("Name", "Issuer", "Subject", "Audience"), rows)
    return [*blocks, Paragraph(text), table]


def _network(needs: Needs) -> list[Block]:
    rows = tuple((one.source, one.target, str(one.port), one.why) for one in needs.routes)
    return [
        Heading("Network flows"),
        Paragraph("TCP with TLS. Names are those of the public cloud."),
        Table(("From", "To", "Port", "Why"), rows),
    ]


def _quotas(needs: Needs) -> list[Block]:
    if not needs.quotas:
        return []
    rows = tuple((one.name, f"{one.amount} {one.unit}", one.why) for one in needs.quotas)
    return [Heading("Quotas"), Table(("Quota in the region", "At least", "How reckoned"), rows)]


def _secrets(needs: Needs) -> list[Block]:
    if not needs.secrets:
        text = "None: every service is asked with an identity."
        return [Heading("Secrets"), Paragraph(text)]
    rows = tuple((one.name, one.store, one.reader) for one in needs.secrets)
    text = (
        "By name. The project sets the values; they are in no file and in no request. Whoever sets "
        "one in a vault needs the role Key Vault Secrets Officer on that vault while doing so: a "
        "person, none of the identities above."
    )
    table = Table(("Name", "Kept in", "Read by the flow"), rows)
    return [Heading("Secrets"), Paragraph(text), table]


def _monitoring(needs: Needs) -> list[Block]:
    wanted, infra = needs.wanted, needs.wanted.infra
    watched = {kinds.REGISTRY, kinds.VAULT, kinds.OPENAI, kinds.WORKSPACE, kinds.SITE}
    titles = [one.title for one in needs.resources if one.kind in watched]
    budget = f"{infra.budget.amount} a month from {infra.budget.start}" if infra.budget else BLANK
    rows = (
        ("Logs", f"{wanted.names.logs}, {infra.log_days} days"),
        ("Diagnostic settings to it", ", ".join(titles)),
        ("Traces and metrics", wanted.names.insights),
        ("Alerts to", ", ".join(infra.contacts) or BLANK),
        ("Budget", f"{budget}; told at 80 % spent and at 100 % forecast"),
    )
    return [Heading("Monitoring"), Table(("", ""), rows)]


def _names(needs: Needs) -> list[Block]:
    text = (
        "Names are ‹kind›-‹workload›-‹environment›, with a few characters at the end where a name "
        "must be unique in Azure. Other names are as good: the project enters them into "
        "environments.yaml. Every resource carries these tags:"
    )
    return [
        Heading("Names and tags"),
        Paragraph(text),
        Table(("Tag", "Value"), tuple(needs.tags.items())),
    ]


def _people(needs: Needs) -> list[Block]:
    infra = needs.wanted.infra
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


def _acceptance(needs: Needs) -> list[Block]:
    environment = needs.wanted.environment
    items = [
        f"`inv infra.check --env {environment}` finds nothing missing and nothing different.",
        "CI logs in as the deploying identity, without a secret.",
        "The quotas above are granted.",
        "From where callers are, the names above resolve and answer on port 443.",
        f"The values are in environments.yaml, and `inv plan --env {environment}` runs.",
    ]
    if needs.secrets:
        items.insert(
            3, "The secrets above are set, and the project knows by whom they are changed."
        )
    return [Heading("Acceptance"), Checklist(tuple(items))]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
