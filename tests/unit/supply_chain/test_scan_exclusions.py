"""Files that the secret scan does not search for patterns: of packages and distributions; exceptions; its cache."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.core.entities import AllowedSecret, Flow
from deploy.core.errors import DeployError
from deploy.supply_chain.secret_scan import layers, scan_cache, scanner
from deploy.supply_chain.secret_scan.layer_contents import LayerContents
from tests import fake_secrets
from tests.saved_images import layer
from tests.unit.supply_chain.scanned_images import HIDDEN, KEY, NOTES, image, refusal, zipped


def record(files: Mapping[str, str]) -> str:
    hashes = {n: hashlib.sha256(c.encode()).digest() for n, c in files.items()}
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')},{len(files[name])}"
        for name, digest in hashes.items()
    ]
    return "\n".join([*lines, "x-1.dist-info/RECORD,,", "x-1.dist-info/INSTALLER,sha256=,"])


def test_files_of_packages_are_not_searched_for_patterns(tmp_path: Path, flow: Flow) -> None:
    token = fake_secrets.SECRETS["an npm token"]
    files = {"x/a.py": f'"""Like {token}."""\n', "x/b.py": token}
    content = {
        **{f"app/packages/{name}": text for name, text in files.items()},
        "app/packages/x-1.dist-info/RECORD": record(files),
        "app/packages/x/__pycache__/a.cpython-311.pyc": f"\0{token}",
    }
    scanner.refuse_secrets(image(tmp_path, [layer(content)]), flow, {})
    # Values are another matter.
    message = refusal(image(tmp_path, [layer(content)]), flow, {"NPM_TOKEN": token})
    assert message.count("this contains the value of NPM_TOKEN") == 3
    # So are files that were changed, or came by another way.
    content["app/packages/x/b.py"] += "\n"
    content["app/packages/x/c.py"] = f"key = {token}"
    content["app/packages/x/__pycache__/c.cpython-311.pyc"] = f"\0{token}"
    message = refusal(image(tmp_path, [layer(content)]), flow)
    assert [line.split(" ")[0] for line in message.splitlines()[::2]] == [
        "/app/packages/x/b.py",
        "/app/packages/x/c.py",
        "/app/packages/x/__pycache__/c.cpython-311.pyc",
    ]
    # The flow's own folder came from no index, whatever it says.
    own = {f"app/flow/{name}": text for name, text in files.items()}
    own["app/flow/x-1.dist-info/RECORD"] = record(files)
    assert refusal(image(tmp_path, [layer(own)]), flow).count("an npm token") == 2


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


LIBRARY = f"\0self-test {fake_secrets.SECRETS['a private key']}"
MANUAL = f"# Like {fake_secrets.SECRETS['a password in a URL']}\n"
CONFFILE = f"# proxy = {fake_secrets.SECRETS['a password in a URL']}\n"
# The library is below /lib for dpkg, which is a link to /usr/lib.
DPKG = {
    "var/lib/dpkg/info/libtls30:amd64.md5sums": f"{md5(LIBRARY)}  lib/libtls.so.30\n",
    "var/lib/dpkg/info/apt.md5sums": f"{md5(MANUAL)}  usr/share/doc/a b\n{'0' * 32}  usr/bin/apt\n",
    "var/lib/dpkg/status": (
        f"Package: apt\nStatus: install ok installed\nConffiles:\n /etc/apt/a b {md5(CONFFILE)}\n"
        f" /etc/old {'1' * 32} obsolete\nDescription: x\n more\n"
    ),
}
DISTROLESS = {"var/lib/dpkg/status.d/libtls30.md5sums": f"{md5(LIBRARY)}  usr/lib/libtls.so.30\n"}
PACKAGED = {"usr/lib/libtls.so.30": LIBRARY, "usr/share/doc/a b": MANUAL, "etc/apt/a b": CONFFILE}


@pytest.mark.parametrize(
    "layers",
    [
        [{**DPKG, **PACKAGED}],
        [PACKAGED, DPKG],
        [DPKG, PACKAGED],
        # A later layer rewrites the database, or deletes it.
        [{**DPKG, **PACKAGED}, {"var/lib/dpkg/status": "Package: other\n"}],
        [{**DPKG, **PACKAGED}, {"var/lib/.wh.dpkg": ""}],
        # Through a diversion: the file has another name than the package gave it.
        [DPKG, {"usr/lib/libtls.so.30.usr-is-merged": LIBRARY}],
        [{**DISTROLESS, "usr/lib/libtls.so.30": LIBRARY}],
    ],
)
def test_files_of_the_distribution_are_not_searched_for_patterns(
    layers: list[dict[str, bytes | str]], tmp_path: Path, flow: Flow
) -> None:
    made = image(tmp_path, [layer(files) for files in layers])
    scanner.refuse_secrets(made, flow, {})
    known = {"TLS_KEY": fake_secrets.SECRETS["a private key"]}
    assert "usr/lib/libtls.so.30" in refusal(made, flow, known)


def test_a_changed_file_of_the_distribution_is_a_finding(tmp_path: Path, flow: Flow) -> None:
    changed = {path: f"{text} " for path, text in PACKAGED.items()}
    made = image(tmp_path, [layer({**DPKG, **PACKAGED}), layer(changed)])
    assert refusal(made, flow).splitlines()[::2] == [
        "/usr/lib/libtls.so.30 (layer 2): this looks like a private key",
        "/usr/share/doc/a b (layer 2), line 1: this looks like a password in a URL",
        "/etc/apt/a b (layer 2), line 1: this looks like a password in a URL",
    ]


def test_a_copy_in_the_flows_folder_is_a_finding(tmp_path: Path, flow: Flow) -> None:
    made = image(tmp_path, [layer({**DPKG, **PACKAGED}), layer({"app/flow/a.conf": CONFFILE})])
    assert refusal(made, flow).startswith("/app/flow/a.conf (layer 2), line 1: this looks like")


def test_files_in_a_bundled_wheel_are_known_by_the_record_of_the_package(
    tmp_path: Path, flow: Flow
) -> None:
    """As pip and setuptools of the official image: installed, and in ensurepip."""
    folder = "usr/local/lib/python3.11"
    files = {"pip/a.py": MANUAL}
    wheel = {f"{folder}/ensurepip/_bundled/pip-24.0-py3-none-any.whl": zipped(files)}
    installed = {f"{folder}/site-packages/pip-24.0.dist-info/RECORD": record(files)}
    scanner.refuse_secrets(image(tmp_path, [layer({**wheel, **installed})]), flow, {})
    assert ".whl!pip/a.py (layer 1), line 1" in refusal(image(tmp_path, [layer(wheel)]), flow)


def test_an_exception_is_for_its_file_and_its_rule(
    tmp_path: Path, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    token = fake_secrets.SECRETS["an npm token"]
    made = image(
        tmp_path,
        [layer({"app/flow/docs/a.md": token, "app/flow/b.md": token})],
        {"config": {"Labels": {"x": token}}},
    )
    allowed = replace(
        flow,
        allow_secrets=(
            AllowedSecret("app/flow/docs/*", "an npm token", "made up"),
            AllowedSecret("label x", "an npm token", "made up"),
            AllowedSecret("app/flow/b.md", "an OpenAI key", "another rule"),
        ),
    )
    message = refusal(made, allowed)
    assert message.splitlines()[::2] == [
        "/app/flow/b.md (layer 1), line 1: this looks like an npm token"
    ]
    assert capsys.readouterr().err == (
        "scan      allow_secrets: nothing in app/flow/b.md looks like an OpenAI key; "
        "remove the exception from flows/hello/deploy.yaml\n"
    )
    everywhere = replace(flow, allow_secrets=(AllowedSecret("*", "an npm token", "made up"),))
    scanner.refuse_secrets(made, everywhere, {})
    # Of a value that is really used there is no exception.
    assert refusal(made, everywhere, {"NPM_TOKEN": token}).count("the value of NPM_TOKEN") == 3


def test_clean_layers_are_cached_and_known_secrets_never(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / ".build/secret_scan"
    lower = layer({"usr/a": "x", "usr/b.gz": gzip.compress(KEY.encode())})
    made = image(tmp_path, [lower, layer({NOTES: fake_secrets.SECRETS["an npm token"]})])
    with pytest.raises(DeployError):
        scanner.refuse_secrets(made, flow, {}, cache)
    (remembered,) = cache.iterdir()
    assert remembered.name == f"{made.layers[0].digest.replace(':', '-')}.json"
    # Only the layer that has one is read again.
    read: list[int] = []
    outline = layers._scan_patterns

    def watched(inside: LayerContents, *given: Any) -> scan_cache.LayerScan:
        read.append(len(inside.files))
        return outline(inside, *given)

    monkeypatch.setattr(layers, "_scan_patterns", watched)
    with pytest.raises(DeployError):
        scanner.refuse_secrets(made, flow, {}, cache)
    assert read == [1]
    # Values are searched for each time, in archives, too; and nothing of them is written down.
    with pytest.raises(DeployError) as caught:
        scanner.refuse_secrets(made, flow, HIDDEN, cache)
    assert "/usr/b.gz! (layer 1), line 1: this contains the value of MODEL_API_KEY" in str(
        caught.value
    )
    assert KEY not in remembered.read_text("utf-8")
    # By other rules the layer has to be looked at again.
    monkeypatch.setattr(scan_cache, "_hash_rules", lambda: "other")
    with pytest.raises(DeployError):
        scanner.refuse_secrets(made, flow, {}, cache)
    assert read[2:] == [2, 1]


def test_a_remembered_layer_is_judged_by_the_lists_of_each_image(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    files, lists, other = layer(PACKAGED), layer(DPKG), layer({"a": "b"})
    scanner.refuse_secrets(image(tmp_path, [files, lists]), flow, {}, cache)
    assert len(list(cache.iterdir())) == 2
    assert fake_secrets.SECRETS["a password in a URL"] not in "".join(
        path.read_text("utf-8") for path in cache.iterdir()
    )
    searched: list[LayerContents] = []

    def watched(inside: LayerContents, *_: Any) -> scan_cache.LayerScan:
        searched.append(inside)
        return scan_cache.LayerScan((), (), ())

    monkeypatch.setattr(layers, "_scan_patterns", watched)
    scanner.refuse_secrets(image(tmp_path, [lists, files]), flow, {}, cache)
    message = refusal(image(tmp_path, [other, files]), flow, cache=cache)
    assert message.count("(layer 2)") == 3
    # Only the layer that is new.
    assert len(searched) == 1


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"rules": 1}', "\0"])
def test_a_damaged_cache_is_ignored(content: str, tmp_path: Path, flow: Flow) -> None:
    made = image(tmp_path, [layer({NOTES: fake_secrets.SECRETS["an npm token"]})])
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"{made.layers[0].digest.replace(':', '-')}.json").write_text(content, "utf-8")
    with pytest.raises(DeployError):
        scanner.refuse_secrets(made, flow, {}, cache)
