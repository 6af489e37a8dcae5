"""Documents that are attached to images."""

from __future__ import annotations

from deploy.core.entities import Attachment
from deploy.registry import manifests, referrers
from deploy.registry.manifests import Manifest

DIGEST = "sha256:" + "a" * 64


def test_the_tag_that_takes_the_place_of_the_referrers_api() -> None:
    assert manifests.get_fallback_tag(DIGEST) == "sha256-" + "a" * 64


def test_the_same_document_about_the_same_image_is_the_same_manifest() -> None:
    subject = Manifest(DIGEST, manifests.DOCKER_MANIFEST_TYPE, b"{}")
    document = Attachment("sbom.cdx.json", "application/vnd.cyclonedx+json", b"{}")
    made = referrers.create_manifest(subject, document)
    assert made == referrers.create_manifest(subject, document)
    assert made.data["subject"] == subject.descriptor
    assert made.data["artifactType"] == document.type
