"""Two images with the same content: files, links, configuration."""

from __future__ import annotations

import io
import json
import marshal
import tarfile
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploy.supply_chain.image_verification import comparison
from tests.unit.supply_chain.compiled_modules import HEADER, compiled

Tree = Mapping[str, bytes | tarfile.TarInfo]
ABOUT = {
    "flow": "faq",
    "tag": "0" * 12,
    "commit": "c1",
    "built_with": {"python": "3.11", "uv": "1", "docker": "1", "base_id": "1", "builder": "podman"},
}
CONFIG = {
    "Env": ["A=1", "B=2"],
    "Cmd": ["python3"],
    "User": "10001:10001",
    "WorkingDir": "/",
    "Labels": {"flow-deploy.tag": "0" * 12, "org.opencontainers.image.created": "now"},
}
TREE: dict[str, bytes | tarfile.TarInfo] = {
    "app/about.json": json.dumps(ABOUT).encode(),
    "app/flow_server/app.py": b"app",
    "app/flow_server/__pycache__/app.pyc": HEADER + marshal.dumps(compiled()),
    "usr/bin/python3": b"elf",
}


def info(kind: bytes = tarfile.REGTYPE, target: str = "", **more: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo("")
    made.type, made.linkname = kind, target
    for name, value in more.items():
        setattr(made, name, value)
    return made


def archive(tree: Tree) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, entry in tree.items():
            member = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.name = name
            content = b"" if isinstance(entry, tarfile.TarInfo) else entry
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Engine:
    """An engine with images by name: a configuration and files."""

    def __init__(self, **images: tuple[Mapping[str, Any], Tree]) -> None:
        self._images = images
        self.images = self.containers = self
        self.removed = 0

    def get(self, name: str) -> Any:
        about = {"Config": self._images[name][0], "Os": "linux", "Architecture": "amd64"}
        return SimpleNamespace(attrs=about)

    def info(self) -> dict[str, Any]:
        return {}

    def create(self, image: str, /, **_: Any) -> Any:
        def export(_: int) -> Iterator[bytes]:
            yield archive(self._images[image][1])

        return SimpleNamespace(export=export, remove=self._remove)

    def _remove(self, **_: Any) -> None:
        self.removed += 1


def differences(tree: Tree = TREE, config: Mapping[str, Any] = CONFIG) -> list[str]:
    engine = Engine(ours=(CONFIG, TREE), theirs=(config, tree))
    found = comparison.find_differences(cast(Any, engine), "ours", "theirs")
    assert engine.removed == 2
    return found


def test_equal_images_have_no_difference() -> None:
    assert differences() == []


def test_an_image_of_another_machine_and_time_has_no_difference() -> None:
    tools = {"python": "3.11", "uv": "2", "docker": "2", "base_id": "2", "builder": "BuildKit"}
    about = json.dumps({**ABOUT, "commit": "c2", "built_with": tools}).encode()
    again = HEADER + marshal.dumps(compiled(), 2)
    tree = {**TREE, "app/about.json": about, "app/flow_server/__pycache__/app.pyc": again}
    labels = {
        "flow-deploy.tag": "0" * 12,
        "org.opencontainers.image.created": "later",
        "org.opencontainers.image.revision": "c2",
    }
    config = {**CONFIG, "Labels": labels, "Healthcheck": {"Test": ["NONE"]}, "Image": "sha256:1"}
    assert differences(tree, {**config, "Env": ["B=2", "A=1"], "WorkingDir": ""}) == []


EVIL = HEADER + marshal.dumps(compiled("import evil"))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"app/flow_server/app.py": b"evil"}, "/app/flow_server/app.py: different content"),
        (
            {"app/flow_server/__pycache__/app.pyc": EVIL},
            "/app/flow_server/__pycache__/app.pyc: different content",
        ),
        ({"app/sitecustomize.py": b"evil"}, "/app/sitecustomize.py: only in the registry's image"),
        ({"app/a\n::error::b\x1b[2J": b""}, "/app/a?::error::b?[2J: only in the registry's image"),
        (
            {"app/packages": info(tarfile.SYMTYPE, "/tmp")},
            "/app/packages: only in the registry's image",
        ),
        (
            {"usr/bin/python3": info(tarfile.SYMTYPE, "/tmp/x")},
            "/usr/bin/python3: different file type",
        ),
        ({"usr/bin/python3": info(mode=0o4755)}, "/usr/bin/python3: different mode"),
        ({"usr/bin/python3": info(uid=10001)}, "/usr/bin/python3: different mode or owner"),
        (
            {
                "usr/bin/python3": info(
                    pax_headers={"SCHILY.xattr.security.capability": "cap_sys_admin"}
                )
            },
            "/usr/bin/python3: different extended attributes",
        ),
        (
            {"app/about.json": json.dumps({**ABOUT, "flow": "chat"}).encode()},
            "/app/about.json: different content",
        ),
        (
            {"app/about.json": json.dumps({**ABOUT, "built_with": {"python": "3.12"}}).encode()},
            "/app/about.json: different content",
        ),
        ({"app/about.json": b"[" * 300}, "/app/about.json: different content"),
        ({"app/about.json": b"{}"}, "/app/about.json: different content"),
        # Larger than ours by far: it is not read into memory.
        ({"app/about.json": b"0" * 100_000}, "/app/about.json: different content"),
    ],
)
def test_another_file_is_a_difference(change: dict[str, Any], difference: str) -> None:
    (found,) = differences({**TREE, **change})
    assert found.startswith(difference)


def test_a_missing_file_is_a_difference() -> None:
    tree = {name: entry for name, entry in TREE.items() if name != "app/flow_server/app.py"}
    assert differences(tree) == ["/app/flow_server/app.py: only in the build on this machine"]


def test_links_to_one_file_are_its_content() -> None:
    tree = {**TREE, "app/flow_server/app.py": info(tarfile.LNKTYPE, "app/about.json")}
    assert differences(tree) == ["/app/flow_server/app.py: different content"]


def test_only_the_first_differences_are_listed() -> None:
    tree = {**TREE, **{f"app/flow/{number}": b"" for number in range(100)}}
    assert len(differences(tree)) == comparison.MAX_LISTED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Env", ["A=1", "B=2", "PYTHONSTARTUP=/tmp/x"]),
        ("Cmd", ["sh"]),
        ("Entrypoint", ["/app/x"]),
        ("User", "0:0"),
        ("WorkingDir", "/app/flow"),
        ("ExposedPorts", {"22/tcp": {}}),
        ("Volumes", {"/app": {}}),
        ("Healthcheck", {"Test": ["CMD", "evil"]}),
        ("Labels", {"flow-deploy.tag": "0" * 12, "org.opencontainers.image.base.name": "evil"}),
        ("OnBuild", ["RUN evil"]),
    ],
)
def test_another_configuration_is_a_difference(key: str, value: Any) -> None:
    assert differences(config={**CONFIG, key: value}) == [f"configuration: {key}"]
