"""What is inside a real image: bills of materials, provenance, `inv inspect`."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.build import base_image, lock_files
from deploy.config import configuration
from deploy.core.entities import Attachment, Flow, Image
from deploy.core.errors import DeployError
from deploy.delivery import pipeline
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.sandbox import model_server
from deploy.sandbox.registry import RegistryProcess
from deploy.supply_chain import image_files, inspection, provenance, sbom
from deploy.supply_chain.inspection import Inspection
from tests import projects
from tests.integration.conftest import ROOT, built
from tests.integration.publishing import publish, spec, with_places

Listed = set[tuple[str, str]]
# What holds in the image, for markers of a lock.
MARKERS = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}


@dataclass(frozen=True)
class Inside:
    """An image with its files and its documents."""

    flow: Flow
    image: Image
    archive: ImageArchive
    documents: dict[str, Attachment]

    def read(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.documents[kind].content)
        return found


@pytest.fixture(scope="module")
def faq(client: docker.DockerClient) -> Iterator[Inside]:
    flow, image = built("faq")
    with image_archive.save_image(client, image.id) as saved:
        yield Inside(flow, image, saved, documents(flow, image, saved))


@pytest.fixture(scope="module")
def inspected(client: docker.DockerClient) -> Inspection:
    return inspection.inspect(client, built("faq")[1])


def documents(flow: Flow, image: Image, saved: ImageArchive) -> dict[str, Attachment]:
    made = [*sbom.make(saved, image), provenance.make(image, saved, flow, ROOT)]
    return {attachment.kind: attachment for attachment in made}


def cyclonedx(found: dict[str, Any], kind: str = "") -> Listed:
    """Return name and version of what a CycloneDX document lists, of one kind of purl or all."""
    packages = [one for one in found["components"] if one["type"] != "operating-system"]
    start = f"pkg:{kind}/" if kind else "pkg:"
    return {(one["name"], one["version"]) for one in packages if one["purl"].startswith(start)}


def spdx(found: dict[str, Any]) -> Listed:
    """Return name and version of what an SPDX document lists, the image itself left out."""
    image = "SPDXRef-DocumentRoot-Image-faq"
    packages = [one for one in found["packages"] if one["SPDXID"] != image]
    return {(one["name"], one["versionInfo"]) for one in packages}


def test_the_python_packages_are_those_of_the_lock(faq: Inside) -> None:
    locked = set()
    for line in lock_files.read(faq.flow).splitlines():
        if "==" in line:
            wanted = Requirement(line.rstrip("\\ "))
            if wanted.marker is None or wanted.marker.evaluate(dict(MARKERS)):
                version = next(iter(wanted.specifier)).version
                locked.add((canonicalize_name(wanted.name), version))
    listed = {(canonicalize_name(n), v) for n, v in cyclonedx(faq.read("sbom.cdx"), "pypi")}
    ours = made_here(faq)
    assert listed == locked if ours else listed >= locked
    assert len(locked) > 30
    assert not {name for name, _ in listed} & {"openai", "tiktoken"}


def made_here(faq: Inside) -> bool:
    return faq.image.base.startswith(f"{base_image.LOCAL_REPOSITORY}:")


def test_a_package_that_stands_in_nowhere_is_listed_as_itself(client: docker.DockerClient) -> None:
    _, image = built("triage")
    with image_archive.save_image(client, image.id) as saved:
        document = json.loads(sbom.make(saved, image)[0].content)
    versions = [version for name, version in cyclonedx(document, "pypi") if name == "openai"]
    assert len(versions) == 1
    assert "stand" not in versions[0]


def test_each_file_of_the_base_belongs_to_a_debian_package_that_is_listed(faq: Inside) -> None:
    if not made_here(faq):
        pytest.skip("the official image was pulled")
    found = image_files.read_contents(faq.archive, lambda path: path.startswith("var/lib/dpkg/"))
    owned: dict[str, set[str]] = {}
    for path, text in found.texts.items():
        if path.endswith(".list"):
            name = Path(path).name.removesuffix(".list")
            owned[name] = {line.lstrip("/") for line in text.splitlines()}
    listed = cyclonedx(faq.read("sbom.cdx"), "deb")
    assert owned.keys() == {name for name, _ in listed}
    for name, files in owned.items():
        assert [path for path in files if not path.startswith("usr/share/doc/")], name
        assert files <= found.sizes.keys(), name
    programs = {
        path
        for path in found.sizes
        if path.startswith(("lib", "usr/bin/", "usr/lib")) and not path.endswith(".pyc")
    }
    every = {path for files in owned.values() for path in files}
    # A link of ours to the interpreter.
    assert programs - every == {"usr/bin/python3"}


def test_versions_are_those_of_what_runs(faq: Inside, client: docker.DockerClient) -> None:
    code = "import platform, ssl; print(platform.python_version(), ssl.OPENSSL_VERSION.split()[1])"
    output = client.containers.run(faq.image.id, ["python3", "-c", code], remove=True)
    python, openssl = output.decode().split()
    listed = dict(cyclonedx(faq.read("sbom.cdx")))
    interpreter = listed["python3.11-minimal"] if made_here(faq) else listed["python"]
    assert interpreter.partition("-")[0] == python
    assert listed["libssl3"].partition("-")[0] == openssl
    # Listed once, as the distribution's package, whose version has the corrections in it.
    assert ("python" in listed) != made_here(faq)


def test_scanners_can_tell_the_release(faq: Inside) -> None:
    document = faq.read("sbom.cdx")
    system = [one for one in document["components"] if one["type"] == "operating-system"]
    assert [(one["name"], one["version"]) for one in system] == [("debian", "12")]
    purls = [
        one["purl"] for one in document["components"] if one.get("purl", "").startswith("pkg:deb")
    ]
    assert all("distro=debian-12" in purl for purl in purls)


def test_both_bills_agree(faq: Inside) -> None:
    assert cyclonedx(faq.read("sbom.cdx")) == spdx(faq.read("sbom.spdx"))


def test_cyclonedx_has_what_the_format_requires(faq: Inside) -> None:
    document = faq.read("sbom.cdx")
    assert faq.documents["sbom.cdx"].type == "application/vnd.cyclonedx+json"
    assert document["bomFormat"] == "CycloneDX"
    assert document["specVersion"] in ("1.5", "1.6")
    assert document["version"] == 1
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", document["serialNumber"])
    about = document["metadata"]["component"]
    assert (about["type"], about["name"], about["version"]) == ("container", "faq", faq.image.tag)
    references = [one["bom-ref"] for one in document["components"]]
    assert len(references) == len(set(references))
    for one in document["components"]:
        assert one["type"] in ("library", "application", "operating-system")
        assert one["name"] and one["version"]
    for dependency in document.get("dependencies", []):
        assert {dependency["ref"], *dependency.get("dependsOn", [])} <= {
            *references,
            about["bom-ref"],
        }


def test_spdx_has_what_the_format_requires(faq: Inside) -> None:
    document = faq.read("sbom.spdx")
    assert faq.documents["sbom.spdx"].type == "application/spdx+json"
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["dataLicense"] == "CC0-1.0"
    assert document["SPDXID"] == "SPDXRef-DOCUMENT"
    assert document["name"] == "faq"
    assert document["documentNamespace"].startswith("urn:uuid:")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["creationInfo"]["created"])
    assert "Tool: syft-" in str(document["creationInfo"]["creators"])
    known = {"SPDXRef-DOCUMENT"}
    for one in document["packages"]:
        assert re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one["SPDXID"])
        assert one["name"] and one["downloadLocation"]
        known.add(one["SPDXID"])
    assert "files" not in document
    assert not re.search("0{40}", faq.documents["sbom.spdx"].content.decode())
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= known
        assert relation["relationshipType"]


def test_the_same_image_gives_the_same_documents(faq: Inside, client: docker.DockerClient) -> None:
    with image_archive.save_image(client, faq.image.id) as again:
        assert documents(faq.flow, faq.image, again) == faq.documents


def test_documents_tell_nothing_of_this_machine(faq: Inside) -> None:
    places = [tempfile.gettempdir(), str(ROOT), f"{Path.home()}/", "flow-deploy-", model_server.KEY]
    names = [getpass.getuser(), socket.gethostname()]
    for kind, document in faq.documents.items():
        text = document.content.decode()
        assert [place for place in places if place in text] == [], kind
        found = [
            name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
        ]
        assert found == [], kind


def test_provenance_is_that_of_the_image(faq: Inside, client: docker.DockerClient) -> None:
    document = faq.read("provenance")
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert document["subject"] == [
        {"name": "faq", "digest": {"sha256": faq.archive.config_digest.removeprefix("sha256:")}}
    ]
    predicate = document["predicate"]
    assert set(predicate) == {"buildDefinition", "runDetails"}
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    assert set(definition) == {
        "buildType",
        "externalParameters",
        "internalParameters",
        "resolvedDependencies",
    }
    assert definition["externalParameters"] == {
        "flow": "faq",
        "kind": "dag",
        "entry": "flow.dag.yaml",
        "python": faq.flow.image.python,
        "platform": faq.image.platform,
    }
    assert definition["internalParameters"] == {"tag": faq.image.tag}
    assert set(details) == {"builder", "metadata"}
    assert set(details["builder"]) == {"id", "version"}
    versions = details["builder"]["version"]
    assert set(versions) == {"docker", "promptflow-devkit", "syft", "uv"}
    assert versions["docker"] == client.version()["Version"]
    created = client.images.get(faq.image.id).attrs["Created"]
    assert details["metadata"] == {"finishedOn": created}
    every = {one["name"]: one for one in definition["resolvedDependencies"]}
    for one in every.values():
        assert set(one) <= {"name", "uri", "digest", "annotations"}
        assert one.keys() & {"uri", "digest"}
    for path in (faq.flow.folder / lock_files.LOCK, lock_files.PACK_LOCK):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert every[path.relative_to(ROOT).as_posix()]["digest"] == {"sha256": digest}
    found = base_image.find(client, faq.flow.image, ROOT)
    assert found is not None
    assert (
        every[found.reference.partition("@")[0]]["annotations"]["layers"]
        == (client.images.get(found.id).attrs["RootFS"]["Layers"])
    )


def test_what_an_image_was_built_with_is_not_in_its_answer_and_tag(faq: Inside) -> None:
    about = json.loads(image_files.read_text(faq.archive, "app/about.json") or "{}")
    assert about["built_with"]["python"] == faq.flow.image.python
    assert about["tag"] == faq.image.tag


def test_layers_sum_up_to_the_image(inspected: Inspection, client: docker.DockerClient) -> None:
    assert sum(layer.size for layer in inspected.layers) == inspected.size
    # The files of the container's root, of which no layer replaces or deletes one of another.
    code = """
import os
device, sizes = os.lstat("/").st_dev, {}
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device]
    for found in [os.lstat(os.path.join(folder, name)) for name in names]:
        if found.st_dev == device:
            sizes[found.st_ino] = found.st_size
print(sum(sizes.values()))
"""
    output = client.containers.run(inspected.id, ["python3", "-c", code], remove=True, user="0")
    assert int(output) == pytest.approx(inspected.size, rel=0.01)
    assert [layer.what for layer in inspected.layers][-2:] == ["packages", "server and flow"]


def test_the_largest_packages_are_the_largest(
    inspected: Inspection, client: docker.DockerClient
) -> None:
    """Counted once more inside of the image, from what Python itself knows of its packages."""
    code = """
import importlib.metadata, importlib.util, json, os, pathlib, re
def size(files):
    compiled = [importlib.util.cache_from_source(path) for path in files if path.endswith(".py")]
    every = {path for path in [*files, *compiled] if os.path.isfile(path) and not os.path.islink(path)}
    return sum(os.stat(path).st_size for path in every)
found = {}
for one in importlib.metadata.distributions(path=["/app/packages"]):
    files = [os.path.normpath(one.locate_file(path)) for path in one.files]
    found["python " + re.sub("[-_.]+", "-", one.name).lower()] = size(files)
for path in pathlib.Path("/var/lib/dpkg/info").glob("*.list"):
    found["debian " + path.stem.split(":")[0]] = size(path.read_text().splitlines())
print(json.dumps(found))
"""
    output = client.containers.run(inspected.id, ["python3", "-c", code], remove=True)
    sizes = json.loads(output)
    largest = sorted(sizes.items(), key=lambda item: -item[1])[: inspection.LARGEST_COUNT]
    assert [(f"{p.kind} {p.name}", p.size) for p in inspected.largest] == largest
    counted = inspected.python + inspected.debian
    assert counted == len(sizes)


def test_inspect_tells_what_the_image_says(
    inspected: Inspection, client: docker.DockerClient, capsys: pytest.CaptureFixture[str]
) -> None:
    _, image = built("faq")
    assert (inspected.id, inspected.tag, inspected.commit) == (image.id, image.tag, image.commit)
    assert inspected.user == "10001:10001"
    assert inspected.ports == ("8080/tcp",)
    assert inspected.command == ("python3", "-m", "flow_server.serve")
    assert {"PATH", "PYTHONPATH", "HOME"} <= set(inspected.variables)
    count = "import os; print(sum(len(files) for _, _, files in os.walk('/app')))"
    output = client.containers.run(image.id, ["python3", "-c", count], remove=True)
    assert inspected.files > int(output)
    inspection.print_inspections([inspected])
    text = capsys.readouterr().out
    assert f"image      {image.reference}\n" in text
    assert re.search(r"^packages +\d+\.\d$", text, re.MULTILINE)


def test_documents_in_a_registry_are_shown(
    project: configuration.Project,
    plain_registry: RegistryProcess,
    folder: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = {"registry": f"{plain_registry.name}/{folder}"}
    published = publish(with_places(project, {"dev": place}))
    flow = spec(project).flow
    inspection.print_inspections([pipeline.inspect(project, flow, spec(project))])
    text = capsys.readouterr().out
    assert f"published  {published.pinned}\n" in text
    for kind, media_type in (
        {**dict(sbom.DOCUMENTS.values()), provenance.KIND: provenance.MEDIA_TYPE}
    ).items():
        assert re.search(
            rf"^{re.escape(kind)} +{re.escape(media_type)} +\d+\.\d +sha256:", text, re.M
        )


def test_what_is_not_built_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("requirements.txt", "requirements.lock")
    files = {f"flows/hello/{n}": (ROOT / "flows/faq" / n).read_text("utf-8") for n in names}
    code = {"flows/hello/answer.py": f"{projects.CODE}# {tmp_path}\n"}
    project = projects.make(tmp_path, {**files, **code})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployError) as caught:
        pipeline.inspect(project, configuration.load_flow(project, "hello"))
    assert str(caught.value) == (
        "hello: the image of its files, as they are now, is not built\n  → `inv build --flow hello`"
    )


def test_inspect_prints_json(faq: Inside) -> None:
    done = subprocess.run(
        [str(ROOT / ".venv/bin/inv"), "inspect", "--flow", "faq", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = json.loads(done.stdout)
    assert found["reference"] == faq.image.reference
    assert len(found["largest"]) == inspection.LARGEST_COUNT
