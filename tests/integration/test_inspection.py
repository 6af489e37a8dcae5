"""The content of a real image: provenance, layers, `inv inspect`."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import docker
import pytest

from deploy.build import base_image, lock_files
from deploy.config import configuration
from deploy.core.errors import DeployError
from deploy.sandbox.registry import RegistryProcess
from deploy.supply_chain import image_files, inspection, inspection_report, provenance, sbom
from deploy.supply_chain.inspection import Inspection
from tests import projects
from tests.integration.conftest import ROOT, built
from tests.integration.image_documents import InspectedImage
from tests.integration.registry_project import publish, spec, with_places
from tests.projects import FIXTURE


@pytest.fixture(scope="module")
def inspected(client: docker.DockerClient) -> Inspection:
    return inspection.inspect(client, built("faq")[1])


def test_provenance_is_that_of_the_image(
    inspected_faq: InspectedImage, client: docker.DockerClient
) -> None:
    document = inspected_faq.read("provenance")
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert document["subject"] == [
        {
            "name": "faq",
            "digest": {"sha256": inspected_faq.archive.config_digest.removeprefix("sha256:")},
        }
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
        "python": inspected_faq.flow.image.python,
        "platform": inspected_faq.image.platform,
    }
    assert definition["internalParameters"] == {"tag": inspected_faq.image.tag}
    assert set(details) == {"builder", "metadata"}
    assert set(details["builder"]) == {"id", "version"}
    versions = details["builder"]["version"]
    assert set(versions) == {"docker", "promptflow-devkit", "syft", "uv"}
    assert versions["docker"] == client.version()["Version"]
    created = client.images.get(inspected_faq.image.id).attrs["Created"]
    assert details["metadata"] == {"finishedOn": created}
    every = {one["name"]: one for one in definition["resolvedDependencies"]}
    for one in every.values():
        assert set(one) <= {"name", "uri", "digest", "annotations"}
        assert one.keys() & {"uri", "digest"}
    for root, path in (
        (FIXTURE, inspected_faq.flow.folder / lock_files.LOCK),
        (ROOT, lock_files.PACK_LOCK),
    ):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert every[path.relative_to(root).as_posix()]["digest"] == {"sha256": digest}
    found = base_image.find(client, inspected_faq.flow.image, FIXTURE)
    assert found is not None
    assert (
        every[found.reference.partition("@")[0]]["annotations"]["layers"]
        == (client.images.get(found.id).attrs["RootFS"]["Layers"])
    )


def test_build_tools_are_neither_in_the_response_nor_in_the_tag(
    inspected_faq: InspectedImage,
) -> None:
    about = json.loads(image_files.read_text(inspected_faq.archive, "app/about.json") or "{}")
    assert about["built_with"]["python"] == inspected_faq.flow.image.python
    assert about["tag"] == inspected_faq.image.tag


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


def test_inspect_reports_the_labels_of_the_image(
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
    inspection_report.print_inspections([inspected])
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
    inspection_report.print_inspections([inspection.inspect_flow(project, flow, spec(project))])
    text = capsys.readouterr().out
    assert f"published  {published.pinned}\n" in text
    for kind, media_type in (
        {**dict(sbom.DOCUMENTS.values()), provenance.KIND: provenance.MEDIA_TYPE}
    ).items():
        assert re.search(
            rf"^{re.escape(kind)} +{re.escape(media_type)} +\d+\.\d +sha256:", text, re.M
        )


def test_an_unbuilt_image_is_a_readable_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("requirements.txt", "requirements.lock")
    files = {f"flows/hello/{n}": (FIXTURE / "flows/faq" / n).read_text("utf-8") for n in names}
    code = {"flows/hello/answer.py": f"{projects.CODE}# {tmp_path}\n"}
    project = projects.make(tmp_path, {**files, **code})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployError) as caught:
        inspection.inspect_flow(project, configuration.load_flow(project, "hello"))
    assert str(caught.value) == (
        "hello: no image is built for its current files\n  → `inv build --flow hello`"
    )


def test_inspect_prints_json(inspected_faq: InspectedImage) -> None:
    done = subprocess.run(
        [str(ROOT / ".venv/bin/inv"), "inspect", "--flow", "faq", "--json"],
        cwd=projects.linked_repository(),
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = json.loads(done.stdout)
    assert found["reference"] == inspected_faq.image.reference
    assert len(found["largest"]) == inspection.LARGEST_COUNT
