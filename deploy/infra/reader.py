"""A reader of resources in Azure Resource Manager; a missing resource is not an error."""

from __future__ import annotations

from deploy.azure.clouds import Cloud
from deploy.azure.errors import WRONG_SCOPE_CODES, AzureError, shorten_message
from deploy.azure.resource_manager import ResourceManager
from deploy.core.errors import DeployError
from deploy.infra import resource_types

READER_ROLE_HINT = (
    "assign the role Reader on the environment's resource group to the signed-in identity"
)


class ResourceReader(ResourceManager):
    """A reader of resources in one Azure cloud."""

    def __init__(self, cloud: Cloud) -> None:
        # A missing resource group is a finding of the comparison, not an error.
        super().__init__(cloud, _explain_error, WRONG_SCOPE_CODES - {"ResourceGroupNotFound"})

    def list_roles(self, scope: str, principal: str) -> list[tuple[str, str]]:
        """Return the role ids and scopes of `principal` at, above or below `scope`.

        Documented: "Role Assignments - List For Scope", the filter principalId.
        """
        path = f"{scope}/providers/{resource_types.ROLE_ASSIGNMENT}"
        assignments = self.list_all(
            path,
            resource_types.ROLE_ASSIGNMENT.api_version,
            **{"$filter": f"principalId eq '{principal}'"},
        )
        return [
            (
                str(assignment["properties"]["roleDefinitionId"]).rpartition("/")[2],
                str(assignment["properties"]["scope"]),
            )
            for assignment in assignments
        ]


def _explain_error(error: AzureError, resource: str) -> DeployError:
    forbidden = error.status == 403 or error.code == "AuthorizationFailed"
    return DeployError(
        f"Azure, {resource}", shorten_message(error.text), READER_ROLE_HINT if forbidden else ""
    )
