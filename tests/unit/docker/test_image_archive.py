"""Images as each engine saves them: the selected image, its layers, and unreadable archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.core.errors import DeployError
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from tests.saved_images import ATTESTATION, CLEAN, Layout, digest_of, layer, write

LAYERS = [layer({"etc/a": "a"}), layer({"app/b": "b" * 600})]
AMD64 = {**CLEAN, "os": "linux", "architecture": "amd64"}
ARM64 = {**CLEAN, "os": "linux", "architecture": "arm64", "variant": "v8"}
OTHER = [layer({"etc/arm": "arm"})]


def names(archive: ImageArchive) -> list[str]:
    """Return the files of all layers, as both ways of reading a layer see them."""
    streamed, sought = [], []
    for one in archive.layers:
        with one.open() as content:
            streamed += [member.name for member in content]
        with one.open_unpacked() as plain, tarfile.open(fileobj=plain, mode="r:") as content:
            sought += content.getnames()
            plain.seek(0)
            assert digest_of(plain.read()) == one.digest
    assert streamed == sought
    return streamed


def test_the_classic_store_saves_plain_layers(tmp_path: Path) -> None:
    archive = write(tmp_path / "image.tar", LAYERS)
    assert names(archive) == ["etc/a", "app/b"]
    with tarfile.open(archive.path) as saved:
        config = saved.extractfile("config.json")
        assert config and digest_of(config.read()) == archive.config_digest


def test_podman_saves_plain_layers_by_their_digests_with_links_of_docker(tmp_path: Path) -> None:
    config = json.dumps({**AMD64, "rootfs": {"diff_ids": list(map(digest_of, LAYERS))}}).encode()
    members = [f"{digest_of(content)[7:]}.tar" for content in LAYERS]
    name = f"{digest_of(config)[7:]}.json"
    manifest = [{"Config": name, "RepoTags": ["localhost/faq:1"], "Layers": members}]
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as saved:
        for file, content in (*zip(members, LAYERS, strict=True), (name, config)):
            info = tarfile.TarInfo(file)
            info.size = len(content)
            saved.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("0123/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, f"../{members[0]}"
        saved.addfile(link)
        info = tarfile.TarInfo("manifest.json")
        info.size = len(json.dumps(manifest))
        saved.addfile(info, io.BytesIO(json.dumps(manifest).encode()))
    archive = image_archive.read(path, "linux/amd64")
    assert names(archive) == ["etc/a", "app/b"]
    assert f"{archive.config_digest[7:]}.json" == name


@pytest.mark.parametrize("with_docker_manifest", [True, False])
def test_the_containerd_store_saves_compressed_layers(
    with_docker_manifest: bool, tmp_path: Path
) -> None:
    layout = Layout()
    entry = layout.add(LAYERS, AMD64)
    path = layout.write(tmp_path / "image.tar", entry, entry if with_docker_manifest else None)
    archive = image_archive.read(path, "linux/amd64")
    assert names(archive) == ["etc/a", "app/b"]
    # The same image in the other form has the same digest of its configuration.
    assert archive.config_digest == write(tmp_path / "same.tar", LAYERS, AMD64).config_digest


def test_the_image_of_the_platform_is_read_from_an_index(tmp_path: Path) -> None:
    layout = Layout()
    attestation = {
        **layout.add([b"{}"], {"os": "unknown", "architecture": "unknown"}),
        "annotations": ATTESTATION,
    }
    absent = layout.add(LAYERS, {**AMD64, "config": {}}, missing=True)
    amd64, arm64 = layout.add(LAYERS, AMD64), layout.add(OTHER, ARM64)
    index = layout.add_index(attestation, absent, amd64, arm64)
    # The engine puts the image of its own platform into manifest.json.
    path = layout.write(tmp_path / "image.tar", index, amd64)
    assert names(image_archive.read(path)) == ["etc/a", "app/b"]
    assert names(image_archive.read(path, "linux/amd64")) == ["etc/a", "app/b"]
    assert names(image_archive.read(path, "linux/arm64")) == ["etc/arm"]
    with pytest.raises(DeployError) as caught:
        image_archive.read(path, "linux/s390x")
    assert str(caught.value) == (
        "docker save: the engine saved no image for linux/s390x\n  → build the image again"
    )


def test_an_archive_without_an_image_is_a_readable_error(tmp_path: Path) -> None:
    layout = Layout()
    path = layout.write(tmp_path / "image.tar", layout.add(LAYERS, AMD64, missing=True), None)
    with pytest.raises(DeployError, match="docker save: the engine saved no image\n"):
        image_archive.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"no archive", layer({"manifest.json": "{"}), layer({"manifest.json": "[{}]"})]
)
def test_an_archive_that_is_none_is_a_readable_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(content)
    with pytest.raises(DeployError, match="docker save: the archive of the image cannot be read"):
        image_archive.read(path)


@pytest.mark.parametrize(
    ("content", "how"),
    [(b"\x28\xb5\x2f\xfd" + b"zstd" * 200, "with zstd"), (b"other" * 200, "in an unknown way")],
)
def test_a_layer_in_another_compression_is_named(content: bytes, how: str, tmp_path: Path) -> None:
    with pytest.raises(DeployError) as caught:
        write(tmp_path / "image.tar", [LAYERS[0], content])
    assert str(caught.value) == (
        f"layer 2: it is compressed {how}, and can only be read uncompressed or with gzip\n"
        "  → use a base image whose layers are compressed with gzip"
    )


class Engine:
    """A Docker engine that has one image and saves it as the archive in a file."""

    def __init__(self, path: Path) -> None:
        self.images = self
        self._path = path

    def get(self, image: str) -> Engine:
        return self

    def save(self) -> list[bytes]:
        return [self._path.read_bytes()]


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_a_saved_image_has_one_platform_without_compression(
    architecture: str, tmp_path: Path
) -> None:
    layout = Layout()
    amd64, arm64 = layout.add(LAYERS, AMD64), layout.add(OTHER, ARM64)
    path = layout.write(tmp_path / "image.tar", layout.add_index(amd64, arm64), amd64)
    platform = f"linux/{architecture}"
    with image_archive.save_image(cast(Any, Engine(path)), "faq:1", platform) as archive:
        expected = image_archive.read(path, platform)
        assert (archive.is_plain, expected.is_plain) == (True, False)
        assert archive.config_digest == expected.config_digest
        assert names(archive) == names(expected)
        # What reads no index, such as syft, finds the same image.
        assert image_archive.read(archive.path).config_digest == expected.config_digest
        assert [entry.name for entry in archive.path.parent.iterdir()] == ["plain.tar"]


def test_an_uncompressed_archive_is_not_changed(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tar", LAYERS).path
    with image_archive.save_image(cast(Any, Engine(path)), "faq:1") as archive:
        assert archive.path.read_bytes() == path.read_bytes()


def test_a_damaged_layer_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(layer({"a": "text" * 9999}))
    archive = write(tmp_path / "image.tar", [packed[: len(packed) // 2]])
    with (
        pytest.raises(DeployError, match=r"^layer 1: it is damaged"),
        archive.layers[0].open() as content,
    ):
        list(content)
    with (
        pytest.raises(DeployError, match=r"^layer 1: it is damaged"),
        archive.layers[0].open_unpacked(),
    ):
        pytest.fail("it was read")


def test_an_empty_layer_has_no_files(tmp_path: Path) -> None:
    assert names(write(tmp_path / "image.tar", [layer({}), LAYERS[0]])) == ["etc/a"]
