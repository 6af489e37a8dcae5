"""A flow's repository: which image an index means, and an image as files without an engine."""

from __future__ import annotations

import gzip
import json
from types import SimpleNamespace
from typing import IO, Any, cast

import pytest

from deploy.build import labels
from deploy.config.schema import PlaceModel
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.registry import manifests
from deploy.registry.image_repository import ImageRepository
from deploy.registry.manifests import Manifest
from deploy.registry.pull import download_image
from tests.saved_images import digest_of, layer

TAG = "0" * 12
FLOW: Any = SimpleNamespace(name="faq", image=SimpleNamespace(platform="linux/amd64"))
AMD64 = {"os": "linux", "architecture": "amd64"}
CONTENT = layer({"app/flow/a.py": "a = 1"})


class Stored:
    """A registry in memory."""

    server, where = "r.azurecr.io", "registry r.azurecr.io"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, Manifest] = {}

    def get_manifest(self, _: str, reference: str) -> Manifest | None:
        return self.manifests.get(reference)

    def get_blob(self, _: str, digest: str) -> bytes:
        return self.blobs[digest]

    def download_blob(self, _: str, digest: str, target: IO[bytes]) -> None:
        target.write(self.blobs[digest])

    def add(self, content: bytes) -> dict[str, Any]:
        self.blobs[digest_of(content)] = content
        return {"digest": digest_of(content), "size": len(content)}

    def put(self, tag: str, **data: Any) -> dict[str, Any]:
        made = manifests.create_manifest({"schemaVersion": 2, **data})
        self.manifests[tag] = self.manifests[made.digest] = made
        return made.descriptor

    def put_image(self, *layers: bytes) -> dict[str, Any]:
        given = {labels.FLOW: "faq", labels.TAG: TAG}
        diff_ids = [digest_of(gzip.decompress(content)) for content in layers]
        config = {**AMD64, "config": {"Labels": given}, "rootfs": {"diff_ids": diff_ids}}
        entries = [self.add(content) for content in layers]
        about = self.add(json.dumps(config).encode())
        return self.put(TAG, mediaType=manifests.MANIFEST_TYPE, config=about, layers=entries)


@pytest.fixture
def stored() -> Stored:
    return Stored()


def remote(stored: Stored) -> ImageRepository:
    return ImageRepository(cast(Any, stored), "faq", PlaceModel())


def found(stored: Stored) -> Image:
    image = remote(stored).find(FLOW, TAG)
    assert image
    return image


def test_an_index_means_the_image_of_the_platform(stored: Stored) -> None:
    image = stored.put_image()
    other = {**image, "platform": {"os": "linux", "architecture": "arm64"}}
    attestation = {**image, "platform": {"os": "unknown", "architecture": "unknown"}}
    alone = found(stored)
    entries = [other, {**image, "platform": AMD64}, attestation]
    stored.put(TAG, mediaType=manifests.INDEX_TYPE, manifests=entries)
    assert found(stored).id == alone.id
    assert found(stored).digest != alone.digest


@pytest.mark.parametrize("second", [{"platform": {**AMD64, "variant": "v3"}}, {}])
def test_an_index_with_two_images_for_a_platform_is_rejected(
    stored: Stored, second: dict[str, Any]
) -> None:
    image = stored.put_image()
    entries = [{**image, "platform": AMD64}, {**image, **second}]
    stored.put(TAG, mediaType=manifests.INDEX_TYPE, manifests=entries)
    with pytest.raises(DeployError, match="2 images for linux/amd64"):
        found(stored)


def test_an_image_is_read_without_an_engine(stored: Stored) -> None:
    packed = gzip.compress(CONTENT)
    # The same layer twice, as an empty one often is.
    stored.put_image(packed, packed)
    image = found(stored)
    with download_image(remote(stored), image) as files:
        assert files.config_digest == image.id
        assert [one.digest for one in files.layers] == [digest_of(CONTENT)] * 2
        with files.layers[1].open() as content:
            assert [member.name for member in content] == ["app/flow/a.py"]


def test_a_removed_image_is_a_readable_error(stored: Stored) -> None:
    stored.put_image()
    image = found(stored)
    stored.manifests.clear()
    with (
        pytest.raises(DeployError, match="no longer exists"),
        download_image(remote(stored), image),
    ):
        pass
