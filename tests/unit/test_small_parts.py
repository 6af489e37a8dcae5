"""The small parts: documents, kinds, locks, secrets, redaction, settings, judging answers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import kinds
from deploy.build import lock_files
from deploy.config import secret_patterns
from deploy.config.configuration import load_flow
from deploy.core import yaml_files
from deploy.core.errors import DeployError
from deploy.docker import tar_files
from deploy.server import limits, redaction, settings
from deploy.server.scorer import StartupError
from deploy.targets import verification
from tests import projects


def test_document_knows_the_line_of_each_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\nb:\n  c: x\n  d:\n  - one\n  - two\n", encoding="utf-8")
    document = yaml_files.load(path)
    assert document.data == {"a": 1, "b": {"c": "x", "d": ["one", "two"]}}
    assert [document.line(keys) for keys in (("a",), ("b", "c"), ("b", "d", 1))] == [1, 3, 6]
    assert document.line(("b", "absent")) == 2
    assert dict(document.strings()) == {("b", "c"): "x", ("b", "d", 0): "one", ("b", "d", 1): "two"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["flow.dag.yaml", "part.prompty"], ("dag", "flow.dag.yaml")),
        (["flow.flex.yaml", "part.prompty"], ("flex", "flow.flex.yaml")),
        (["only.prompty"], ("prompty", "only.prompty")),
    ],
)
def test_kinds(files: list[str], expected: tuple[str, str], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_text("", encoding="utf-8")
    assert kinds.detect_kind(tmp_path) == expected


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abcdefghijklmnopqrstuvwxyz012345==",
        "https://a.blob.core.windows.net/c?sv=2024&sig=abcdefghijklmnopqrstuvwxyz%3D",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "abc8Q~abcdefghijklmnopqrstuvwxyz0123456789",
        "postgres://user:hunter2@host/db",
        "0123456789abcdef0123456789ABCDEF",
        "aB3" + "x" * 49,
    ],
)
def test_secrets_are_recognised(text: str) -> None:
    assert secret_patterns.recognise_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "AZURE_OPENAI_API_KEY",
        "https://contoso.openai.azure.com/",
        "gpt-4o-mini",
        "ssh://build@host",
        "python@sha256:" + "0123456789abcdef" * 4,
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg",
        "a sentence of ordinary words, which is rather longer than a key would be",
    ],
)
def test_ordinary_values_are_no_secrets(text: str) -> None:
    assert secret_patterns.recognise_secret(text) is None


def test_redaction_covers_all_that_the_process_and_its_children_write() -> None:
    """In a process of its own: the file descriptors of this one belong to pytest."""
    code = """
import os, subprocess, sys
from deploy.server import redaction
finish = redaction.redact_output(["secret-one", "secret-one-longer", "abc", ""])
print("a secret-one-longer b secret-one c abc")
sys.stdout.flush()
for part in ("d sec", "ret-one e", os.linesep):
    os.write(1, part.encode())
print("f secret-one", file=sys.__stderr__, flush=True)
subprocess.run([sys.executable, "-c", "print('g secret-one')"])
print("no end secret-one", end="", flush=True)
finish()
os._exit(0)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "a *** b *** c abc\nd *** e\ng ***\nno end ***"
    assert done.stderr == "f ***\n"


KEY_LINES = ("MIIEvQIBADANBgkqhkiG9w0B", "AQEFAASCBKcwggSjAgEAAoIB", "AQ0+/x==", "Zg==")
PRIVATE_KEY = "\n".join(
    ("-----BEGIN PRIVATE KEY-----", *KEY_LINES, "-----END PRIVATE KEY-----", "")
)


@pytest.mark.parametrize(
    "given",
    [PRIVATE_KEY, PRIVATE_KEY.replace("\n", "\r\n"), PRIVATE_KEY.replace("\n", "\\n")],
    ids=["lines", "lines of Windows", "one line with escapes"],
)
@pytest.mark.parametrize(
    "printed",
    [
        PRIVATE_KEY,
        PRIVATE_KEY.replace("\n", "\r\n"),
        "".join(f"    {line}\n" for line in PRIVATE_KEY.splitlines()),
        json.dumps({"key": PRIVATE_KEY}),
        json.dumps(json.dumps({"key": PRIVATE_KEY})),
        repr({"key": PRIVATE_KEY}),
    ],
    ids=["lines", "lines of Windows", "indented", "JSON", "JSON in JSON", "repr"],
)
def test_each_line_of_a_secret_is_masked(given: str, printed: str) -> None:
    secrets = [form.encode() for form in redaction.list_spellings([given])]
    masked = b"".join(
        redaction.mask(line, secrets) for line in printed.encode().splitlines(keepends=True)
    )
    # What is too short to distinguish from ordinary text stays.
    for line in KEY_LINES[:3]:
        assert line.encode() not in masked
    assert masked != printed.encode()


def test_what_all_keys_have_is_no_secret() -> None:
    secrets = [form.encode() for form in redaction.list_spellings([PRIVATE_KEY])]
    ordinary = b"-----BEGIN PRIVATE KEY-----\nan ordinary line\n\n-----END PRIVATE KEY-----\n"
    assert redaction.mask(ordinary, secrets) == ordinary
    assert redaction.split_secret("a secret of one line") == []


def test_without_secrets_nothing_stands_between() -> None:
    redaction.redact_output(["", "short"])()


def test_variables_to_mask_are_named_by_a_variable() -> None:
    environ = {"SERVE_SECRETS": "A,B,C", "A": "one", "C": "", "D": "no"}
    assert settings.list_secrets(environ) == ("one",)


def test_settings_have_defaults_and_take_variables() -> None:
    default = settings.read({})
    assert (default.grace, default.timeout, default.log_level) == (20, 170, "info")
    assert default.queue == 4 * default.threads
    given = settings.read({"SERVE_THREADS": "8", "SERVE_GRACE": "", "SERVE_LOG_LEVEL": "WARNING"})
    assert (given.threads, given.queue, given.grace, given.log_level) == (8, 32, 20, "warning")
    assert settings.read({"SERVE_SHORTCUTS": "False", "SERVE_QUEUE": "0"}).patches is False


@pytest.mark.parametrize(
    ("processors", "megabytes", "workers", "threads"),
    [(1, 256, 1, 128), (2, 512, 2, 128), (8, 512, 2, 128), (8, 16000, 8, 128), (1, 64, 1, 64)],
)
def test_workers_and_threads_fit_the_container(
    monkeypatch: pytest.MonkeyPatch, processors: int, megabytes: int, workers: int, threads: int
) -> None:
    monkeypatch.setattr(limits, "count_processors", lambda: processors)
    monkeypatch.setattr(limits, "read_memory_limit", lambda: megabytes * 1024 * 1024)
    found = settings.read({})
    assert (found.workers, found.threads) == (workers, threads)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"SERVE_THREADS": "many"},
            "SERVE_THREADS is 'many': set a whole number, 1 or more, or nothing for 128",
        ),
        (
            {"SERVE_GRACE": "0"},
            "SERVE_GRACE is '0': set a whole number, 1 or more, or nothing for 20",
        ),
        (
            {"SERVE_PRELOAD": "no"},
            "SERVE_PRELOAD is 'no': set one of true, false",
        ),
        (
            {"SERVE_LOG_LEVEL": "loud"},
            "SERVE_LOG_LEVEL is 'loud': set one of debug, info, warning, error",
        ),
    ],
)
def test_bad_settings_are_told(environ: dict[str, str], message: str) -> None:
    with pytest.raises(StartupError) as caught:
        settings.read(environ)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("answer", "expect", "problems"),
    [
        ({"a": "x", "n": 1}, {"a": "string", "n": "number"}, []),
        ({"a": "x", "more": 1}, {"a": "string"}, []),
        ("text", "string", []),
        ({}, "object", []),
        ({"a": "x"}, {"a": "string", "b": "list"}, ["b is missing"]),
        ({"a": None}, {"a": "string"}, ["a: string expected, not null"]),
        ({"a": ""}, {"a": "string"}, ["a: string expected, not an empty string"]),
        ({"a": True}, {"a": "integer"}, ["a: integer expected, not boolean"]),
        ({"a": 1.5}, {"a": "integer"}, ["a: integer expected, not number"]),
        (["x"], {"a": "string"}, ["an object with a expected, not list"]),
        (1, "string", ["string expected, not integer"]),
    ],
)
def test_judging_answers(answer: Any, expect: Any, problems: list[str]) -> None:
    assert verification.find_mismatches(answer, expect) == problems


def _stale(project: Any) -> str:
    with pytest.raises(DeployError) as caught:
        lock_files.read(load_flow(project, "hello"))
    return str(caught.value)


def test_lock_missing_and_out_of_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = projects.make(tmp_path, {})
    fix = "\n  → run `inv lock --flow hello` and commit requirements.lock"
    assert _stale(project) == f"flows/hello/requirements.lock: there is no such file{fix}"
    (tmp_path / "flows/hello/requirements.lock").write_text("a==1\n", encoding="utf-8")
    assert _stale(project) == (
        "flows/hello/requirements.lock: it is out of date with requirements.txt "
        f"(or with what the server needs){fix}"
    )


def test_missing_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = projects.make(tmp_path, {"flows/hello/requirements.txt": None})
    assert _stale(project) == (
        "flows/hello/requirements.txt: there is no such file\n  → list the flow's packages in it"
    )


def test_archives_of_equal_content_are_equal(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("same", encoding="utf-8")
    one, two = (tar_files.pack({"it": tmp_path / name}) for name in ("one", "two"))
    assert one == two
    tar_files.unpack(io.BytesIO(one), tmp_path / "out", "packing")
    assert (tmp_path / "out/file").read_text(encoding="utf-8") == "same"
