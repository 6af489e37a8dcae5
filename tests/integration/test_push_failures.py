"""Publishing an image where the registry, the network or the role fails."""

from __future__ import annotations

import json
import threading
from typing import Any

import docker
import docker.errors
import pytest

from deploy.config import configuration
from deploy.core import progress
from deploy.core.errors import DeployError
from deploy.delivery import pipeline, publication, resolve_image
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import Identity
from tests.integration import local_project
from tests.integration.azure_fixtures import SignIn
from tests.integration.pushes import TYPES, pushes
from tests.integration.registry_project import attached, change, publish, spec, where, with_places

pytestmark = pytest.mark.usefixtures("documents_once", "short_back_off")


@pytest.fixture
def fresh_acr(azure: Azure, project: configuration.Project, folder: str, pusher: Identity) -> Acr:
    """An empty registry, to which every layer must be sent: `dev` of the project."""
    name = f"cr{folder.replace('-', '')}"
    fresh = azure.registry(name)
    with_places(project, {"dev": azure.place(fresh)})
    pusher.assign_roles(name, "AcrPush")
    return fresh


def test_a_missing_role_is_named_with_the_identity(
    cloud_project: configuration.Project, azure: Azure, acr: Acr, sign_in: SignIn
) -> None:
    reader = azure.identity("reader", crflows=["AcrPull"])
    sign_in(reader)
    with pytest.raises(DeployError) as caught:
        publish(cloud_project)
    assert "it lacks the role AcrPush" in str(caught.value)
    assert reader.client_id in str(caught.value)
    assert acr.login_server in str(caught.value)
    assert pushes(acr) == []


def test_a_role_to_read_is_missing(
    cloud_project: configuration.Project, azure: Azure, sign_in: SignIn
) -> None:
    sign_in(azure.identity("nobody"))
    with pytest.raises(DeployError, match="it lacks the role AcrPull"):
        publish(cloud_project)


def test_tokens_that_run_out_in_the_middle_are_renewed(
    project: configuration.Project, pusher: Identity, fresh_acr: Acr
) -> None:
    done = threading.Event()

    def expire() -> None:
        # Docker's classic store sends a layer in parts, that of containerd in one request.
        sent = ("PATCH|PUT", "/blobs/uploads/")
        while not fresh_acr.server.requests(*sent) and not done.wait(0.01):
            pass
        fresh_acr.tokens.expire()

    thread = threading.Thread(target=expire)
    thread.start()
    try:
        published = publish(project)
    finally:
        done.set()
        thread.join()
    assert [
        seen for seen in fresh_acr.server.requests("PUT|PATCH|POST", "/v2/") if seen.status == 401
    ]
    assert attached(project, "dev", published.digest) == TYPES


def test_a_connection_that_is_cut_in_the_middle_of_a_layer(
    project: configuration.Project, pusher: Identity, fresh_acr: Acr
) -> None:
    fresh_acr.server.faults.cut_upload(3_000_000)
    published = publish(project)
    assert fresh_acr.server.faults.has_injected_all
    assert where(project).find(spec(project).flow, published.tag) == published


def test_a_busy_registry_is_retried(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity
) -> None:
    acr.server.faults.answer(503, times=2, path="/manifests/")
    acr.server.faults.answer(429, retry_after="1", path="/oauth2/exchange")
    publish(cloud_project)
    assert acr.server.faults.has_injected_all


def test_an_interrupted_push_is_completed(
    cloud_project: configuration.Project,
    acr: Acr,
    pusher: Identity,
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(publication.Publication, "_push_attachments", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish(cloud_project)
    found = where(cloud_project).find(spec(cloud_project).flow, _tag(cloud_project))
    assert found
    assert attached(cloud_project, "dev", found.digest) == set()
    assert publish(cloud_project) == found
    assert attached(cloud_project, "dev", found.digest) == TYPES


def test_a_tag_with_other_content_is_not_overwritten(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity
) -> None:
    published = publish(cloud_project)
    there = where(cloud_project)
    stranger = there.registry.get_manifest(there.repository, published.tag)
    change(cloud_project, "# other content")
    assert stranger
    there.registry.put_manifest(there.repository, _tag(cloud_project), stranger)
    with pytest.raises(DeployError, match="is not an image of the flow hello with this content"):
        publish(cloud_project)
    kept = there.registry.get_manifest(there.repository, _tag(cloud_project))
    assert kept == stranger


def test_a_registry_that_is_down(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity
) -> None:
    with acr.server.outage(), pytest.raises(DeployError, match="it cannot be reached"):
        publish(cloud_project)


def test_an_untrusted_certificate_is_a_readable_error(
    cloud_project: configuration.Project,
    azure: Azure,
    acr: Acr,
    pusher: Identity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azure.untrusted_authority.bundle))
    there = where(cloud_project)
    with pytest.raises(DeployError, match="its certificate is not trusted"):
        there.registry.get_manifest(there.repository, "latest")


def test_an_environment_without_a_registry(project: configuration.Project) -> None:
    with pytest.raises(DeployError, match="the environment has no registry"):
        resolve_image.publish_image(project, local_project.spec(project))


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"digest": f"sha256:{'0' * 64}"}, "does not exist"),
        ({"tag": "0" * 12}, "which differ from this file"),
    ],
)
def test_a_file_that_contradicts_the_registry_is_rejected(
    cloud_project: configuration.Project,
    acr: Acr,
    pusher: Identity,
    lie: dict[str, Any],
    reason: str,
) -> None:
    publish(cloud_project)
    handed = cloud_project.root / ".artifacts/hello.json"
    handed.write_text(json.dumps({**json.loads(handed.read_text("utf-8")), **lie}), "utf-8")
    with pytest.raises(DeployError, match=reason):
        pipeline.deploy(cloud_project, spec(cloud_project), handed)


def _tag(project: configuration.Project) -> str:
    with progress.log_prefix("hello"):
        return resolve_image.find_content_tag(spec(project).flow, project.root)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
