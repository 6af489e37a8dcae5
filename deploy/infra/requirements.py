"""All requirements of a desired state, with the questions that are still open."""

from __future__ import annotations

from deploy.infra.desired import APPSERVICE, AZUREML, DesiredState
from deploy.infra.entities import Requirements, Secret
from deploy.infra.federation import list_federated_credentials
from deploy.infra.network_flows import list_network_flows
from deploy.infra.quotas import list_quotas
from deploy.infra.resources import list_resources
from deploy.infra.role_assignments import list_role_assignments
from deploy.server.connections import CONNECTION_TYPES, KEY_AUTH, list_variables


def collect_requirements(desired: DesiredState) -> Requirements:
    """Return what an environment requires."""
    return Requirements(
        desired=desired,
        resources=list_resources(desired),
        assignments=list_role_assignments(desired),
        federations=list_federated_credentials(desired.infra, desired.environment),
        network_flows=list_network_flows(desired),
        quotas=list_quotas(desired),
        secrets=_secrets(desired),
        tags=desired.tags,
        questions=_questions(desired),
    )


def _secrets(desired: DesiredState) -> tuple[Secret, ...]:
    """Return the secrets that flows need, named like their variables.

    The key of a connection is left out if the connection can use the managed identity.
    """
    secrets = []
    for placement in desired.placements:
        if placement.target not in (AZUREML, APPSERVICE):
            continue
        names = set(placement.settings.env.secret)
        for declaration in placement.flow.connections.values():
            if (
                not CONNECTION_TYPES[declaration["type"]].identity
                or declaration.get("auth") == KEY_AUTH
            ):
                names |= {name for name, secret in list_variables(declaration).items() if secret}
        references = getattr(placement.settings.env, "secret_refs", {})
        if placement.target == APPSERVICE and getattr(placement.settings, "auth", "") == KEY_AUTH:
            # The target `appservice` reads the key under this name.
            names.add(f"{placement.flow.name}-{desired.environment}-key")
        for name in sorted({*names, *references}):
            store = str(references.get(name) or f"vault {desired.names.vault}")
            secrets.append(Secret(name, store, placement.flow.name))
    return tuple(secrets)


def _questions(desired: DesiredState) -> tuple[str, ...]:
    """Return the questions that the configuration leaves open, with the keys that answer them."""
    infra = desired.infra
    models = sorted(
        {
            placement.flow.name
            for placement in desired.placements
            for declaration in placement.flow.connections.values()
            if declaration["type"] == "azure_open_ai"
        }
    )
    open_to_all = [
        placement.flow.name
        for placement in desired.list_placements(APPSERVICE)
        if getattr(placement.settings, "public_network", False)
    ]
    by_entra = [
        placement.flow.name
        for placement in desired.list_placements(APPSERVICE)
        if getattr(placement.settings, "auth", "") == "entra"
    ]
    checks = [
        (not desired.subscription, "Which subscription? (subscription)"),
        (not infra.location, "Which region? (infra.location)"),
        (not infra.owner, "Who owns the environment? (infra.owner)"),
        (not infra.cost_center, "Which cost center pays? (infra.cost_center)"),
        (not infra.contacts, "Who is told of alerts and of spending? (infra.contacts)"),
        (not infra.budget, "What may be spent a month? (infra.budget)"),
        (
            not (infra.github or infra.azure_devops),
            "Where does CI run? (infra.github, infra.azure_devops)",
        ),
        (
            bool(by_entra) and not desired.environment_values.get("auth_client"),
            f"Which app registration do callers of {', '.join(by_entra)} ask tokens for? "
            "(auth_client)",
        ),
        (
            infra.private and bool(open_to_all),
            f"The environment is private: should {', '.join(open_to_all)} not have "
            "`public_network: false` in deploy.yaml?",
        ),
        (
            bool(models) and not infra.models,
            f"Which Azure OpenAI account do {', '.join(models)} ask? Either let it be made "
            f"(infra.models), or give {desired.names.runner} the role Cognitive Services OpenAI "
            "User on an account that is there.",
        ),
    ]
    return tuple(text for is_open, text in checks if is_open)
