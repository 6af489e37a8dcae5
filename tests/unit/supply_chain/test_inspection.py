"""The content of small images: files, packages, layers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.supply_chain import image_files, inspection, package_sizes
from deploy.supply_chain.package_sizes import Package
from tests import small_archives
from tests.unit.supply_chain.small_images import BUILT_WITH, dependencies, statement


def everything(path: str) -> bool:
    return True


def test_layers_lie_on_one_another(tmp_path: Path) -> None:
    image = small_archives.make(
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


def test_an_opaque_whiteout_may_follow_the_files_of_its_layer(tmp_path: Path) -> None:
    layers = [{"opt/1": "1"}, {"opt/2": "2", "opt/.wh..wh..opq": ""}]
    image = small_archives.make(tmp_path / "image.tar", layers)
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
    image = small_archives.make(
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
    archive = small_archives.make(
        tmp_path / "image.tar", [*layers, {"app/about.json": about}], {}, history
    )
    found = image_files.read_contents(archive, everything)
    made = inspection.summarize_layers(archive, found)
    assert [part.digest for part in made] == [layer.digest for layer in archive.layers]
    return [(part.what, part.size) for part in made[:-1]] + [(made[-1].what, 0)]


@pytest.mark.parametrize("builder", HISTORIES)
def test_layers_are_named_after_their_instructions(builder: str, tmp_path: Path) -> None:
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
