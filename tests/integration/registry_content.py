"""Small content for registries: blobs, manifests, and their referrers."""

from __future__ import annotations

import io
import os

from deploy.azure import clouds
from deploy.azure.clouds import Cloud
from deploy.config.schema import CloudModel
from deploy.registry import manifests
from deploy.registry.login import AzureLogin
from deploy.registry.manifests import Manifest
from deploy.registry.oci import Registry
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure

ARTIFACT = "application/vnd.example.sbom"
CONFIG = b"{}"


def where(azure: Azure) -> Cloud:
    """Return the emulated cloud as the product knows it."""
    return clouds.resolve_cloud(CloudModel(**azure.cloud))


def client(azure: Azure, acr: Acr) -> Registry:
    """Return the product's client of `acr` for the signed-in identity."""
    return Registry(acr.login_server, AzureLogin(acr.login_server, where(azure)))


def push_blob(registry: Registry, repository: str, content: bytes) -> str:
    """Store a blob; return its digest."""
    digest = manifests.compute_digest(content)
    registry.upload_blob(repository, digest, io.BytesIO(content), len(content))
    return digest


def pull_blob(registry: Registry, repository: str, digest: str) -> bytes:
    """Return a blob by way of a file, as layers are fetched."""
    target = io.BytesIO()
    registry.download_blob(repository, digest, target)
    return target.getvalue()


def push_image(
    registry: Registry, repository: str, tag: str = "", subject: Manifest | None = None
) -> tuple[Manifest, bool]:
    """Store a manifest with a layer of its own under `tag`, or its digest.

    Return it, and whether the registry took note of its subject.
    """
    layer = os.urandom(1000)
    about = [("application/vnd.oci.image.config.v1+json", CONFIG), ("application/x", layer)]
    parts = [
        {"mediaType": kind, "digest": push_blob(registry, repository, part), "size": len(part)}
        for kind, part in about
    ]
    data = {
        "schemaVersion": 2,
        "mediaType": manifests.MANIFEST_TYPE,
        "config": parts[0],
        "layers": parts[1:],
    }
    if subject:
        data |= {"artifactType": ARTIFACT, "subject": subject.descriptor}
    manifest = manifests.create_manifest(data)
    return manifest, registry.put_manifest(repository, tag or manifest.digest, manifest)
