"""Which images are known: records of this machine, and what counts as the same content."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, cast

import pytest

from deploy.build import cache
from deploy.core.entities import Image
from deploy.supply_chain.image_verification import bytecode, comparison, records

IMAGE = Image(
    repository="cr.azurecr.io/faq",
    tag="0" * 12,
    id="sha256:" + "1" * 64,
    platform="linux/amd64",
    base="python@sha256:2",
    commit="c1",
    digest="sha256:" + "a" * 64,
)
SOURCE = """
names = {"one", "two", "three"}
def answer(question, *, deep=(1, 2.5, 3j, -0.0, 10**40, b"x", None, ..., True)):
    def inner():
        return question in {"a", "ä", "\\ud800"} and [deep, names]
    return inner
"""
HEADER = importlib.util.MAGIC_NUMBER + b"\x01\0\0\0" + b"12345678"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_what_was_recorded_is_known_and_nothing_else() -> None:
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


def compiled(source: str = SOURCE) -> CodeType:
    return compile(source, "/app/flow/answer.py", "exec", dont_inherit=True)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_same_code_in_other_bytes_is_the_same(version: int) -> None:
    ours, theirs = marshal.dumps(compiled()), marshal.dumps(compiled(), version)
    if version == 2:
        # Without a single reference.
        assert ours != theirs
    assert bytecode.is_same_code(HEADER + ours, HEADER + theirs)


def test_every_module_of_the_standard_library_is_the_same_however_it_was_written() -> None:
    for name in ("ast", "dataclasses", "decimal", "enum", "inspect", "re", "typing"):
        spec = importlib.util.find_spec(name)
        assert spec and spec.origin
        code = compile(Path(spec.origin).read_bytes(), spec.origin, "exec", dont_inherit=True)
        plain = marshal.dumps(code, 2)
        again = marshal.dumps(marshal.loads(plain))  # noqa: S302 (of this very line)
        assert bytecode.is_same_code(HEADER + plain, HEADER + again), name
        assert not bytecode.is_same_code(HEADER + plain, HEADER + marshal.dumps(compiled())), name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2.5", "2.25"),
        ("2.5", "2"),
        ("-0.0", "0.0"),
        ("True", "1"),
        ('b"x"', '"x"'),
        ("10**40", "-(10**40)"),
        ('"two"', '"four"'),
        ("question in", "question not in"),
        ("[deep, names]", "[names, deep]"),
        ("*, deep", "deep"),
        ("def inner", "\n    def inner"),
        ('"\\ud800"', '"\\ud801"'),
    ],
)
def test_other_code_is_not_the_same(old: str, new: str) -> None:
    source = SOURCE.replace(old, new)
    assert source != SOURCE
    ours, theirs = marshal.dumps(compiled()), marshal.dumps(compiled(source), 2)
    assert not bytecode.is_same_code(HEADER + ours, HEADER + theirs)


def test_another_header_is_not_the_same() -> None:
    code = marshal.dumps(compiled())
    assert not bytecode.is_same_code(
        HEADER + code, HEADER[:-1] + b"9" + marshal.dumps(compiled(), 2)
    )


# A tuple of a tuple of a tuple …, each twice the one before: 2^40 objects in a kilobyte.
BOMB = b"\xa9\x02NN" + b"".join(
    b"\xa9\x02r" + number.to_bytes(4, "little") + b"r" + number.to_bytes(4, "little")
    for number in range(40)
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xee",
        b"c",
        marshal.dumps(compiled())[:-1],
        marshal.dumps(compiled()) + b"N",
        # Itself as a part, a reference to nothing, a negative length, a text beyond ASCII.
        b"\xa9\x01r\0\0\0\0",
        b"r\x05\0\0\0",
        b"s\xff\xff\xff\xff",
        b"z\x01\xff",
        # marshal gives these no number: a reader that does would take the next references wrongly.
        b"\xce",
        # Kinds that no compiler writes.
        b"[\0\0\0\0",
        b"{0",
        # As deep as it gets, as many as can be, and both.
        b")\x01" * 100_000 + b"N",
        b"(\xff\xff\xff\x7f",
        b")\x28" + BOMB,
    ],
)
def test_what_no_compiler_writes_is_not_the_same_and_does_no_harm(content: bytes) -> None:
    assert not bytecode.is_same_code(HEADER + marshal.dumps(compiled()), HEADER + content)


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
        ({"app/flow_server/app.py": b"evil"}, "/app/flow_server/app.py: other content"),
        (
            {"app/flow_server/__pycache__/app.pyc": EVIL},
            "/app/flow_server/__pycache__/app.pyc: other content",
        ),
        ({"app/sitecustomize.py": b"evil"}, "/app/sitecustomize.py: only there"),
        ({"app/a\n::error::b\x1b[2J": b""}, "/app/a?::error::b?[2J: only there"),
        ({"app/packages": info(tarfile.SYMTYPE, "/tmp")}, "/app/packages: only there"),
        ({"usr/bin/python3": info(tarfile.SYMTYPE, "/tmp/x")}, "/usr/bin/python3: another kind"),
        ({"usr/bin/python3": info(mode=0o4755)}, "/usr/bin/python3: another mode"),
        ({"usr/bin/python3": info(uid=10001)}, "/usr/bin/python3: another mode or owner"),
        (
            {
                "usr/bin/python3": info(
                    pax_headers={"SCHILY.xattr.security.capability": "cap_sys_admin"}
                )
            },
            "/usr/bin/python3: other attributes",
        ),
        (
            {"app/about.json": json.dumps({**ABOUT, "flow": "chat"}).encode()},
            "/app/about.json: other content",
        ),
        (
            {"app/about.json": json.dumps({**ABOUT, "built_with": {"python": "3.12"}}).encode()},
            "/app/about.json: other content",
        ),
        ({"app/about.json": b"[" * 300}, "/app/about.json: other content"),
        ({"app/about.json": b"{}"}, "/app/about.json: other content"),
        # Larger than ours by far: it is not read into memory.
        ({"app/about.json": b"0" * 100_000}, "/app/about.json: other content"),
    ],
)
def test_another_file_is_a_difference(change: dict[str, Any], difference: str) -> None:
    (found,) = differences({**TREE, **change})
    assert found.startswith(difference)


def test_a_missing_file_is_a_difference() -> None:
    tree = {name: entry for name, entry in TREE.items() if name != "app/flow_server/app.py"}
    assert differences(tree) == ["/app/flow_server/app.py: only here"]


def test_links_to_one_file_are_its_content() -> None:
    tree = {**TREE, "app/flow_server/app.py": info(tarfile.LNKTYPE, "app/about.json")}
    assert differences(tree) == ["/app/flow_server/app.py: other content"]


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
    assert differences(config={**CONFIG, key: value}) == [f"{key} of its configuration"]
