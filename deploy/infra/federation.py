"""Which jobs of CI may act as the deploying identity: by federation, without a secret."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.cloud import CLOUDS
from deploy.schema import GitHubModel, InfraModel

# GitHub, "OpenID Connect reference"; Microsoft Entra, "Configure an app to trust an external
# identity provider".
GITHUB = "https://token.actions.githubusercontent.com"
AUDIENCE = CLOUDS["public"].federation


@dataclass(frozen=True)
class Federation:
    """A federated credential: whose tokens are taken, and for which subject."""

    name: str
    issuer: str
    subject: str


def federations_of(infra: InfraModel, environment: str) -> tuple[Federation, ...]:
    """Return the federated credentials of the deploying identity of `environment`."""
    found = []
    if infra.github:
        # The second so that a look at what runs waits for no reviewer.
        names = [environment, f"{environment}-drift"] if infra.github.drift else [environment]
        repository = f"repo:{_repository(infra.github)}"
        found += [
            Federation(f"github-{name}", GITHUB, f"{repository}:environment:{name}")
            for name in names
        ]
    if infra.azure_devops:
        given = infra.azure_devops
        found.append(Federation(f"azure-devops-{environment}", given.issuer, given.subject))
    return tuple(found)


def _repository(given: GitHubModel) -> str:
    """Return the repository as tokens name it: with ids where it was made since 2026-07-15."""
    owner, _, name = given.repository.partition("/")
    if given.owner_id and given.repository_id:
        return f"{owner}@{given.owner_id}/{name}@{given.repository_id}"
    return given.repository
