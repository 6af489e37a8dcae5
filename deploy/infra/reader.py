"""Reads resources by way of Azure Resource Manager; what is not there is no failure here."""

from __future__ import annotations

from deploy.arm.client import ResourceManager
from deploy.arm.errors import WRONG_PLACE, Said, short
from deploy.cloud import Cloud
from deploy.errors import DeployError
from deploy.infra import kinds

HINT = "have the role Reader on the environment's resource group assigned to whoever asks"


class Reader(ResourceManager):
    """Asks one Azure."""

    def __init__(self, azure: Cloud) -> None:
        # A group that is not there is what a check is to find.
        super().__init__(azure, _refused, WRONG_PLACE - {"ResourceGroupNotFound"})

    def roles(self, scope: str, principal: str) -> list[tuple[str, str]]:
        """Return the ids of the roles that `principal` has in, or above, `scope`, and on what.

        Documented: "Role Assignments - List For Scope", the filter principalId.
        """
        path = f"{scope}/providers/{kinds.ROLE}"
        found = self.every(
            path, kinds.VERSIONS[kinds.ROLE], **{"$filter": f"principalId eq '{principal}'"}
        )
        return [
            (
                str(one["properties"]["roleDefinitionId"]).rpartition("/")[2],
                str(one["properties"]["scope"]),
            )
            for one in found
        ]


def _refused(said: Said, what: str) -> DeployError:
    forbidden = said.status == 403 or said.code == "AuthorizationFailed"
    return DeployError(f"Azure, {what}", short(said.text), HINT if forbidden else "")
