"""The patterns of secrets: matches and near misses of each rule; random values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.config import entropy, secret_patterns
from deploy.config.deploy_file import SECRET_RULES
from tests import fake_secrets
from tests.projects import FIXTURE

ROOT = Path(__file__).parents[3]
NEAR = [(rule, text) for rule, texts in fake_secrets.NEAR.items() for text in texts]
# Around it, what files have around secrets.
FRAMES = [
    "{}",
    'key = "{}"\n',
    "key: {}\r\n",
    '{{"key": "{}"}}',
    "\x00\x01{}\x00",
    "x\n" * 9 + "{}",
]


def found(data: bytes) -> list[str]:
    return [rule for rule, _, _ in secret_patterns.find_secrets(data)]


def test_every_rule_has_an_example_and_near_misses() -> None:
    assert list(fake_secrets.SECRETS) == list(secret_patterns.RULES) == list(fake_secrets.NEAR)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("rule", fake_secrets.SECRETS)
def test_each_pattern_is_found_by_its_own_rule(rule: str, frame: str) -> None:
    assert found(frame.format(fake_secrets.SECRETS[rule]).encode()) == [rule]


@pytest.mark.parametrize(("rule", "text"), fake_secrets.OTHER_FORMS)
def test_other_ways_to_write_it_are_found(rule: str, text: str) -> None:
    assert rule in found(text.encode())


@pytest.mark.parametrize(("rule", "text"), NEAR)
def test_near_misses_pass(rule: str, text: str) -> None:
    assert found(text.encode()) == []


@pytest.mark.parametrize("rule", fake_secrets.SECRETS)
def test_every_secret_is_found_at_its_line(rule: str) -> None:
    secret = fake_secrets.SECRETS[rule].encode()
    data = b"\n\n".join([secret] * 5)
    starts = [data[:start].count(secret) for _, start, _ in secret_patterns.find_secrets(data)]
    assert starts == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rule", fake_secrets.SECRETS)
def test_configuration_is_checked_by_the_same_rules(rule: str) -> None:
    assert secret_patterns.recognise_secret(fake_secrets.SECRETS[rule]) == rule


def test_a_fake_key_before_a_real_one_hides_nothing() -> None:
    text = f"sk-{'x' * 40}\n{fake_secrets.SECRETS['an OpenAI key']}"
    assert found(text.encode()) == ["an OpenAI key"]


@pytest.mark.parametrize(
    "value",
    [
        fake_secrets.text(fake_secrets.BASE64, 44) + "==",
        fake_secrets.text(fake_secrets.LETTERS, 40),
        fake_secrets.text(fake_secrets.URL_SAFE, 64),
        fake_secrets.text(fake_secrets.HEX, 32),
        fake_secrets.text(fake_secrets.HEX, 64).upper(),
        fake_secrets.text("abcdefghijklmnopqrstuvwxyz234567", 52),
    ],
)
def test_random_values_of_configuration_are_found(value: str) -> None:
    for path, content in (
        ("a.yaml", f"a: 1\nmy_service: {value}\n"),
        ("a.json", f'{{"list": ["{value}"], "b": 1}}'),
        ("a.env", f"SOME_VARIABLE_OF_MINE={value}\n"),
        (".env", f"SOME_VARIABLE_OF_MINE={value}"),
        ("a.toml", f"name = '{value}'\n"),
        ("a.prompty", f"---\nmodel:\n  thing: {value}\n---\nsystem:\n"),
    ):
        assert entropy.is_config_file(path)
        ((rule, start, end),) = entropy.find_random_values(path, content.encode())
        assert (rule, content[start:end]) == (entropy.RULE_NAME, value)


@pytest.mark.parametrize(
    "line",
    [
        "commit: " + fake_secrets.text(fake_secrets.HEX, 40),
        '"commit": "' + fake_secrets.text(fake_secrets.HEX, 40) + '-dirty"',
        "image: python@sha256:" + fake_secrets.text(fake_secrets.HEX, 64),
        "--hash=sha256:" + fake_secrets.text(fake_secrets.HEX, 64),
        '"integrity": "sha512-' + fake_secrets.text(fake_secrets.BASE64, 86) + '=="',
        "md5: " + fake_secrets.text(fake_secrets.HEX, 32),
        "id: 3f2b8a1c-9d4e-4f6a-8b7c-0d1e2f3a4b5c",
        "scope: /subscriptions/3f2b8a1c-9d4e-4f6a-8b7c-0d1e2f3a4b5c/resourceGroups/rg-chat-prod-2",
        "path: promptflow/tools/aoai/chat_with_a_very_long_name/and/more2/of/it",
        "name: text-embedding-3-large-deployment-of-contoso-2024-10-21",
        "number: 12345678901234567890123456",
        f"{fake_secrets.text(fake_secrets.LETTERS, 40)}: a key of a mapping",
        f'"{fake_secrets.text(fake_secrets.LETTERS, 40)}": 1',
        "picture: data:image/png;base64," + fake_secrets.text(fake_secrets.BASE64, 200),
        "picture: " + fake_secrets.text(fake_secrets.BASE64, 4000),
        "$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json",
        "reference: ${classify_the_message_of_the_customer.output.someThing}",
        "text: averylongwordwithoutanyspacesinitjustlikegermanhas",
    ],
)
def test_ordinary_values_of_configuration_are_not_random(line: str) -> None:
    assert list(entropy.find_random_values("a.yaml", line.encode())) == []


def test_the_text_of_a_prompty_is_no_configuration() -> None:
    content = f"---\nname: x\n---\nsystem:\n{fake_secrets.text(fake_secrets.LETTERS, 40)}\n"
    assert list(entropy.find_random_values("a.prompty", content.encode())) == []
    assert not entropy.is_config_file("a.py")
    assert not entropy.is_config_file("requirements.lock")


def test_the_repository_is_clean_by_its_own_rules() -> None:
    for path in sorted((FIXTURE / "flows").rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            name = path.relative_to(FIXTURE).as_posix()
            hits = list(secret_patterns.find_secrets(data))
            hits += entropy.find_random_values(name, data) if entropy.is_config_file(name) else []
            assert not hits, name


def test_the_manual_lists_the_rules() -> None:
    text = (ROOT / "docs/secrets.md").read_text(encoding="utf-8")
    table = text.partition("## What is looked for")[2].partition("\n## ")[0]
    assert re.findall(r"^\| (an? [^|]+?) \|", table, re.MULTILINE) == list(SECRET_RULES)
