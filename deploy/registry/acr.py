"""Azure's own copy between two registries of Azure: seconds, and no bytes through this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy import cloud, console
from deploy.errors import DeployError
from deploy.model import Image
from deploy.registry.login import AzureLogin
from deploy.registry.remote import Remote
from deploy.schema import PlaceModel

if TYPE_CHECKING:
    from azure.mgmt.containerregistry import ContainerRegistryManagementClient

CONFLICT = 409


def imported(
    source: Remote,
    target: Remote,
    wanted: Image,
    tag: str,
    places: tuple[PlaceModel, PlaceModel],
) -> bool:
    """Let Azure copy `wanted` to `target` under `tag`; return whether it did.

    False where one of the two is no Azure Container Registry, where their subscriptions are not
    told, or where the identity may not import: then the caller copies. Raises `DeployError` where
    the tag is taken. "Import container images to a container registry", Azure Container Registry.
    """
    logins = (source.registry.login, target.registry.login)
    if not all(isinstance(login, AzureLogin) for login in logins):
        return False
    if not all(place.subscription for place in places):
        console.note("promote", "no `subscription` is told of both environments: copying by hand")
        return False
    from azure.core.exceptions import AzureError, HttpResponseError

    try:
        origin, _ = _find(source, places[0])
        destination, client = _find(target, places[1])
        if not origin or not destination:
            console.note("promote", "the subscriptions lack one of the registries: copying by hand")
            return False
        _import(client, source, target, wanted, tag, origin, destination)
    except HttpResponseError as error:
        if error.status_code == CONFLICT:
            what = f"{target.name}:{tag} is there already, with other content"
            raise DeployError(target.registry.where, what, "nothing was overwritten") from None
        console.note("promote", f"Azure does not import ({_reason(error)}): copying by hand")
        return False
    except AzureError as error:
        console.note("promote", f"Azure does not answer ({_reason(error)}): copying by hand")
        return False
    return True


def _find(
    remote: Remote, place: PlaceModel
) -> tuple[dict[str, str], ContainerRegistryManagementClient]:
    """Return id, group and name of the registry; empty if the subscription does not have it."""
    from azure.mgmt.containerregistry import ContainerRegistryManagementClient

    where = cloud.chosen(place.cloud)
    settings: dict[str, Any] = {"polling_interval": where.polling} if where.polling else {}
    client = ContainerRegistryManagementClient(
        cloud.credential(where),
        str(place.subscription),
        base_url=where.resource_manager,
        credential_scopes=[where.scope],
        **settings,
    )
    for found in client.registries.list():
        if found.login_server == remote.registry.server:
            parts = str(found.id).split("/")
            names = {"id": str(found.id), "group": parts[4], "name": str(found.name)}
            return names, client
    return {}, client


def _import(
    client: ContainerRegistryManagementClient,
    source: Remote,
    target: Remote,
    wanted: Image,
    tag: str,
    origin: dict[str, str],
    destination: dict[str, str],
) -> None:
    request: dict[str, Any] = {
        "source": {
            "resourceId": origin["id"],
            "sourceImage": f"{source.repository}@{wanted.digest}",
        },
        "targetTags": [f"{target.repository}:{tag}"],
        # A tag that is there is left as it is.
        "mode": "NoForce",
    }
    with console.phase("promote", f"Azure imports {target.name}:{tag}"):
        client.registries.begin_import_image(
            destination["group"], destination["name"], request
        ).result()


def _reason(error: Exception) -> str:
    code = getattr(getattr(error, "error", None), "code", None)
    return str(code or getattr(error, "reason", None) or type(error).__name__)
