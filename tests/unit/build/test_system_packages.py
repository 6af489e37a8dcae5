"""Debian packages that a flow needs: their installation, and its errors."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from unittest.mock import Mock

import pytest

from deploy.build import debian_base, system_packages
from deploy.build.base_image import BaseImage
from deploy.core.entities import ImageSettings

OLD, NEW = ("python@sha256:" + digit * 64 for digit in "ab")


def dockerfile(
    user: str, packages: tuple[str, ...] = ("jq", "poppler-utils=22.12.0-2")
) -> list[str]:
    settings = ImageSettings(system_packages=packages)
    return system_packages._render_dockerfile(NEW, user, settings, {"label": "1"}).splitlines()


@pytest.mark.parametrize("user", ["", "0", "root", "0:0", "root:root"])
def test_system_packages_are_installed_as_root(user: str) -> None:
    first, run, last = dockerfile(user)
    assert (first, last) == (f"FROM {NEW}", "LABEL label=1")
    assert "install -y --no-install-recommends jq poppler-utils=22.12.0-2 || exit 72" in run


def test_the_base_keeps_its_user() -> None:
    lines = dockerfile("65532:65532")
    assert [line for line in lines if line.startswith("USER")] == ["USER 0:0", "USER 65532:65532"]


STATUS = """\
Package: jq
Status: install ok installed
Architecture: amd64
Version: 1.6-2.1
Description: x
 Package: not this

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 2

Package: adduser
Status: install ok installed
Architecture: all
Version: 3.134
"""


def test_the_tag_goes_by_the_versions() -> None:
    versions = sorted(system_packages._parse_installed(STATUS))
    assert versions == ["adduser:all=3.134", "jq:amd64=1.6-2.1"]
    settings = ImageSettings(system_packages=("jq",))
    tag = system_packages._format_tag(NEW, settings, versions)
    assert tag.startswith("flow-base:python3.11-packages-amd64-")
    assert tag == system_packages._format_tag(NEW, settings, versions)
    assert tag != system_packages._format_tag(OLD, settings, versions)
    assert tag != system_packages._format_tag(NEW, settings, versions[1:])
    assert BaseImage(tag, "sha256:1").content_id == tag


SETTINGS = ImageSettings(system_packages=("jq",), origin="flows/faq/deploy.yaml")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            ["E: Unable to locate package popler", "returned a non-zero code: 72"],
            "flows/faq/deploy.yaml: image.system_packages: there is no package popler for the base "
            "image own:1\n"
            "  → correct the name; `apt-cache search ‹word›` finds names",
        ),
        (
            ["E: Package 'popler' has no installation candidate"],
            "flows/faq/deploy.yaml: image.system_packages: there is no package popler for the base "
            "image own:1\n"
            "  → correct the name; `apt-cache search ‹word›` finds names",
        ),
        (
            ["E: Version '9' for 'jq' was not found"],
            "flows/faq/deploy.yaml: image.system_packages: there is no version 9 of jq for the "
            "base image own:1\n"
            "  → remove the version: the newest one of the release is then installed",
        ),
        (
            ["exec /bin/sh: exec format error", "returned a non-zero code: 1"],
            "flows/faq/deploy.yaml: image.system_packages: they are installed by programs for "
            "linux/amd64, which this machine cannot run\n"
            "  → build on a machine of that platform, or install emulation of it (binfmt_misc)",
        ),
        (
            ["The command '/bin/sh -c x' returned a non-zero code: 73"],
            "base image own:1: it has no apt-get, which image.system_packages needs\n"
            "  → install the packages in that base itself, or choose one of Debian or Ubuntu",
        ),
        (
            ['exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown'],
            "base image own:1: it has no apt-get, which image.system_packages needs\n"
            "  → install the packages in that base itself, or choose one of Debian or Ubuntu",
        ),
        (
            ["E: Failed to fetch x", "The command '/bin/sh' returned a non-zero code: 71"],
            "base image own:1: apt-get update fails in it, with the network of containers and of "
            "the host:\n    E: Failed to fetch x\n"
            "  → set http_proxy, or install the packages in a base of your own (image.base)",
        ),
        (
            ["E: broken", "Error: building at STEP: while running runtime: exit status 72"],
            "base image own:1: its apt-get cannot install image.system_packages:\n"
            "    E: broken\n    Error: building at STEP: while running runtime: exit status 72",
        ),
    ],
)
def test_system_packages_that_cannot_be_installed(output: list[str], message: str) -> None:
    assert str(system_packages._explain_failure(output, SETTINGS, "own:1")) == message


def test_the_output_of_a_build_that_fails_has_no_colours() -> None:
    client = Mock()
    log = [
        {"stream": "Step 1/2 : FROM x"},
        {"stream": "\n"},
        {"stream": "\x1b[91mE: Unable to locate package popler\x1b[0m"},
        {"stream": "\x1b[91m\n\x1b[0m"},
    ]
    reason = "The command '/bin/sh' returned a non-zero code: 72"
    client.api.build.return_value = iter([*log, {"error": reason}])
    client.api._proxy_configs.get_environment.return_value = {}
    output = system_packages._build_image(client, "FROM x\n", "x:1", "default")
    assert output == ["Step 1/2 : FROM x", "E: Unable to locate package popler", reason]


def test_proxies_are_predefined_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://mine")
    client = Mock()
    configured: Mapping[str, str] = {
        "http_proxy": "http://theirs",
        "HTTP_PROXY": "http://theirs",
        "ftp_proxy": "x",
    }
    client.api._proxy_configs.get_environment.return_value = configured
    assert system_packages._read_proxies(client) == {
        "HTTPS_PROXY": "http://mine",
        "http_proxy": "http://theirs",
        "HTTP_PROXY": "http://theirs",
    }


def test_the_versions_of_an_image() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("status")
        info.size = len(STATUS)
        tar.addfile(info, io.BytesIO(STATUS.encode()))
    client = Mock()
    container = client.containers.create.return_value
    container.get_archive.return_value = iter([buffer.getvalue()]), {}
    versions = system_packages._read_versions(client, Mock(id="sha256:x"))
    assert versions == ["adduser:all=3.134", "jq:amd64=1.6-2.1"]
    container.remove.assert_called_once_with(force=True, v=True)


def test_mmdebstrap_errors() -> None:
    output = """\
I: running apt-get update...
Get:1 x\rGet:2 y
E: Failed to fetch x/InRelease  Could not connect
E: Some index files failed to download. They have been ignored, or old ones used instead.
E: apt-get update --error-on=any -oAPT::Status-Fd=<$fd> -oDpkg::Use-Pty=false failed
I: removing tempdir /tmp/x...
E: mmdebstrap failed to run
"""
    assert debian_base.extract_errors(output) == (
        "    E: Failed to fetch x/InRelease  Could not connect\n"
        "    E: Some index files failed to download. They have been ignored, or old ones used "
        "instead."
    )
    assert debian_base.extract_errors("one\ntwo\n") == "    one\n    two"
