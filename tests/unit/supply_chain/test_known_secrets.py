"""Known secrets: values of the environment, in each form and each place."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from deploy.core.entities import Flow
from tests import fake_secrets, projects
from tests.saved_images import layer
from tests.unit.supply_chain.scanned_images import (
    HIDDEN,
    KEY,
    NOTES,
    PLACES,
    hidden,
    image,
    refusal,
)


@pytest.mark.parametrize("place", PLACES)
def test_a_value_of_the_environment_is_found_in_each_place(
    place: str, tmp_path: Path, flow: Flow
) -> None:
    message = refusal(image(tmp_path, *PLACES[place](f"<{KEY}>")), flow, HIDDEN)
    assert message == (
        f"{place}: this contains the value of MODEL_API_KEY\n"
        "  → remove it, and rotate it if it is secret; otherwise list its variable under env.clear"
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
    assert "this contains the value of MODEL_API_KEY" in message


def test_a_value_across_two_blocks_is_found_once(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (512, 1024, 1536, 1540, 1560, 2048):
        monkeypatch.setattr("deploy.supply_chain.secret_scan.layer_contents.BLOCK", size)
        made = image(tmp_path, [layer({"a": "x" * 500, NOTES: "\n" * 10 + KEY + "\n", "z": ""})])
        message = refusal(made, flow, HIDDEN)
        assert message.startswith("/app/flow/notes.md (layer 1), line 11: this contains")
        assert message.count("this contains") == 1


def test_part_of_a_connection_string_is_found_alone(tmp_path: Path, flow: Flow) -> None:
    hidden = {
        "STORE": f"Endpoint=https://x.y;AccountKey={KEY};Version=1",
        "DB": "pg://u:hunt-me@h/d",
    }
    made = image(tmp_path, [layer({NOTES: f"a {KEY}", "app/flow/a.py": "connect('hunt-me')"})])
    message = refusal(made, flow, hidden)
    assert "notes.md (layer 1), line 1: this contains the value of STORE" in message
    assert "a.py (layer 1), line 1: this contains the value of DB" in message


def test_a_line_of_a_private_key_is_found_alone(tmp_path: Path, flow: Flow) -> None:
    lines = [fake_secrets.text(fake_secrets.LETTERS, 64, seed) for seed in range(3)]
    hidden = {"SIGNING": "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "of somebody's notes"])}
    made = image(
        tmp_path, [layer({NOTES: f"a\n  {lines[1]}\n", "app/flow/b": "of somebody's notes"})]
    )
    message = refusal(made, flow, hidden)
    assert message.startswith(
        "/app/flow/notes.md (layer 1), line 2: this contains the value of SIGNING"
    )
    assert "app/flow/b" not in message


def test_a_secret_in_a_file_name_is_found_and_not_printed(tmp_path: Path, flow: Flow) -> None:
    token = fake_secrets.SECRETS["a GitHub token"]
    name = KEY.replace("/", "_")
    made = image(
        tmp_path,
        [layer({f"app/flow/{token}.txt": "", f"app/flow/{name}/x.txt": "x"})],
        {"config": {"Labels": {token: "x"}}},
    )
    message = refusal(made, flow, {"MODEL_API_KEY": name})
    assert message.splitlines()[::2] == [
        "label ***: this looks like a GitHub token",
        "/app/flow/***/x.txt (layer 1): this contains the value of MODEL_API_KEY",
        "/app/flow/***.txt (layer 1): this looks like a GitHub token",
    ]


def test_a_whole_value_of_32_digits_is_found_where_values_are(tmp_path: Path, flow: Flow) -> None:
    digits = fake_secrets.text(fake_secrets.HEX, 32)
    changes = {"config": {"Env": [f"A={digits}"], "Labels": {"b": digits, "c": f"x {digits}"}}}
    message = refusal(image(tmp_path, [layer({"app/flow/a.py": digits})], changes), flow)
    assert message.splitlines()[::2] == [
        "variable A: this looks like a key (32 hexadecimal digits)",
        "label b: this looks like a key (32 hexadecimal digits)",
    ]


def test_random_values_are_found_in_configuration_of_the_flow_alone(
    tmp_path: Path, flow: Flow
) -> None:
    text = f"thing: {fake_secrets.text(fake_secrets.LETTERS, 40)}\n"
    names = ("app/flow/a.yaml", "app/packages/x/a.yaml", "etc/a.yaml", "app/flow/a.txt")
    message = refusal(image(tmp_path, [layer(dict.fromkeys(names, text))]), flow)
    assert message.splitlines()[::2] == [
        "/app/flow/a.yaml (layer 1), line 1: this looks like a high-entropy value"
    ]


def test_forbidden_files(tmp_path: Path) -> None:
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
        "AI_KEY in .env": "key-of-the-file",
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


def test_without_secrets_there_is_nothing_to_search_for(tmp_path: Path) -> None:
    assert hidden(tmp_path, {}, {"PATH": "/usr/bin", "SOME_TOKEN": "not-of-this-project"}) == {}
