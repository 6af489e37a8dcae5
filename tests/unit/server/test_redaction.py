"""Masking of secrets in the output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.server import redaction, settings


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
    root = Path(__file__).parents[3]
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


def test_common_parts_of_keys_are_no_secret() -> None:
    secrets = [form.encode() for form in redaction.list_spellings([PRIVATE_KEY])]
    ordinary = b"-----BEGIN PRIVATE KEY-----\nan ordinary line\n\n-----END PRIVATE KEY-----\n"
    assert redaction.mask(ordinary, secrets) == ordinary
    assert redaction.split_secret("a secret of one line") == []


def test_without_secrets_output_is_not_wrapped() -> None:
    redaction.redact_output(["", "short"])()


def test_variables_to_mask_are_named_by_a_variable() -> None:
    environ = {"SERVE_SECRETS": "A,B,C", "A": "one", "C": "", "D": "no"}
    assert settings.list_secrets(environ) == ("one",)
