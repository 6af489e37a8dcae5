"""Records of images that this machine has built or verified."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.build import cache
from deploy.core.entities import Image
from deploy.supply_chain.image_verification import records

IMAGE = Image(
    repository="cr.azurecr.io/faq",
    tag="0" * 12,
    id="sha256:" + "1" * 64,
    platform="linux/amd64",
    base="python@sha256:2",
    commit="c1",
    digest="sha256:" + "a" * 64,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_only_recorded_images_are_known() -> None:
    assert not records.has(records.VERIFIED, "faq", IMAGE)
    records.add(records.VERIFIED, "faq", IMAGE)
    records.add(records.VERIFIED, "faq", IMAGE)
    # The same digest in another registry is the same image.
    assert records.has(
        records.VERIFIED, "faq", replace(IMAGE, repository="other.azurecr.io/faq", commit="c2")
    )
    assert not records.has(records.VERIFIED, "chat", IMAGE)
    assert not records.has(records.SCANNED, "faq", IMAGE)
    for other in ({"tag": "1" * 12}, {"digest": "sha256:" + "b" * 64}, {"platform": "linux/arm64"}):
        assert not records.has(records.VERIFIED, "faq", replace(IMAGE, **other))


def test_records_are_the_users_alone() -> None:
    records.add(records.VERIFIED, "faq", IMAGE)
    folder = cache.get_root() / records.VERIFIED
    (file,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


@pytest.mark.parametrize("part", ["file", "folder"])
def test_a_record_that_others_may_write_does_not_count(part: str) -> None:
    records.add(records.VERIFIED, "faq", IMAGE)
    folder = cache.get_root() / records.VERIFIED
    (file,) = folder.iterdir()
    (file if part == "file" else folder).chmod(0o777)
    assert not records.has(records.VERIFIED, "faq", IMAGE)


def test_a_damaged_record_does_not_count() -> None:
    records.add(records.VERIFIED, "faq", IMAGE)
    (file,) = (cache.get_root() / records.VERIFIED).iterdir()
    file.write_text("{", encoding="utf-8")
    assert not records.has(records.VERIFIED, "faq", IMAGE)


def test_a_link_in_place_of_a_record_does_not_count(tmp_path: Path) -> None:
    records.add(records.VERIFIED, "faq", IMAGE)
    (file,) = (cache.get_root() / records.VERIFIED).iterdir()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert not records.has(records.VERIFIED, "faq", IMAGE)
