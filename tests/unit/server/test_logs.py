"""The log's two formats, in processes of their own: logging belongs to a process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.server import redaction, settings
from deploy.server.scorer import StartupError

ROOT = Path(__file__).parents[3]


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code`; its log is on standard error."""
    head = "import logging, sys\nfrom deploy.server import logs\n"
    return subprocess.run(
        [sys.executable, "-c", head + code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def lines(code: str) -> list[dict[str, Any]]:
    """Return the objects that `code` logs as JSON."""
    return [
        json.loads(line) for line in run("logs.start('info', 'json')\n" + code).stderr.splitlines()
    ]


def test_a_line_has_time_level_logger_and_message() -> None:
    (line,) = lines("logging.getLogger('serve').info('a %s', 'b\\nc')")
    time = line.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert line == {"level": "info", "logger": "serve", "message": "a b\nc"}


def test_the_line_of_a_request_has_fields() -> None:
    (line,) = lines(
        "logs.request_id.set('r1'); logs.trace_id.set('t1')\n"
        "logging.getLogger('serve').info('x', extra={'status': 200, 'duration_ms': 1.5, 'inputs': 'no'})"
    )
    line.pop("time")
    assert line == {
        "level": "info",
        "logger": "serve",
        "message": "x",
        "request_id": "r1",
        "trace_id": "t1",
        "status": 200,
        "duration_ms": 1.5,
    }


def test_ids_are_those_of_the_request_in_threads_that_work_for_it() -> None:
    found = lines(
        """
import asyncio, anyio.to_thread
log = logging.getLogger("serve")
async def request(name):
    logs.request_id.set(name)
    await anyio.to_thread.run_sync(log.info, name)
async def main():
    await asyncio.gather(request("a"), request("b"))
    log.info("")
asyncio.run(main())
"""
    )
    assert sorted((line["message"], line.get("request_id", "")) for line in found) == [
        ("", ""),
        ("a", "a"),
        ("b", "b"),
    ]


def test_an_exception_is_one_field() -> None:
    (line,) = lines(
        "try: 1 / 0\nexcept ZeroDivisionError: logging.getLogger('serve').exception('failed')"
    )
    assert line["message"] == "failed"
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    "code",
    [
        "raise KeyError('x')",
        "import threading\nt = threading.Thread(target=lambda: {}['x']); t.start(); t.join()",
    ],
)
def test_an_uncaught_exception_is_one_line(code: str) -> None:
    (line,) = lines(code)
    assert (line["level"], line["message"]) == ("critical", "uncaught")
    assert line["exception"].endswith("KeyError: 'x'")


def test_warnings_are_lines_too() -> None:
    (line,) = lines("import warnings; warnings.warn('old')")
    assert line["level"] == "warning"
    assert "UserWarning: old" in line["message"]


def test_a_line_that_cannot_be_encoded_is_not_lost() -> None:
    (line,) = lines("logging.getLogger('serve').info('half %s', '\\ud800')")
    assert line["message"] == "half ?"


def test_other_libraries_handlers_are_taken_away() -> None:
    """As promptflow makes them: one past getLogger, one that does not propagate."""
    found = lines(
        """
import types
own = logging.Logger("execution"); own.addHandler(logging.StreamHandler(sys.stderr))
sys.modules["promptflow._utils.logger_utils"] = types.SimpleNamespace(logger=own)
other = logging.getLogger("promptflow.x"); other.propagate = False
other.addHandler(logging.StreamHandler(sys.stderr))
server = logging.getLogger("uvicorn.error"); server.addHandler(logging.StreamHandler(sys.stderr))
logs.remove_foreign_handlers()
own.warning("one"); other.error("two"); server.warning("three")
"""
    )
    assert [(line["logger"], line["message"]) for line in found] == [
        ("execution", "one"),
        ("promptflow.x", "two"),
        ("uvicorn.error", "three"),
    ]


def test_a_file_handler_of_the_flow_stays(tmp_path: Path) -> None:
    path = tmp_path / "own.log"
    done = run(
        "logs.start('info', 'json')\nlog = logging.getLogger('flow')\n"
        f"log.addHandler(logging.FileHandler({str(path)!r})); logs.remove_foreign_handlers(); log.info('kept')"
    )
    assert path.read_text("utf-8") == "kept\n"
    assert "kept" in done.stderr


def test_text() -> None:
    done = run(
        "logs.start('warning', 'text')\nlog = logging.getLogger('serve')\nlog.info('no')\nlog.error('yes')"
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR serve yes\n", done.stderr)


def test_loggers_that_write_inputs_are_quiet_at_info() -> None:
    assert (
        lines(
            "logging.getLogger('promptflow').info('inputs'); logging.getLogger('openai').info('x')"
        )
        == []
    )


def test_announcing_in_both_formats() -> None:
    done = run("logs.announce('serving a', 'text'); logs.announce('serving a', 'json')")
    text, line = done.stdout.splitlines()
    assert text == "serving a"
    assert json.loads(line)["message"] == "serving a"
    assert json.loads(line)["level"] == "info"


@pytest.mark.parametrize(
    "secret", ['quote"back\\slash', "line\nbreak-key", "schlüssel-wort", "plain-secret"]
)
def test_a_secret_within_json_is_masked(secret: str) -> None:
    done = run(
        "from deploy.server import redaction\nimport os\n"
        f"secret = {secret!r}\n"
        "finish = redaction.redact_output([secret])\n"
        "logs.start('info', 'json')\n"
        "logging.getLogger('serve').error('the key %s is wrong', secret)\n"
        "import json; print(json.dumps({'a': secret}), flush=True)\n"
        "finish(); os._exit(0)"
    )
    assert json.loads(done.stderr)["message"] == "the key *** is wrong"
    assert json.loads(done.stdout) == {"a": "***"}


def test_forms_are_the_longest_first_and_none_is_short() -> None:
    assert redaction.list_spellings(["short", "", 'long"one', "longest-one"]) == [
        "longest-one",
        'long\\"one',
        'long"one',
    ]


def test_the_format_is_a_setting() -> None:
    assert settings.read({}).log_format == "text"
    assert settings.read({"SERVE_LOG_FORMAT": "JSON"}).log_format == "json"
    with pytest.raises(StartupError) as caught:
        settings.read({"SERVE_LOG_FORMAT": "xml"})
    assert str(caught.value) == "SERVE_LOG_FORMAT is 'xml': set one of text, json"
