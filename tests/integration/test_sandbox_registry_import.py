"""The emulated importImage with the real SDK: copies and rejected requests."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from deploy.registry import manifests
from deploy.registry.manifests import Manifest
from deploy.sandbox.acr import Acr
from deploy.sandbox.arm import GROUP
from deploy.sandbox.azure import POLL_SECONDS, Azure
from deploy.sandbox.identities import ACR_PULL, ACR_PUSH, IMPORTER, READER, Identity
from tests.integration.azure_fixtures import SignIn
from tests.integration.registry_content import client, push_image

NAME = "team/faq"


@pytest.fixture
def promoter(azure: Azure, acr: Acr, production_acr: Acr, sign_in: SignIn) -> Identity:
    """Who may push to the first registry, and import from it into the second."""
    made = azure.identity("promoter", crflows=[ACR_PUSH, READER], crproduction=[IMPORTER, ACR_PUSH])
    sign_in(made)
    return made


@pytest.fixture
def image(azure: Azure, acr: Acr, promoter: Identity) -> Manifest:
    """An image of the first registry, with something that refers to it."""
    registry = client(azure, acr)
    made, _ = push_image(registry, NAME, "1")
    push_image(registry, NAME, subject=made)
    return made


def sdk(azure: Azure) -> ContainerRegistryManagementClient:
    url = azure.arm.server.url
    return ContainerRegistryManagementClient(
        DefaultAzureCredential(),
        azure.arm.subscription,
        base_url=url,
        credential_scopes=[f"{url}/.default"],
        polling_interval=POLL_SECONDS,
    )


def start_import(azure: Azure, source: Acr, image: str, **rest: Any) -> None:
    """Import into the second registry, and wait for the end."""
    parameters = {
        "source": {"resourceId": azure.arm.resource_id(source), "sourceImage": image},
        **rest,
    }
    sdk(azure).registries.begin_import_image(GROUP, "crproduction", parameters).result()


def refusal(azure: Azure, source: Acr, image: str, **rest: Any) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        start_import(azure, source, image, **rest)
    return caught.value


def test_a_list_has_only_readable_registries(azure: Azure, promoter: Identity) -> None:
    def listed() -> dict[str, str]:
        found = sdk(azure).registries.list()
        return {str(one.name): str(one.login_server) for one in found}

    servers = {name: acr.login_server for name, acr in azure.registries.items()}
    assert listed() == {name: servers[name] for name in ("crflows", "crproduction")}
    promoter.remove_roles("crflows", READER)
    assert listed() == {"crproduction": servers["crproduction"]}


def test_an_image_is_copied_with_its_digest_and_without_referrers(
    azure: Azure, acr: Acr, production_acr: Acr, image: Manifest
) -> None:
    other, _ = push_image(client(azure, acr), NAME, "other")
    index = manifests.create_manifest(
        {
            "schemaVersion": 2,
            "mediaType": manifests.INDEX_TYPE,
            "manifests": [image.descriptor, other.descriptor],
        }
    )
    client(azure, acr).put_manifest(NAME, "both", index)
    acr.server.seen.clear()
    start_import(azure, acr, f"{NAME}@{index.digest}", targetTags=["promoted:both"], mode="Force")
    target = client(azure, production_acr)
    assert target.get_manifest("promoted", "both") == index
    for part in (image, other):
        assert target.get_manifest("promoted", part.digest) == part
        (layer,) = part.data["layers"]
        assert target.has_blob("promoted", layer["digest"])
    assert target.list_referrers("promoted", image.digest) == []
    # The client has moved no byte of it.
    assert acr.server.seen == []
    assert production_acr.uploaded_bytes == 0


def test_a_manifest_can_come_without_a_tag(
    azure: Azure, acr: Acr, production_acr: Acr, image: Manifest
) -> None:
    source = f"{NAME}@{image.digest}"
    start_import(azure, acr, source, untaggedTargetRepositories=["untagged"])
    target = client(azure, production_acr)
    assert target.get_manifest("untagged", image.digest) == image
    assert target.get_manifest("untagged", "latest") is None


@pytest.mark.parametrize("at_once", [True, False])
def test_a_tag_that_exists_is_kept(
    azure: Azure, acr: Acr, production_acr: Acr, image: Manifest, at_once: bool
) -> None:
    azure.arm.conflicts_at_once = at_once
    source, tag = f"{NAME}@{image.digest}", f"kept-{at_once}".lower()
    start_import(azure, acr, source, targetTags=[f"{NAME}:{tag}"])
    push_image(client(azure, acr), NAME, "2")
    error = refusal(azure, acr, f"{NAME}:2", targetTags=[f"{NAME}:{tag}"], mode="NoForce")
    assert error.status_code == 409
    assert f"Tag {NAME}:{tag} already exists in target registry." in str(error)
    assert client(azure, production_acr).get_manifest(NAME, tag) == image
    start_import(azure, acr, f"{NAME}:2", targetTags=[f"{NAME}:{tag}"], mode="Force")
    assert client(azure, production_acr).get_manifest(NAME, tag) != image


def test_pushing_does_not_include_importing(
    azure: Azure, acr: Acr, promoter: Identity, image: Manifest
) -> None:
    promoter.remove_roles("crproduction", IMPORTER)
    error = refusal(azure, acr, f"{NAME}:1")
    assert error.status_code == 403
    assert error.error is not None
    assert error.error.code == "AuthorizationFailed"
    assert "Microsoft.ContainerRegistry/registries/importImage/action" in str(error)


def test_pulling_does_not_include_reading_the_source(
    azure: Azure, acr: Acr, promoter: Identity, image: Manifest
) -> None:
    promoter.remove_roles("crflows", READER)
    promoter.assign_roles("crflows", ACR_PULL)
    error = refusal(azure, acr, f"{NAME}:1")
    assert error.error is not None
    assert error.error.code == "LinkedAuthorizationFailed"


def test_an_image_that_is_not_there(azure: Azure, acr: Acr, promoter: Identity) -> None:
    error = refusal(azure, acr, f"{NAME}:no-such-tag")
    assert "cannot be found" in str(error)


def test_a_request_that_the_service_does_not_know_fails_the_test(
    azure: Azure, promoter: Identity
) -> None:
    manager = sdk(azure)
    with pytest.raises(HttpResponseError):
        list(manager.webhooks.list(GROUP, "crproduction"))
    manager = ContainerRegistryManagementClient(
        DefaultAzureCredential(),
        azure.arm.subscription,
        base_url=azure.arm.server.url,
        credential_scopes=[f"{azure.arm.server.url}/.default"],
        api_version="2019-05-01",
    )
    with pytest.raises(HttpResponseError):
        list(manager.registries.list())
    problems = azure.problems()
    assert [problem.partition("/subscriptions")[0] for problem in problems] == [
        "ARM: GET ",
        "ARM: api-version 2019-05-01 of ",
    ]
    azure.arm.server.unexpected.clear()
