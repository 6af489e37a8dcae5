"""The stand-ins for base images have the files that the tool requires of the real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import docker
import docker.errors
import pytest
from docker.models.images import Image as DockerImage

from tests import official_base

MODULES = "bz2, ctypes, lzma, readline, sqlite3, ssl, uuid, zoneinfo"
REPORT = f"""
import {MODULES}, json, site, sys, sysconfig
print(json.dumps({{
    "version": sys.version_info[:2],
    "prefix": sys.prefix,
    "path": sys.path,
    "purelib": sysconfig.get_path("purelib"),
    "authorities": ssl.create_default_context().cert_store_stats()["x509_ca"],
    "zone": str(zoneinfo.ZoneInfo("Europe/Berlin")),
}}))
"""
SITE_PACKAGES = "/usr/local/lib/python3.11/site-packages"
EXCLUDED = tuple(f"/usr/share/{name}/" for name in ("doc", "info", "lintian", "locale", "man"))
CHECK_SUMS = (
    "cd /var/lib/dpkg/info; cat *.md5sums | sed 's#  #  /#' | md5sum --check --quiet 2>/dev/null"
)


@pytest.fixture(scope="module")
def official(
    client: docker.DockerClient,
    official_python: str,
) -> Iterator[DockerImage]:
    """The official image, pulled by the digest of its index."""
    yield client.images.pull(official_python)
    client.images.remove(official_python, force=True)


@pytest.fixture(scope="module")
def distroless(
    client: docker.DockerClient,
    distroless_python: str,
) -> Iterator[DockerImage]:
    yield client.images.pull(distroless_python)
    client.images.remove(distroless_python, force=True)


def run(client: docker.DockerClient, image: DockerImage, *command: str) -> str:
    output = client.containers.run(image, list(command), remove=True, network_disabled=True)
    return output.decode().strip()


def test_index_has_two_platforms_and_their_attestations() -> None:
    manifests = official_base.python_layout().index.data["manifests"]
    images, attestations = manifests[:2], manifests[2:]
    assert [entry["platform"]["architecture"] for entry in images] == ["amd64", "arm64"]
    assert [entry["platform"] for entry in attestations] == [
        {"architecture": "unknown", "os": "unknown"}
    ] * 2
    assert [entry["annotations"]["vnd.docker.reference.digest"] for entry in attestations] == [
        entry["digest"] for entry in images
    ]


def test_each_platform_has_the_same_configuration_and_layers() -> None:
    layout = official_base.python_layout()
    entries = layout.index.data["manifests"][:2]
    manifests = [json.loads(layout.blob(entry["digest"])) for entry in entries]
    configs: list[dict[str, Any]] = [
        json.loads(layout.blob(m["config"]["digest"])) for m in manifests
    ]
    assert configs[0]["config"] == configs[1]["config"]
    assert configs[0]["config"]["Cmd"] == ["python3"]
    for manifest, config in zip(manifests, configs, strict=True):
        filled = [step for step in config["history"] if not step.get("empty_layer")]
        assert len(manifest["layers"]) == len(filled) == len(config["rootfs"]["diff_ids"]) == 4


def test_python_is_complete_and_in_usr_local(
    client: docker.DockerClient, official: DockerImage
) -> None:
    report = json.loads(run(client, official, "python3", "-c", REPORT))
    assert report["version"] == [3, 11]
    assert report["prefix"] == "/usr/local"
    assert report["path"][1:] == [
        "/usr/local/lib/python311.zip",
        "/usr/local/lib/python3.11",
        "/usr/local/lib/python3.11/lib-dynload",
        SITE_PACKAGES,
    ]
    assert report["purelib"] == SITE_PACKAGES
    assert report["authorities"] > 100


def test_pip_belongs_to_this_python(client: docker.DockerClient, official: DockerImage) -> None:
    assert SITE_PACKAGES in run(client, official, "pip", "--version")


def test_debian_is_whole_and_does_not_know_of_python(
    client: docker.DockerClient, official: DockerImage
) -> None:
    assert run(client, official, "apt-get", "--version").startswith("apt 2.6")
    packages = run(client, official, "dpkg-query", "-f", "${binary:Package}\n", "-W").splitlines()
    assert {"apt", "ca-certificates", "libgnutls30:amd64", "netbase", "tzdata"} <= set(packages)
    assert [name for name in packages if "python" in name] == []
    # Documentation is left out, as in every slim image; all else is as packaged.
    changed = run(client, official, "sh", "-c", f"{CHECK_SUMS} || true").splitlines()
    assert [line for line in changed if not line.startswith(EXCLUDED)] == []


def test_nothing_is_left_of_how_it_was_made(
    client: docker.DockerClient, official: DockerImage
) -> None:
    script = "find / -xdev -name '*.pyc'; find /var/lib/apt/lists /var/cache/apt /tmp -mindepth 1"
    assert run(client, official, "sh", "-c", script) == ""
    assert 100e6 < official.attrs["Size"] < 150e6


def test_distroless_has_one_program_and_no_root(
    client: docker.DockerClient, distroless: DockerImage
) -> None:
    program = (
        f"import {MODULES.replace('readline, ', '')}, os; "
        "print(os.getuid(), os.getcwd(), *sorted(os.listdir('/usr/bin')))"
    )
    assert run(client, distroless, "-c", program) == "65532 /home/nonroot python3 python3.11"
    with pytest.raises(docker.errors.APIError, match="executable file not found"):
        client.containers.run(distroless, entrypoint="sh", remove=True, network_disabled=True)
