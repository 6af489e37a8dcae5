"""Output and files of an isolated container are untrusted data: each invalid form is a readable error."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.core.errors import DeployError
from deploy.docker import container_output, tar_files
from deploy.docker.container_output import OutputLimitError
from deploy.evaluation import results

DOING = "packing hello"
PART = {"rows": {}, "metrics": {}, "aggregates": False, "problems": [], "tokens": 0}


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: Any) -> bytes:
    """Return one entry of an archive, as anybody can write it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    padding = bytes(-len(content) % 512)
    return info.tobuf(tarfile.GNU_FORMAT) + content + padding


ARCHIVES: dict[str, tuple[bytes, str]] = {
    "absolute": (member("/etc/passwd"), "it wrote a file outside of its folder: /etc/passwd"),
    "above": (member("out/../../x"), "it wrote a file outside of its folder: out/../../x"),
    "symbolic link": (
        member("out/a", tarfile.SYMTYPE, linkname="/etc/shadow"),
        "out/a is a link",
    ),
    "hard link": (member("out/b", tarfile.LNKTYPE, linkname="/etc/shadow"), "out/b is a link"),
    "through a link": (
        member("out/a", tarfile.SYMTYPE, linkname="/tmp") + member("out/a/x", content=b"x"),
        "out/a is a link",
    ),
    "device": (member("out/null", tarfile.CHRTYPE, devmajor=1), "out/null is a device or a pipe"),
    "pipe": (member("out/pipe", tarfile.FIFOTYPE), "out/pipe is a device or a pipe"),
    "sparse": (
        member("out/huge", tarfile.GNUTYPE_SPARSE),
        "out/huge is a sparse file",
    ),
    "twice": (member("out/a") + member("out/a"), "out/a cannot be written: File exists"),
    "below a file": (
        member("out/a") + member("out/a/b"),
        "out/a/b cannot be written: ",
    ),
    "long name": (member("out/" + "n" * 300), "cannot be written: File name too long"),
    "escapes": (member("out/\x1b[2J\n::error::x/.."), r"outside of its folder: out/\x1b[2J\n"),
    "no archive": (b"<html>" * 200, "its output is not a tar archive ("),
    "cut off": (member("out/a", content=b"x" * 2000)[:1500], "its output is not a tar archive ("),
    "size of nothing": (member("out/a")[:124] + b"\xff" * 12 + member("out/a")[136:], "archive"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_bad_archive_is_a_readable_error(name: str, tmp_path: Path) -> None:
    content, sentence = ARCHIVES[name]
    with pytest.raises(DeployError) as caught:
        tar_files.unpack(io.BytesIO(content + bytes(1024)), tmp_path / "out", DOING)
    assert str(caught.value).startswith(f"{DOING}: ")
    assert sentence in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"out"}


def test_an_archive_of_too_many_files_is_a_readable_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_files, "MAX_FILES", 3)
    archive = tar_files.pack({f"out/{number}": b"" for number in range(4)})
    with pytest.raises(DeployError, match="it wrote more than 3 files"):
        tar_files.unpack(io.BytesIO(archive), tmp_path, DOING)


def test_no_more_is_read_than_the_limit() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 2**20
            yield bytes(2**20)

    with pytest.raises(OutputLimitError, match="it wrote more than 5 MiB of files"):
        container_output.spool_to_file(endless(), 5 * 2**20)
    assert taken == 6 * 2**20


def test_lines_come_whole_whatever_the_frames_are() -> None:
    frames = [(b"on", None), (b"e\ntw", b"trouble"), (b"o\n\nthr", None), (b"ee", b"\n")]
    assert list(container_output.read_lines(frames)) == ["one", "two", ""]


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        ((b"x" * 4096, None), "it printed a line of more than 4 MiB"),
        ((b"x\n" * 2048, None), "it printed more than 64 MiB"),
        ((None, b"x" * 4096), "it printed more than 64 MiB"),
    ],
)
def test_endless_output_ends(frame: container_output.Frame, sentence: str) -> None:
    def endless() -> Iterator[container_output.Frame]:
        while True:
            yield frame

    with pytest.raises(OutputLimitError, match=sentence):
        for _ in container_output.read_lines(endless()):
            pass


EVENTS = {
    "no JSON": "Traceback (most recent call last):",
    "a number": "1",
    "a list": "[1]",
    "no flow": '{"done": 1}',
    "another type": '{"flow": 1, "done": "x"}',
    "deep": "[" * 100_000,
    "long number": '{"flow": "", "done": ' + "9" * 10_000 + "}",
    "a row that is not there": '{"flow": "", "done": 1, "row": 7, "error": "x"}',
    "a row from the end": '{"flow": "", "done": 1, "row": -1, "error": "x"}',
}


@pytest.mark.parametrize("name", EVENTS)
def test_a_bad_line_is_a_readable_error(name: str) -> None:
    with pytest.raises(DeployError) as caught:
        results.parse_event(EVENTS[name], 3, DOING)
    assert str(caught.value).startswith(f"{DOING}: a line of the output is ")


def test_lines_that_are_good() -> None:
    assert results.parse_event("{}", 3, DOING) is None
    found = results.parse_event(r'{"flow": "", "done": 1, "row": 2, "error": "\ud800"}', 3, DOING)
    assert found and (found.row, found.error) == (2, "?")


def deep(levels: int) -> str:
    return '{"flow": ' + "[" * levels + "]" * levels + "}"


RESULTS: dict[str, Callable[[], str]] = {
    "no JSON": lambda: "never",
    "deep": lambda: deep(100_000),
    "a list": lambda: "[]",
    "nothing": lambda: "{}",
    "rows of another type": lambda: json.dumps({"flow": {**PART, "rows": []}, "evaluations": []}),
    "a row without a number": lambda: json.dumps(
        {"flow": {**PART, "rows": {"x": {}}}, "evaluations": []}
    ),
    "a row that is not there": lambda: json.dumps(
        {"flow": {**PART, "rows": {"3": {}}}, "evaluations": []}
    ),
    "one flow too many": lambda: json.dumps({"flow": PART, "evaluations": [PART] * 2}),
    "tokens without end": lambda: json.dumps({"flow": {**PART, "tokens": 10**40}}),
    "digits without end": lambda: '{"flow": ' + "9" * 10_000 + "}",
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_bad_result_is_a_readable_error(name: str) -> None:
    archive = io.BytesIO(tar_files.pack({"out/result.json": RESULTS[name]().encode()}))
    with pytest.raises(DeployError) as caught:
        results.read_results(archive, ("", "judge"), 3, DOING)
    assert str(caught.value).startswith(f"{DOING}: result.json ")


def test_no_result_is_a_readable_error() -> None:
    archive = io.BytesIO(tar_files.pack({"out/empty": b""}))
    with pytest.raises(DeployError, match="the flow's code ended the process"):
        results.read_results(archive, ("",), 3, DOING)


def test_the_error_of_the_container_is_reported() -> None:
    archive = io.BytesIO(tar_files.pack({"out/result.json": b'{"problem": "no module x"}'}))
    with pytest.raises(DeployError, match="packing hello: no module x"):
        results.read_results(archive, ("",), 3, DOING)
