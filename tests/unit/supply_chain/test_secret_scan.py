"""The secret scan before a push: each pattern in each place of an image, archives, messages."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.core.entities import Flow
from deploy.supply_chain.secret_scan import scanner
from tests import fake_secrets, projects
from tests.saved_images import layer
from tests.unit.supply_chain.scanned_images import (
    HIDDEN,
    KEY,
    NOTES,
    PLACES,
    image,
    refusal,
    zipped,
)


def longest_parts(secret: str) -> list[str]:
    """Return the parts of a secret that no message may quote: all but its known beginning."""
    return [secret[at : at + 12] for at in range(0, len(secret) - 12, 6)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rule", fake_secrets.SECRETS)
def test_each_kind_of_secret_is_found_in_each_place(
    rule: str, place: str, tmp_path: Path, flow: Flow
) -> None:
    secret = fake_secrets.SECRETS[rule]
    message = refusal(image(tmp_path, *PLACES[place](secret)), flow)
    assert message == (
        f"{place}: this looks like {rule}\n"
        "  → remove it and rotate it, or list it with a reason: allow_secrets in flows/hello/deploy.yaml"
    )
    assert not [part for part in longest_parts(secret) if part in message]


def test_all_findings_are_reported_at_once_grouped_by_file(tmp_path: Path, flow: Flow) -> None:
    text = "\n\n".join([fake_secrets.SECRETS["an npm token"]] * 7)
    made = image(
        tmp_path,
        [layer({NOTES: text}), layer({"app/flow/b.bin": f"\0{KEY}"})],
        {"config": {"Env": [f"A={KEY}"], "Cmd": ["run", KEY]}, "author": KEY},
    )
    lines = refusal(made, flow, HIDDEN).splitlines()[::2]
    assert lines == [
        "variable A: this contains the value of MODEL_API_KEY",
        "configuration config.Cmd: this contains the value of MODEL_API_KEY",
        "configuration author: this contains the value of MODEL_API_KEY",
        "/app/flow/notes.md (layer 1), lines 1, 3, 5, 7, 9 and 2 more: this looks like an npm token",
        "/app/flow/b.bin (layer 2): this contains the value of MODEL_API_KEY",
    ]


ARCHIVES: dict[str, Callable[[str], bytes]] = {
    "a.zip": lambda text: zipped({"in/b.txt": f"\n{text}"}),
    "a-1.0-py3-none-any.whl": lambda text: zipped({"in/b.txt": f"\n{text}"}),
    "a.gz": lambda text: gzip.compress(f"\n{text}".encode()),
    "a.tar.gz": lambda text: gzip.compress(layer({"in/b.txt": f"\n{text}"})),
    "a.tar": lambda text: layer({"in/b.txt": f"\n{text}"}),
    # What it begins with tells, not its name.
    "letter.docx": lambda text: zipped({"in/b.txt": f"\n{text}"}),
    "a.xz": lambda text: lzma.compress(f"\n{text}".encode()),
    "a.bz2": lambda text: bz2.compress(f"\n{text}".encode()),
    "data": lambda text: lzma.compress(layer({"in/b.txt": f"\n{text}"})),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_are_looked_into(name: str, tmp_path: Path, flow: Flow) -> None:
    text = f"{fake_secrets.SECRETS['an npm token']} {KEY}"
    made = image(tmp_path, [layer({f"app/flow/{name}": ARCHIVES[name](text)})])
    message = refusal(made, flow, HIDDEN)
    inner = "" if name in ("a.gz", "a.xz", "a.bz2") else "in/b.txt"
    assert f"/app/flow/{name}!{inner} (layer 1), line 2: this looks like an npm token" in message
    assert f"/app/flow/{name}!{inner} (layer 1), line 2: this contains the value of" in message


@pytest.mark.parametrize("name", ["a.zip", "a.gz", "a.tar", "a.tgz", "a.xz", "a.bz2", "data"])
def test_a_broken_archive_is_no_obstacle(name: str, tmp_path: Path, flow: Flow) -> None:
    whole = ARCHIVES["a.tar.gz" if name == "a.tgz" else name]("text " * 99)
    for content in (whole[: len(whole) // 2], b"", b"PK\3\4", b"\x1f\x8b", b"no archive"):
        scanner.refuse_secrets(
            image(tmp_path, [layer({f"app/flow/{name}": content})]), flow, HIDDEN
        )


def test_layers_may_be_compressed(tmp_path: Path, flow: Flow) -> None:
    packed = gzip.compress(layer({NOTES: f"\n{KEY}"}))
    message = refusal(image(tmp_path, [packed]), flow, HIDDEN)
    assert message.startswith("/app/flow/notes.md (layer 1), line 2: this contains the value of")


def test_a_clean_image_passes(tmp_path: Path, flow: Flow) -> None:
    files = {
        "app/about.json": json.dumps(
            {"commit": fake_secrets.text(fake_secrets.HEX, 40), "tag": "0" * 12}
        ),
        "app/flow/flow.dag.yaml": projects.FLOW,
        "app/flow/answer.py": projects.CODE,
        "etc/ssl/certs/a.pem": f"-----BEGIN CERTIFICATE-----\n{fake_secrets.text(fake_secrets.BASE64, 64)}",
    }
    # As the official image of Python has it.
    environment = [f"GPG_KEY={fake_secrets.text('0123456789ABCDEF', 40)}", "PYTHON_VERSION=3.11.9"]
    made = image(tmp_path, [layer(files), layer({}), layer({})], {"config": {"Env": environment}})
    scanner.refuse_secrets(made, flow, HIDDEN)
