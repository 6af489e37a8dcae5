"""Bills of materials of a real image."""

from __future__ import annotations

import getpass
import json
import re
import socket
import tempfile
from pathlib import Path
from typing import Any

import docker
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.build import base_image, lock_files
from deploy.docker import image_archive
from deploy.sandbox import model_server
from deploy.supply_chain import image_files, sbom
from tests.integration.conftest import ROOT, built
from tests.integration.image_documents import InspectedImage, documents

Listed = set[tuple[str, str]]
# What holds in the image, for markers of a lock.
MARKERS = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}


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


def test_the_python_packages_are_those_of_the_lock(inspected_faq: InspectedImage) -> None:
    locked = set()
    for line in lock_files.read(inspected_faq.flow).splitlines():
        if "==" in line:
            wanted = Requirement(line.rstrip("\\ "))
            if wanted.marker is None or wanted.marker.evaluate(dict(MARKERS)):
                version = next(iter(wanted.specifier)).version
                locked.add((canonicalize_name(wanted.name), version))
    listed = {
        (canonicalize_name(n), v) for n, v in cyclonedx(inspected_faq.read("sbom.cdx"), "pypi")
    }
    ours = made_here(inspected_faq)
    assert listed == locked if ours else listed >= locked
    assert len(locked) > 30
    assert not {name for name, _ in listed} & {"openai", "tiktoken"}


def made_here(inspected_faq: InspectedImage) -> bool:
    return inspected_faq.image.base.startswith(f"{base_image.LOCAL_REPOSITORY}:")


def test_a_package_without_a_source_is_listed_by_name(client: docker.DockerClient) -> None:
    _, image = built("triage")
    with image_archive.save_image(client, image.id) as saved:
        document = json.loads(sbom.make(saved, image)[0].content)
    versions = [version for name, version in cyclonedx(document, "pypi") if name == "openai"]
    assert len(versions) == 1
    assert "stand" not in versions[0]


def test_each_file_of_the_base_belongs_to_a_debian_package_that_is_listed(
    inspected_faq: InspectedImage,
) -> None:
    if not made_here(inspected_faq):
        pytest.skip("the official image was pulled")
    found = image_files.read_contents(
        inspected_faq.archive, lambda path: path.startswith("var/lib/dpkg/")
    )
    owned: dict[str, set[str]] = {}
    for path, text in found.texts.items():
        if path.endswith(".list"):
            name = Path(path).name.removesuffix(".list")
            owned[name] = {line.lstrip("/") for line in text.splitlines()}
    listed = cyclonedx(inspected_faq.read("sbom.cdx"), "deb")
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


def test_versions_are_those_of_the_running_packages(
    inspected_faq: InspectedImage, client: docker.DockerClient
) -> None:
    code = "import platform, ssl; print(platform.python_version(), ssl.OPENSSL_VERSION.split()[1])"
    output = client.containers.run(inspected_faq.image.id, ["python3", "-c", code], remove=True)
    python, openssl = output.decode().split()
    listed = dict(cyclonedx(inspected_faq.read("sbom.cdx")))
    interpreter = listed["python3.11-minimal"] if made_here(inspected_faq) else listed["python"]
    assert interpreter.partition("-")[0] == python
    assert listed["libssl3"].partition("-")[0] == openssl
    # Listed once, as the distribution's package, whose version has the corrections in it.
    assert ("python" in listed) != made_here(inspected_faq)


def test_scanners_recognize_the_release(inspected_faq: InspectedImage) -> None:
    document = inspected_faq.read("sbom.cdx")
    system = [one for one in document["components"] if one["type"] == "operating-system"]
    assert [(one["name"], one["version"]) for one in system] == [("debian", "12")]
    purls = [
        one["purl"] for one in document["components"] if one.get("purl", "").startswith("pkg:deb")
    ]
    assert all("distro=debian-12" in purl for purl in purls)


def test_both_sboms_agree(inspected_faq: InspectedImage) -> None:
    assert cyclonedx(inspected_faq.read("sbom.cdx")) == spdx(inspected_faq.read("sbom.spdx"))


def test_cyclonedx_has_all_required_fields(inspected_faq: InspectedImage) -> None:
    document = inspected_faq.read("sbom.cdx")
    assert inspected_faq.documents["sbom.cdx"].type == "application/vnd.cyclonedx+json"
    assert document["bomFormat"] == "CycloneDX"
    assert document["specVersion"] in ("1.5", "1.6")
    assert document["version"] == 1
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", document["serialNumber"])
    about = document["metadata"]["component"]
    assert (about["type"], about["name"], about["version"]) == (
        "container",
        "faq",
        inspected_faq.image.tag,
    )
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


def test_spdx_has_all_required_fields(inspected_faq: InspectedImage) -> None:
    document = inspected_faq.read("sbom.spdx")
    assert inspected_faq.documents["sbom.spdx"].type == "application/spdx+json"
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
    assert not re.search("0{40}", inspected_faq.documents["sbom.spdx"].content.decode())
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= known
        assert relation["relationshipType"]


def test_the_same_image_gives_the_same_documents(
    inspected_faq: InspectedImage, client: docker.DockerClient
) -> None:
    with image_archive.save_image(client, inspected_faq.image.id) as again:
        assert documents(inspected_faq.flow, inspected_faq.image, again) == inspected_faq.documents


def test_documents_disclose_nothing_of_this_machine(inspected_faq: InspectedImage) -> None:
    places = [tempfile.gettempdir(), str(ROOT), f"{Path.home()}/", "flow-deploy-", model_server.KEY]
    names = [getpass.getuser(), socket.gethostname()]
    for kind, document in inspected_faq.documents.items():
        text = document.content.decode()
        assert [place for place in places if place in text] == [], kind
        found = [
            name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
        ]
        assert found == [], kind
