"""Import an image from one Azure registry to another within Azure.

This takes seconds, and no data passes through this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.azure import clouds
from deploy.core import progress
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.registry.image_repository import ImageRepository
from deploy.registry.login import AzureLogin

if TYPE_CHECKING:
    from azure.mgmt.containerregistry import ContainerRegistryManagementClient

CONFLICT = 409


def import_image(source: ImageRepository, target: ImageRepository, image: Image, tag: str) -> bool:
    """Import `image` into `target` under `tag` within Azure; return whether it was imported.

    The result is False if one of the two is no Azure Container Registry, if a subscription is not
    configured, or if the identity may not import: `promotion` then copies the image itself. Raises
    `DeployError` if the tag exists already with other content. "Import container images to a
    container registry", Azure Container Registry.
    """
    logins = (source.registry.login, target.registry.login)
    if not all(isinstance(login, AzureLogin) for login in logins):
        return False
    obstacle = _try_import(source, target, image, tag)
    if obstacle:
        progress.note("promote", f"{obstacle}: copying through this machine")
    return not obstacle


def _try_import(source: ImageRepository, target: ImageRepository, image: Image, tag: str) -> str:
    """Import `image`; return why Azure cannot do it, or an empty string."""
    from azure.core.exceptions import AzureError, HttpResponseError

    if not (source.place.subscription and target.place.subscription):
        return "not both environments have a `subscription`"
    try:
        source_ids, _ = _find_registry(source)
        target_ids, client = _find_registry(target)
        if not source_ids or not target_ids:
            return "a registry is not in its subscription"
        _run_import(client, source, target, image, tag, source_ids, target_ids)
    except HttpResponseError as error:
        if error.status_code != CONFLICT:
            return f"Azure refused the import ({_format_reason(error)})"
        message = f"{target.name}:{tag} already exists with other content"
        hint = "nothing was overwritten; delete that tag first"
        raise DeployError(target.registry.where, message, hint) from None
    except AzureError as error:
        return f"Azure did not respond ({_format_reason(error)})"
    return ""


def _find_registry(
    remote: ImageRepository,
) -> tuple[dict[str, str], ContainerRegistryManagementClient]:
    """Return id, group and name of the registry; empty if the subscription does not have it."""
    from azure.mgmt.containerregistry import ContainerRegistryManagementClient

    cloud = clouds.resolve_cloud(remote.place.cloud)
    settings: dict[str, Any] = (
        {"polling_interval": cloud.polling_interval} if cloud.polling_interval else {}
    )
    client = ContainerRegistryManagementClient(
        clouds.get_credential(cloud),
        str(remote.place.subscription),
        base_url=cloud.resource_manager,
        credential_scopes=[cloud.scope],
        **settings,
    )
    for registry in client.registries.list():
        if registry.login_server == remote.registry.server:
            parts = str(registry.id).split("/")
            names = {"id": str(registry.id), "group": parts[4], "name": str(registry.name)}
            return names, client
    return {}, client


def _run_import(
    client: ContainerRegistryManagementClient,
    source: ImageRepository,
    target: ImageRepository,
    image: Image,
    tag: str,
    source_ids: dict[str, str],
    target_ids: dict[str, str],
) -> None:
    request: dict[str, Any] = {
        "source": {
            "resourceId": source_ids["id"],
            "sourceImage": f"{source.repository}@{image.digest}",
        },
        "targetTags": [f"{target.repository}:{tag}"],
        # An existing tag is not overwritten.
        "mode": "NoForce",
    }
    with progress.phase("promote", f"importing {target.name}:{tag} in Azure"):
        client.registries.begin_import_image(
            target_ids["group"], target_ids["name"], request
        ).result()


def _format_reason(error: Exception) -> str:
    code = getattr(getattr(error, "error", None), "code", None)
    return str(code or getattr(error, "reason", None) or type(error).__name__)
