"""Invalid files: each error in full, with file, line and hint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import projects
from tests.unit.config.configuration_errors import message

ANY_KEY = "0123456789abcdef0123456789abcdef"
CASES: dict[str, tuple[Mapping[str, Any], str]] = {
    "unknown key": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "conections: {}\n"},
        "flows/hello/deploy.yaml:5: conections: unknown key\n  → did you mean connections?",
    ),
    "unknown key of a target": (
        {"flows/hello/deploy.yaml": projects.DEPLOY.replace("local}", "local, prot: 80}")},
        "flows/hello/deploy.yaml:4: environments.local.prot: unknown key\n  → did you mean port?",
    ),
    "wrong type": (
        {"flows/hello/deploy.yaml": projects.DEPLOY.replace("local}", "local, port: many}")},
        "flows/hello/deploy.yaml:4: environments.local.port: a whole number is expected, not a string",
    ),
    "number where a text is meant": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "image: {python: 3.11}\n"},
        "flows/hello/deploy.yaml:5: image.python: a string is expected, not the number 3.11\n"
        '  → quote it: "3.11"',
    ),
    "unknown value": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "image: {platform: linux/arm}\n"},
        "flows/hello/deploy.yaml:5: image.platform: this is not one of the known values\n"
        "  → did you mean linux/arm64?",
    ),
    "two errors in one file": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "sampel: x.json\nimage: {bass: y}\n"},
        "flows/hello/deploy.yaml:5: sampel: unknown key\n  → did you mean sample?\n"
        "flows/hello/deploy.yaml:6: image.bass: unknown key\n  → did you mean base?",
    ),
    "aliases of aliases": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "a0: &a0 [x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
        },
        "flows/hello/deploy.yaml: its aliases expand to more than 100000 values\n"
        "  → use fewer aliases",
    ),
    "an evaluation with slips": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "evaluation:\n  date: q.jsonl\n  flows:\n    e:\n      treshold: {a: 1}\n"
        },
        "flows/hello/deploy.yaml:5: evaluation: the key data is missing\n  → add it\n"
        "flows/hello/deploy.yaml:6: evaluation.date: unknown key\n  → did you mean data?\n"
        "flows/hello/deploy.yaml:9: evaluation.flows.e.treshold: unknown key",
    ),
    "thresholds that are none": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "evaluation:\n  data: q.jsonl\n  flows:\n    e:\n      thresholds:\n"
            + "        a: high\n        b: {}\n        c: {min: 2, max: 1}\n        d: .nan\n"
        },
        "flows/hello/deploy.yaml:10: evaluation.flows.e.thresholds.a: a number is expected, or {min: …, max: …}\n"
        "flows/hello/deploy.yaml:11: evaluation.flows.e.thresholds.b: set min, max or both\n"
        "flows/hello/deploy.yaml:12: evaluation.flows.e.thresholds.c: min may not be above max\n"
        "flows/hello/deploy.yaml:13: evaluation.flows.e.thresholds.d: input should be a finite number",
    ),
    "an evaluation by nobody": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "evaluation: {data: q.jsonl, flows: {}, timeout: 0}\n"
        },
        "flows/hello/deploy.yaml:5: evaluation.flows: at least one is expected\n"
        "flows/hello/deploy.yaml:5: evaluation.timeout: a number from 1 is expected",
    ),
    "unknown target": (
        {"flows/hello/deploy.yaml": projects.DEPLOY.replace("target: local", "target: locale")},
        "flows/hello/deploy.yaml:4: environments.local.target: unknown target 'locale'\n"
        "  → did you mean local?",
    ),
    "no target": (
        {"flows/hello/deploy.yaml": projects.DEPLOY.replace("target: local", "port: 80")},
        "flows/hello/deploy.yaml:4: environments.local: the key target is missing\n  → known: local, azureml, appservice",
    ),
    "environment that environments.yaml lacks": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "  loca: {target: local}\n"},
        "flows/hello/deploy.yaml:5: environments.loca: environments.yaml has no environment loca\n"
        "  → did you mean local?",
    ),
    "missing sample": (
        {"flows/hello/sample.json": None},
        "flows/hello/deploy.yaml:1: sample: flows/hello/sample.json is not there\n"
        "  → write one request for the flow into it",
    ),
    "sample that is not JSON": (
        {"flows/hello/sample.json": "{question: why}"},
        "flows/hello/sample.json:1: this is not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)\n  → correct it",
    ),
    "no deploy.yaml": (
        {"flows/hello/deploy.yaml": None},
        "flows/hello/deploy.yaml: there is no such file\n  → create it",
    ),
    "no environments.yaml": (
        {"environments.yaml": None},
        "environments.yaml: there is no such file\n  → create it",
    ),
    "folder without a flow": (
        {"flows/hello/flow.dag.yaml": None},
        "flows/hello: there is no flow in this folder\n"
        "  → a flow has one of: flow.dag.yaml, flow.flex.yaml, one *.prompty file",
    ),
    "two flows in a folder": (
        {
            "flows/hello/flow.dag.yaml": None,
            "flows/hello/a.prompty": "",
            "flows/hello/b.prompty": "",
        },
        "flows/hello: more than one flow: a.prompty, b.prompty\n  → keep one of them in this folder",
    ),
    "YAML that is not a mapping": (
        {"flows/hello/deploy.yaml": "- sample\n"},
        "flows/hello/deploy.yaml:1: a mapping of keys and values is expected, this is a list\n"
        "  → write `key: value` lines",
    ),
    "empty YAML": (
        {"flows/hello/deploy.yaml": "# nothing\n"},
        "flows/hello/deploy.yaml:1: a mapping of keys and values is expected, this is empty\n"
        "  → write `key: value` lines",
    ),
    "broken YAML": (
        {"flows/hello/deploy.yaml": "sample: [a\nexpect: b\n"},
        "flows/hello/deploy.yaml:2: expected ',' or ']', but got ':'\n  → correct the YAML",
    ),
    "key given twice": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "sample: other.json\n"},
        'flows/hello/deploy.yaml:5: found duplicate key "sample"\n  → correct the YAML',
    ),
    "key given twice with a secret": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "init: {a: hunter2, a: hunter2}\n"},
        'flows/hello/deploy.yaml:5: found duplicate key "a"\n  → correct the YAML',
    ),
    "secret in place of a type": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "connections:\n  ai: {type: hunter2}\n"},
        "flows/hello/deploy.yaml:6: connections.ai.type: this is not a type of connection\n"
        "  → known: custom, azure_open_ai, open_ai, serverless, cognitive_search, azure_ai_services, "
        "azure_content_safety, form_recognizer, serp",
    ),
    "list as a target": (
        {"flows/hello/deploy.yaml": projects.DEPLOY.replace("target: local", "target: [local]")},
        "flows/hello/deploy.yaml:4: environments.local.target: unknown target ['local']\n  → did you mean local?",
    ),
    "impossible date": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "init: {a: 2020-13-45}\n"},
        "flows/hello/deploy.yaml: this cannot be read as YAML (ValueError)\n  → correct the YAML",
    ),
    "sample that is a folder": (
        {"flows/hello/deploy.yaml": projects.DEPLOY.replace("sample.json", ".")},
        "flows/hello/deploy.yaml:1: sample: it cannot be read: Is a directory\n  → name a JSON file",
    ),
    "unknown connection type": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + "connections:\n  ai: {type: openai}\n"},
        "flows/hello/deploy.yaml:6: connections.ai.type: this is not a type of connection\n"
        "  → did you mean open_ai?",
    ),
    "connection without its endpoint": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "connections:\n  ai: {type: azure_open_ai}\n"
        },
        "flows/hello/deploy.yaml:6: connections.ai: the key api_base is missing\n  → add it",
    ),
    "value in place of a variable's name": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "connections:\n  ai: {type: open_ai, api_key: hunter2}\n"
        },
        "flows/hello/deploy.yaml:6: connections.ai.api_key: the name of an environment variable is "
        "expected, such as AZURE_OPENAI_API_KEY",
    ),
    "secret by its shape": (
        {"flows/hello/deploy.yaml": projects.DEPLOY + f"init: {{key: {ANY_KEY}}}\n"},
        "flows/hello/deploy.yaml:5: init.key: this looks like a key (32 hexadecimal digits); secrets do "
        "not belong in files\n  → put the value into .env, name its variable here, and rotate it",
    ),
    "exception for a secret of no known kind": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "allow_secrets:\n- {file: app/flow/a.md, rule: a OpenAI key, reason: made up}\n"
        },
        "flows/hello/deploy.yaml:6: allow_secrets.0.rule: this is not one of the known values\n"
        "  → did you mean an OpenAI key?",
    ),
    "exception without a reason": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "allow_secrets:\n- {file: app/flow/a.md, rule: an OpenAI key}\n"
        },
        "flows/hello/deploy.yaml:6: allow_secrets.0: the key reason is missing\n  → add it",
    ),
    "exception with an empty reason": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY
            + "allow_secrets:\n- {file: ' ', rule: an OpenAI key,\n   reason: ' '}\n"
        },
        "flows/hello/deploy.yaml:6: allow_secrets.0.file: this is empty: write a reason\n"
        "flows/hello/deploy.yaml:7: allow_secrets.0.reason: this is empty: write a reason",
    ),
    "type of an answer": (
        {"flows/hello/deploy.yaml": projects.DEPLOY.replace("answer: string", "answer: int")},
        "flows/hello/deploy.yaml:2: expect.answer: this is not one of the known values\n"
        "  → did you mean integer?",
    ),
    "number out of range": (
        {"flows/hello/deploy.yaml": projects.DEPLOY.replace("local}", "local, port: 70000}")},
        "flows/hello/deploy.yaml:4: environments.local.port: a number up to 65535 is expected",
    ),
    "boolean where a string is meant": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY.replace(
                "local}", "local, env: {clear: {A: true}}}"
            )
        },
        "flows/hello/deploy.yaml:4: environments.local.env.clear.A: a string is expected, not true or "
        'false\n  → quote it: "true"',
    ),
    "variable that the image needs": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY.replace(
                "local}", "local, env: {clear: {PATH: x}}}"
            )
        },
        "flows/hello/deploy.yaml:4: environments.local.env.clear.PATH: the image sets this itself\n"
        "  → leave it out",
    ),
    "secret by its name": (
        {
            "flows/hello/deploy.yaml": projects.DEPLOY.replace(
                "target: local", "target: local, env: {clear: {DB_PASSWORD: hunter2}}"
            )
        },
        "flows/hello/deploy.yaml:4: environments.local.env.clear.DB_PASSWORD: this is the name of a "
        "secret; it may not be written here\n  → put the value into .env, and the name under env.secret",
    ),
    "name that Azure would refuse": (
        {"flows/Hello_World/deploy.yaml": projects.DEPLOY.replace("sample: sample.json\n", "")}
        | {f"flows/Hello_World/{n}": c for n, c in (("flow.dag.yaml", ""), ("sample.json", "{}"))},
        "flows/Hello_World: this cannot be the name of a flow\n"
        "  → 2 to 40 lower-case letters, digits and hyphens, a letter first",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_invalid_file_is_reported_in_full(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, expected = CASES[case]
    monkeypatch.chdir(tmp_path)
    assert message(projects.make(tmp_path, files)) == expected


@pytest.mark.parametrize("case", CASES)
def test_no_message_quotes_a_secret(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = message(projects.make(tmp_path, CASES[case][0]))
    assert "hunter2" not in text
    assert ANY_KEY not in text


def test_problems_of_all_flows_are_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"flows/hello/sample.json": None, "flows/other/flow.dag.yaml": projects.FLOW}
    text = message(projects.make(tmp_path, files))
    assert "flows/hello/sample.json is not there" in text
    assert "flows/other/deploy.yaml: there is no such file" in text
