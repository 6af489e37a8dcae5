"""From what is wanted to what is needed: all of it, and what nobody has said yet."""

from __future__ import annotations

from deploy.infra.federation import federations_of
from deploy.infra.model import Needs, Secret
from deploy.infra.quotas import quotas_of
from deploy.infra.resources import resources_of
from deploy.infra.roles import assignments_of
from deploy.infra.routes import routes_of
from deploy.infra.wanted import APPSERVICE, AZUREML, Wanted
from deploy.runtime.connections import KEY, TYPES, variables


def needs_of(wanted: Wanted) -> Needs:
    """Return what an environment needs."""
    return Needs(
        wanted=wanted,
        resources=resources_of(wanted),
        assignments=assignments_of(wanted),
        federations=federations_of(wanted.infra, wanted.environment),
        routes=routes_of(wanted),
        quotas=quotas_of(wanted),
        secrets=_secrets(wanted),
        tags=wanted.tags,
        questions=_questions(wanted),
    )


def _secrets(wanted: Wanted) -> tuple[Secret, ...]:
    """Return the secrets that flows need, by the names of their variables.

    A key is not among them where the connection can do with the identity.
    """
    found = []
    for use in wanted.uses:
        if use.target not in (AZUREML, APPSERVICE):
            continue
        names = set(use.settings.env.secret)
        for declaration in use.flow.connections.values():
            if not TYPES[declaration["type"]].identity or declaration.get("auth") == KEY:
                names |= {name for name, secret in variables(declaration).items() if secret}
        referred = getattr(use.settings.env, "secret_refs", {})
        if use.target == APPSERVICE and getattr(use.settings, "auth", "") == KEY:
            # By this name the target looks for it.
            names.add(f"{use.flow.name}-{wanted.environment}-key")
        for name in sorted({*names, *referred}):
            store = str(referred.get(name) or f"vault {wanted.names.vault}")
            found.append(Secret(name, store, use.flow.name))
    return tuple(found)


def _questions(wanted: Wanted) -> tuple[str, ...]:
    """Return what the configuration leaves open, as questions with the keys that answer."""
    infra = wanted.infra
    models = sorted(
        {
            use.flow.name
            for use in wanted.uses
            for declaration in use.flow.connections.values()
            if declaration["type"] == "azure_open_ai"
        }
    )
    open_to_all = [
        use.flow.name
        for use in wanted.on(APPSERVICE)
        if getattr(use.settings, "public_network", False)
    ]
    by_entra = [
        use.flow.name
        for use in wanted.on(APPSERVICE)
        if getattr(use.settings, "auth", "") == "entra"
    ]
    open_ = [
        (not wanted.subscription, "Which subscription? (subscription)"),
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
            bool(by_entra) and not wanted.given.get("auth_client"),
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
            f"(infra.models), or give {wanted.names.runner} the role Cognitive Services OpenAI "
            "User on an account that is there.",
        ),
    ]
    return tuple(text for asked, text in open_ if asked)
