"""The secret scan before a push: every kind of secret in every place of an image, and what may pass."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from deploy.config import configuration
from deploy.core.entities import AllowedSecret, Flow
from deploy.core.errors import DeployError
from deploy.docker.image_archive import ImageArchive
from deploy.supply_chain.secret_scan import known_secrets, layers, scanner
from deploy.supply_chain.secret_scan.layer_contents import LayerContents
from tests import made_up, projects
from tests.saved_images import CLEAN, layer, write

NOTES = "app/flow/notes.md"
KEY = made_up.text(made_up.LETTERS, 40, 7) + "/+=" + made_up.text(made_up.LETTERS, 7)
HIDDEN = {"MODEL_API_KEY": KEY}
PLACES: dict[str, Callable[[str], tuple[list[bytes], dict[str, Any]]]] = {
    "/app/flow/notes.md (layer 2), line 2": lambda text: (
        [layer({"usr/x": "x"}), layer({NOTES: f"# Notes\n{text}"})],
        {},
    ),
    "/app/flow/notes.md (layer 1), line 2": lambda text: (
        [layer({NOTES: f"# Notes\n{text}"}), layer({"app/flow/.wh.notes.md": ""})],
        {},
    ),
    "history line 2": lambda text: (
        [layer({})],
        {"history": [{"created_by": "FROM x"}, {"created_by": f"RUN build {text}"}]},
    ),
    "variable SOME_NAME": lambda text: ([layer({})], {"config": {"Env": [f"SOME_NAME={text}"]}}),
    "label some.name": lambda text: ([layer({})], {"config": {"Labels": {"some.name": text}}}),
}


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flow:
    monkeypatch.chdir(tmp_path)
    return configuration.load_flow(projects.make(tmp_path, {}), "hello")


def image(
    path: Path, layers: list[bytes], changes: Mapping[str, Any] | None = None
) -> ImageArchive:
    return write(path / "image.tar", layers, {**CLEAN, **(changes or {})})


def refusal(
    made: ImageArchive,
    flow: Flow,
    hidden: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> str:
    with pytest.raises(DeployError) as caught:
        scanner.refuse_secrets(made, flow, hidden or {}, cache)
    return str(caught.value)


def longest_parts(secret: str) -> list[str]:
    """Return the parts of a secret that no message may quote: all but its known beginning."""
    return [secret[at : at + 12] for at in range(0, len(secret) - 12, 6)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rule", made_up.SECRETS)
def test_each_kind_of_secret_is_found_in_each_place(
    rule: str, place: str, tmp_path: Path, flow: Flow
) -> None:
    secret = made_up.SECRETS[rule]
    message = refusal(image(tmp_path, *PLACES[place](secret)), flow)
    assert message == (
        f"{place}: this looks like {rule}\n"
        "  → remove it and rotate it, or list it with a reason: allow_secrets in flows/hello/deploy.yaml"
    )
    assert not [part for part in longest_parts(secret) if part in message]


@pytest.mark.parametrize("place", PLACES)
def test_a_value_of_the_environment_is_found_in_each_place(
    place: str, tmp_path: Path, flow: Flow
) -> None:
    message = refusal(image(tmp_path, *PLACES[place](f"<{KEY}>")), flow, HIDDEN)
    assert message == (
        f"{place}: this holds the value of MODEL_API_KEY\n"
        "  → remove it, and rotate it if it is a secret; if it is none, it belongs under env.clear"
    )


FORMS = {
    "JSON": json.dumps({"key": f'{KEY}"\n'}),
    "URL": f"https://host/?key={quote(KEY, safe='')}&a=b",
    "URL of .NET": f"https://host/?key={quote(KEY, safe='').lower()}".replace(
        KEY[:40].lower(), KEY[:40]
    ).replace(KEY[43:].lower(), KEY[43:]),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of a login": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "base64 of two": base64.b64encode(f"a:{KEY}\n".encode()).decode(),
    "base64 in a URL": base64.urlsafe_b64encode(f"ab:{KEY}~~".encode()).decode(),
    "bytes": "\0\1" + KEY + "\0",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_found_in_each_form(form: str, tmp_path: Path, flow: Flow) -> None:
    hidden = {"MODEL_API_KEY": f'{KEY}"\n' if form == "JSON" else KEY}
    message = refusal(image(tmp_path, [layer({NOTES: FORMS[form]})]), flow, hidden)
    assert "this holds the value of MODEL_API_KEY" in message


def test_a_value_across_two_blocks_is_found_once(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (512, 1024, 1536, 1540, 1560, 2048):
        monkeypatch.setattr("deploy.supply_chain.secret_scan.layer_contents.BLOCK", size)
        made = image(tmp_path, [layer({"a": "x" * 500, NOTES: "\n" * 10 + KEY + "\n", "z": ""})])
        message = refusal(made, flow, HIDDEN)
        assert message.startswith("/app/flow/notes.md (layer 1), line 11: this holds")
        assert message.count("this holds") == 1


def test_part_of_a_connection_string_is_found_alone(tmp_path: Path, flow: Flow) -> None:
    hidden = {
        "STORE": f"Endpoint=https://x.y;AccountKey={KEY};Version=1",
        "DB": "pg://u:hunt-me@h/d",
    }
    made = image(tmp_path, [layer({NOTES: f"a {KEY}", "app/flow/a.py": "connect('hunt-me')"})])
    message = refusal(made, flow, hidden)
    assert "notes.md (layer 1), line 1: this holds the value of STORE" in message
    assert "a.py (layer 1), line 1: this holds the value of DB" in message


def test_a_line_of_a_private_key_is_found_alone(tmp_path: Path, flow: Flow) -> None:
    lines = [made_up.text(made_up.LETTERS, 64, seed) for seed in range(3)]
    hidden = {"SIGNING": "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "of somebody's notes"])}
    made = image(
        tmp_path, [layer({NOTES: f"a\n  {lines[1]}\n", "app/flow/b": "of somebody's notes"})]
    )
    message = refusal(made, flow, hidden)
    assert message.startswith(
        "/app/flow/notes.md (layer 1), line 2: this holds the value of SIGNING"
    )
    assert "app/flow/b" not in message


def test_everything_is_told_at_once_and_lines_together(tmp_path: Path, flow: Flow) -> None:
    text = "\n\n".join([made_up.SECRETS["an npm token"]] * 7)
    made = image(
        tmp_path,
        [layer({NOTES: text}), layer({"app/flow/b.bin": f"\0{KEY}"})],
        {"config": {"Env": [f"A={KEY}"], "Cmd": ["run", KEY]}, "author": KEY},
    )
    lines = refusal(made, flow, HIDDEN).splitlines()[::2]
    assert lines == [
        "variable A: this holds the value of MODEL_API_KEY",
        "configuration config.Cmd: this holds the value of MODEL_API_KEY",
        "configuration author: this holds the value of MODEL_API_KEY",
        "/app/flow/notes.md (layer 1), lines 1, 3, 5, 7, 9 and 2 more: this looks like an npm token",
        "/app/flow/b.bin (layer 2): this holds the value of MODEL_API_KEY",
    ]


def test_a_secret_in_a_name_is_found_and_not_told(tmp_path: Path, flow: Flow) -> None:
    token = made_up.SECRETS["a GitHub token"]
    name = KEY.replace("/", "_")
    made = image(
        tmp_path,
        [layer({f"app/flow/{token}.txt": "", f"app/flow/{name}/x.txt": "x"})],
        {"config": {"Labels": {token: "x"}}},
    )
    message = refusal(made, flow, {"MODEL_API_KEY": name})
    assert message.splitlines()[::2] == [
        "label ***: this looks like a GitHub token",
        "/app/flow/***/x.txt (layer 1): this holds the value of MODEL_API_KEY",
        "/app/flow/***.txt (layer 1): this looks like a GitHub token",
    ]


def test_a_whole_value_of_32_digits_is_found_where_values_are(tmp_path: Path, flow: Flow) -> None:
    digits = made_up.text(made_up.HEX, 32)
    changes = {"config": {"Env": [f"A={digits}"], "Labels": {"b": digits, "c": f"x {digits}"}}}
    message = refusal(image(tmp_path, [layer({"app/flow/a.py": digits})], changes), flow)
    assert message.splitlines()[::2] == [
        "variable A: this looks like a key (32 hexadecimal digits)",
        "label b: this looks like a key (32 hexadecimal digits)",
    ]


def test_random_values_are_found_in_configuration_of_the_flow_alone(
    tmp_path: Path, flow: Flow
) -> None:
    text = f"thing: {made_up.text(made_up.LETTERS, 40)}\n"
    names = ("app/flow/a.yaml", "app/packages/x/a.yaml", "etc/a.yaml", "app/flow/a.txt")
    message = refusal(image(tmp_path, [layer(dict.fromkeys(names, text))]), flow)
    assert message.splitlines()[::2] == [
        "/app/flow/a.yaml (layer 1), line 1: this looks like a high-entropy value"
    ]


def zipped(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


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
    text = f"{made_up.SECRETS['an npm token']} {KEY}"
    made = image(tmp_path, [layer({f"app/flow/{name}": ARCHIVES[name](text)})])
    message = refusal(made, flow, HIDDEN)
    inner = "" if name in ("a.gz", "a.xz", "a.bz2") else "in/b.txt"
    assert f"/app/flow/{name}!{inner} (layer 1), line 2: this looks like an npm token" in message
    assert f"/app/flow/{name}!{inner} (layer 1), line 2: this holds the value of" in message


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
    assert message.startswith("/app/flow/notes.md (layer 1), line 2: this holds the value of")


def record(files: Mapping[str, str]) -> str:
    hashes = {n: hashlib.sha256(c.encode()).digest() for n, c in files.items()}
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')},{len(files[name])}"
        for name, digest in hashes.items()
    ]
    return "\n".join([*lines, "x-1.dist-info/RECORD,,", "x-1.dist-info/INSTALLER,sha256=,"])


def test_what_a_package_brought_is_not_searched_for_shapes(tmp_path: Path, flow: Flow) -> None:
    token = made_up.SECRETS["an npm token"]
    files = {"x/a.py": f'"""Like {token}."""\n', "x/b.py": token}
    content = {
        **{f"app/packages/{name}": text for name, text in files.items()},
        "app/packages/x-1.dist-info/RECORD": record(files),
        "app/packages/x/__pycache__/a.cpython-311.pyc": f"\0{token}",
    }
    scanner.refuse_secrets(image(tmp_path, [layer(content)]), flow, {})
    # Values are another matter.
    message = refusal(image(tmp_path, [layer(content)]), flow, {"NPM_TOKEN": token})
    assert message.count("this holds the value of NPM_TOKEN") == 3
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


LIBRARY = f"\0self-test {made_up.SECRETS['a private key']}"
MANUAL = f"# Like {made_up.SECRETS['a password in a URL']}\n"
CONFFILE = f"# proxy = {made_up.SECRETS['a password in a URL']}\n"
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
def test_what_the_distribution_brought_is_not_searched_for_patterns(
    layers: list[dict[str, bytes | str]], tmp_path: Path, flow: Flow
) -> None:
    made = image(tmp_path, [layer(files) for files in layers])
    scanner.refuse_secrets(made, flow, {})
    known = {"TLS_KEY": made_up.SECRETS["a private key"]}
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
    token = made_up.SECRETS["an npm token"]
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
        "gate      allow_secrets: app/flow/b.md has nothing that looks like an OpenAI key; "
        "take the exception out of flows/hello/deploy.yaml\n"
    )
    everywhere = replace(flow, allow_secrets=(AllowedSecret("*", "an npm token", "made up"),))
    scanner.refuse_secrets(made, everywhere, {})
    # Of a value that is really used there is no exception.
    assert refusal(made, everywhere, {"NPM_TOKEN": token}).count("the value of NPM_TOKEN") == 3


def test_layers_without_a_shape_are_remembered_and_values_never(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / ".build/gate"
    lower = layer({"usr/a": "x", "usr/b.gz": gzip.compress(KEY.encode())})
    made = image(tmp_path, [lower, layer({NOTES: made_up.SECRETS["an npm token"]})])
    with pytest.raises(DeployError):
        scanner.refuse_secrets(made, flow, {}, cache)
    (remembered,) = cache.iterdir()
    assert remembered.name == f"{made.layers[0].digest.replace(':', '-')}.json"
    # Only the layer that has one is read again.
    read: list[int] = []
    outline = layers._scan_patterns

    def watched(inside: LayerContents, *given: Any) -> layers.LayerScan:
        read.append(len(inside.files))
        return outline(inside, *given)

    monkeypatch.setattr(layers, "_scan_patterns", watched)
    with pytest.raises(DeployError):
        scanner.refuse_secrets(made, flow, {}, cache)
    assert read == [1]
    # Values are searched for each time, in archives, too; and nothing of them is written down.
    with pytest.raises(DeployError) as caught:
        scanner.refuse_secrets(made, flow, HIDDEN, cache)
    assert "/usr/b.gz! (layer 1), line 1: this holds the value of MODEL_API_KEY" in str(
        caught.value
    )
    assert KEY not in remembered.read_text("utf-8")
    # By other rules the layer has to be looked at again.
    monkeypatch.setattr(layers, "_hash_rules", lambda: "other")
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
    assert made_up.SECRETS["a password in a URL"] not in "".join(
        path.read_text("utf-8") for path in cache.iterdir()
    )
    searched: list[LayerContents] = []

    def watched(inside: LayerContents, *_: Any) -> layers.LayerScan:
        searched.append(inside)
        return layers.LayerScan((), (), ())

    monkeypatch.setattr(layers, "_scan_patterns", watched)
    scanner.refuse_secrets(image(tmp_path, [lists, files]), flow, {}, cache)
    message = refusal(image(tmp_path, [other, files]), flow, cache=cache)
    assert message.count("(layer 2)") == 3
    # Only the layer that is new.
    assert len(searched) == 1


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"rules": 1}', "\0"])
def test_a_broken_memory_is_none(content: str, tmp_path: Path, flow: Flow) -> None:
    made = image(tmp_path, [layer({NOTES: made_up.SECRETS["an npm token"]})])
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"{made.layers[0].digest.replace(':', '-')}.json").write_text(content, "utf-8")
    with pytest.raises(DeployError):
        scanner.refuse_secrets(made, flow, {}, cache)


def test_a_clean_image_passes(tmp_path: Path, flow: Flow) -> None:
    files = {
        "app/about.json": json.dumps({"commit": made_up.text(made_up.HEX, 40), "tag": "0" * 12}),
        "app/flow/flow.dag.yaml": projects.FLOW,
        "app/flow/answer.py": projects.CODE,
        "etc/ssl/certs/a.pem": f"-----BEGIN CERTIFICATE-----\n{made_up.text(made_up.BASE64, 64)}",
    }
    # As the official image of Python has it.
    environment = [f"GPG_KEY={made_up.text('0123456789ABCDEF', 40)}", "PYTHON_VERSION=3.11.9"]
    made = image(tmp_path, [layer(files), layer({}), layer({})], {"config": {"Env": environment}})
    scanner.refuse_secrets(made, flow, HIDDEN)


def hidden(root: Path, files: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    return known_secrets.collect_secrets(projects.make(root, files, environ))


def test_what_must_be_in_no_image(tmp_path: Path) -> None:
    deploy = (
        projects.DEPLOY.replace(
            "{target: local}",
            "{target: local, env: {secret: [DB_LOGIN], clear: {MODEL: gpt-4o-mini, A: clear-text}}}",
        )
        + "connections:\n  ai: {type: azure_open_ai, api_base: AI_ENDPOINT, api_key: AI_KEY}\n"
        + "  own: {type: custom, configs: {url: STORE_URL}, secrets: {token: STORE_LOGIN}}\n"
    )
    env = (
        "AI_KEY=key-of-the-file\nMODEL=gpt-4o-mini\nPLACE=westeurope\nDEBUG=true\nPORT=8080\n"
        "OTHER=something-of-mine\nSHORT=abc12\nFLOW_BASE_IMAGE=contoso.azurecr.io/base:1\n"
        "UV_DEFAULT_INDEX=https://build:pass-of-the-index@index.contoso.com/simple\n"
        "SERVE_LOG_FORMAT=json-lines\nOLD_TOKEN=clear-text\nEMPTY=\nDATE=2024-10-21\n"
        "APP_PASSWORD=longerthaneight\nAPP_TOKEN=secret\n"
    )
    environ = {
        "AI_KEY": "key-of-the-process",
        "AI_ENDPOINT": "https://contoso.openai.azure.com/",
        "DB_LOGIN": "login-of-the-database",
        "STORE_URL": "https://store.contoso.com",
        "STORE_LOGIN": "login-of-the-store",
        "PATH": "/usr/bin:/usr/local/bin",
        "HOME": "/home-of-somebody",
    }
    files = {
        "flows/hello/deploy.yaml": deploy,
        "flows/broken/deploy.yaml": "environments: [",
        "flows/odd/deploy.yaml": "connections: [a]\nenvironments: {local: {env: {secret: 3}}, b: c}\n",
        ".env": env,
    }
    assert hidden(tmp_path, files, environ) == {
        "AI_KEY": "key-of-the-process",
        "AI_KEY of .env": "key-of-the-file",
        "AI_ENDPOINT": "https://contoso.openai.azure.com/",
        "DB_LOGIN": "login-of-the-database",
        "STORE_URL": "https://store.contoso.com",
        "STORE_LOGIN": "login-of-the-store",
        "OTHER": "something-of-mine",
        "UV_DEFAULT_INDEX": "pass-of-the-index",
        # It is one by its name, so that it stands in clear text elsewhere is no excuse.
        "OLD_TOKEN": "clear-text",
        "APP_PASSWORD": "longerthaneight",
    }


def test_nothing_to_hide(tmp_path: Path) -> None:
    assert hidden(tmp_path, {}, {"PATH": "/usr/bin", "SOME_TOKEN": "not-of-this-project"}) == {}
