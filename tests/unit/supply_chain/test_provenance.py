"""Provenance of an image: the facts in it, and those that are unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.core.errors import DeployError
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.supply_chain import provenance
from tests import small_archives
from tests.projects import FIXTURE
from tests.unit.supply_chain.small_images import (
    BUILT_WITH,
    IMAGE,
    dependencies,
    faq,
    statement,
)

COMMIT = "c" * 40


def test_provenance_has_the_facts_of_the_image(tmp_path: Path) -> None:
    source = {"revision": COMMIT, "source": "https://git.example/owner/name"}
    found = statement(tmp_path, BUILT_WITH, {"base.name": "flow-base:x", **source})
    archive = image_archive.read(tmp_path / "image.tar")
    # Before it is in a registry: not the engine's id, which depends on how it stores images.
    name = archive.config_digest.removeprefix("sha256:")
    assert found["subject"] == [{"name": "faq", "digest": {"sha256": name}}]
    definition = found["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "flow": "faq",
        "kind": "dag",
        "entry": "flow.dag.yaml",
        "python": "3.11",
        "platform": "linux/amd64",
    }
    every = dependencies(found)
    assert every["flow-base:x"]["digest"] == {"sha256": "2" * 64}
    base = [layer.digest for layer in archive.layers[:2]]
    assert every["flow-base:x"]["annotations"] == {"layers": base}
    assert every["source"] == {
        "uri": "git+https://git.example/owner/name",
        "digest": {"gitCommit": COMMIT},
    }
    assert every["flows/faq/requirements.lock"] == {"digest": {"sha256": "a" * 64}}
    assert every["deploy/build/pack.lock"] == {"digest": {"sha256": "b" * 64}}
    details = found["predicate"]["runDetails"]
    assert details["metadata"] == {"finishedOn": small_archives.CREATED}
    assert details["builder"]["version"]["docker"] == "28.0.1"


def test_provenance_omits_facts_missing_in_the_image(tmp_path: Path) -> None:
    found = statement(tmp_path, {}, {"base.name": "flow-base:x"})
    assert dependencies(found) == {}
    assert "python" not in found["predicate"]["buildDefinition"]["externalParameters"]
    assert set(found["predicate"]["runDetails"]["builder"]["version"]) <= {"syft"}


def test_an_image_in_a_registry_is_known_by_its_digest_there(tmp_path: Path) -> None:
    there = replace(IMAGE, repository="team.azurecr.io/faq", digest=f"sha256:{'3' * 64}")
    found = statement(tmp_path, BUILT_WITH, {}, there)
    assert found["subject"] == [{"name": "team.azurecr.io/faq", "digest": {"sha256": "3" * 64}}]


def test_a_base_of_a_registry_is_known_by_its_digest_there(tmp_path: Path) -> None:
    found = statement(tmp_path, BUILT_WITH, {"base.name": f"python@sha256:{'4' * 64}"})
    assert dependencies(found)["python"]["digest"] == {"sha256": "4" * 64}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            {"revision": f"{COMMIT}-dirty", "source": "git@git.example:owner/name"},
            {
                "uri": "git+ssh://git@git.example/owner/name",
                "annotations": {"changedSince": {"gitCommit": COMMIT}},
            },
        ),
        ({"revision": f"{COMMIT}-dirty"}, None),
        ({"revision": COMMIT}, {"digest": {"gitCommit": COMMIT}}),
        ({}, None),
    ],
)
def test_changed_files_are_not_attributed_to_a_commit(
    labels: dict[str, str], expected: dict[str, Any] | None, tmp_path: Path
) -> None:
    assert dependencies(statement(tmp_path, BUILT_WITH, labels)).get("source") == expected


def test_no_provenance_of_an_image_that_is_not_ours(image: ImageArchive) -> None:
    with pytest.raises(DeployError) as caught:
        provenance.make(IMAGE, image, faq(), FIXTURE)
    assert str(caught.value) == (
        "provenance: the image has no about.json\n  → build the image with `inv build`"
    )
