"""All requirements of a desired state, with the questions that are still open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.infra.desired import DesiredState
from deploy.infra.entities import NetworkFlow, Quota, Resource, RoleAssignment, Secret
from deploy.infra.federation import FederatedCredential, list_federated_credentials
from deploy.infra.network_flows import list_network_flows
from deploy.infra.resources import list_resources
from deploy.infra.role_assignments import list_role_assignments
from deploy.server.connections import CONNECTION_TYPES, KEY_AUTH, list_variables


@dataclass(frozen=True)
class Requirements:
    """All requirements of an environment."""

    desired: DesiredState
    resources: tuple[Resource, ...]
    assignments: tuple[RoleAssignment, ...]
    federations: tuple[FederatedCredential, ...]
    network_flows: tuple[NetworkFlow, ...]
    quotas: tuple[Quota, ...]
    secrets: tuple[Secret, ...]
    # Questions that the configuration does not answer yet.
    questions: tuple[str, ...]


def collect_requirements(desired: DesiredState) -> Requirements:
    """Return what an environment requires."""
    return Requirements(
        desired=desired,
        resources=list_resources(desired),
        assignments=list_role_assignments(desired),
        federations=list_federated_credentials(desired.infra, desired.environment),
        network_flows=list_network_flows(desired),
        quotas=tuple(_quotas(desired)),
        secrets=tuple(_secrets(desired)),
        questions=tuple(_questions(desired)),
    )


def _quotas(desired: DesiredState) -> Iterator[Quota]:
    for target in desired.targets.values():
        yield from target.list_quotas(desired)
    for model in desired.infra.models:
        name = f"Azure OpenAI: {model.model}, {model.sku}"
        why = f"the capacity of the deployment {model.name}"
        yield Quota(name, model.capacity * 1000, "tokens a minute", why)


def _secrets(desired: DesiredState) -> Iterator[Secret]:
    """Yield the secrets that flows need, named like their variables.

    The key of a connection is left out if the connection can use the managed identity.
    """
    for placement in desired.placements:
        target = desired.targets.get(placement.target)
        if target is None:
            continue
        names = {*placement.settings.env.secret, *target.list_secret_names(desired, placement)}
        for declaration in placement.flow.connections.values():
            if (
                not CONNECTION_TYPES[declaration["type"]].identity
                or declaration.get("auth") == KEY_AUTH
            ):
                names |= {name for name, secret in list_variables(declaration).items() if secret}
        # Only some targets have references to secrets.
        references = getattr(placement.settings.env, "secret_refs", {})
        for name in sorted({*names, *references}):
            store = str(references.get(name) or f"vault {desired.names.vault}")
            yield Secret(name, store, placement.flow.name)


def _questions(desired: DesiredState) -> Iterator[str]:
    """Yield the questions that the configuration leaves open, with the keys that answer them."""
    infra = desired.infra
    models = sorted(
        {
            placement.flow.name
            for placement in desired.placements
            for declaration in placement.flow.connections.values()
            if declaration["type"] == "azure_open_ai"
        }
    )
    checks = [
        (not desired.subscription, "Which subscription? (subscription)"),
        (not infra.location, "Which region? (infra.location)"),
        (not infra.owner, "Who owns the environment? (infra.owner)"),
        (not infra.cost_center, "Which cost center pays? (infra.cost_center)"),
        (not infra.contacts, "Who receives alerts, also about the budget? (infra.contacts)"),
        (not infra.budget, "What is the monthly budget? (infra.budget)"),
        (
            not (infra.github or infra.azure_devops),
            "Where does CI run? (infra.github, infra.azure_devops)",
        ),
        (
            bool(models) and not infra.models,
            f"Which Azure OpenAI account do {', '.join(models)} use? Either list its models "
            f"(infra.models), or give {desired.names.runner} the role Cognitive Services OpenAI "
            "User on an existing account.",
        ),
    ]
    yield from (text for is_open, text in checks if is_open)
    for target in desired.targets.values():
        yield from target.list_questions(desired)
