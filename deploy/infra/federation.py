"""The CI jobs that may use the deploying identity: by federation, without a secret."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.azure.clouds import CLOUDS
from deploy.config.infra_model import GitHubModel, InfraModel

# GitHub, "OpenID Connect reference"; Microsoft Entra, "Configure an app to trust an external
# identity provider".
GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = CLOUDS["public"].federation_audience


@dataclass(frozen=True)
class FederatedCredential:
    """A federated credential: the token issuer and the subject that it accepts."""

    name: str
    issuer: str
    subject: str


def list_federated_credentials(
    infra: InfraModel, environment: str
) -> tuple[FederatedCredential, ...]:
    """Return the federated credentials of the deploying identity of `environment`."""
    credentials = []
    if infra.github:
        # The second, because a drift check must not wait for a reviewer.
        names = [environment, f"{environment}-drift"] if infra.github.drift else [environment]
        repository = f"repo:{_repository(infra.github)}"
        credentials += [
            FederatedCredential(f"github-{name}", GITHUB_ISSUER, f"{repository}:environment:{name}")
            for name in names
        ]
    if infra.azure_devops:
        devops = infra.azure_devops
        credentials.append(
            FederatedCredential(f"azure-devops-{environment}", devops.issuer, devops.subject)
        )
    return tuple(credentials)


def _repository(github: GitHubModel) -> str:
    """Return the repository as tokens name it: with ids if it was created since 2026-07-15."""
    owner, _, name = github.repository.partition("/")
    if github.owner_id and github.repository_id:
        return f"{owner}@{github.owner_id}/{name}@{github.repository_id}"
    return github.repository
