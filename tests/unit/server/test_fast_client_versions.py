"""The fast client loads only with versions of other libraries that it was tested with."""

from __future__ import annotations

import logging
import sys
from types import ModuleType

import pytest

from deploy.server.fast_client import versions
from tests.documented import ROOT

TESTED = {library: tested[-1] for library, tested in versions.TESTED.items()}
NAMES = ("openai", "httpx2", "httpcore2", "httptools", "pydantic")


def create_module(name: str, version: str | None) -> ModuleType:
    module = ModuleType(name)
    if version is not None:
        module.__dict__["__version__"] = version
    return module


def create_sdk(version: str, http: str = "httpx2") -> ModuleType:
    """Return a module that has of openai what names its version and its HTTP library."""
    client = type("Client", (), {"__module__": f"{http}._client"})
    sdk = create_module("openai", version)
    own = {"__module__": "openai._base_client"}
    sdk.__dict__["DefaultHttpxClient"] = type("DefaultHttpxClient", (client,), own)
    return sdk


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType | None]:
    """The libraries in tested versions, as imported: change them with `install`."""
    for name in NAMES[1:]:
        monkeypatch.setitem(sys.modules, name, create_module(name, TESTED[name]))
    monkeypatch.setitem(sys.modules, "openai", create_sdk(TESTED["openai"]))
    return sys.modules  # type: ignore[return-value]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert {record.name for record in caplog.records} <= {"serve.fast_client"}
    return [record.getMessage() for record in caplog.records]


def test_tested_versions_are_supported_without_a_line(
    libraries: dict[str, ModuleType | None], caplog: pytest.LogCaptureFixture
) -> None:
    assert versions.is_supported()
    assert lines(caplog) == []


@pytest.mark.parametrize("version", ["99.0.0", "0.1.0", "3.54.0.post1", "main", "", "3.54"])
@pytest.mark.parametrize("name", NAMES)
def test_any_other_version_is_refused_in_one_line(
    name: str,
    version: str,
    libraries: dict[str, ModuleType | None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Newer, older, close to a tested one, or no version at all."""
    libraries[name] = create_sdk(version) if name == "openai" else create_module(name, version)
    assert not versions.is_supported()
    (line,) = lines(caplog)
    found = f"{name} {version}" if version else f"a missing {name}"
    assert line == (
        "the OpenAI SDK sends all requests, since the fast client is not tested with "
        f"{found} (tested: {', '.join(versions.TESTED[name])})"
    )


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_missing_library_is_refused(
    name: str, libraries: dict[str, ModuleType | None], caplog: pytest.LogCaptureFixture
) -> None:
    # Importing it raises ModuleNotFoundError.
    libraries[name] = None
    assert not versions.is_supported()
    (line,) = lines(caplog)
    assert f" a missing {name} (tested: " in line


def test_a_library_without_a_version_is_refused(
    libraries: dict[str, ModuleType | None], caplog: pytest.LogCaptureFixture
) -> None:
    libraries["httpcore2"] = create_module("httpcore2", None)
    assert not versions.is_supported()
    assert " httpcore2 without a version (tested: 2.16.2)" in lines(caplog)[0]


def test_several_untested_versions_are_in_the_same_line(
    libraries: dict[str, ModuleType | None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    libraries["openai"] = create_sdk("4.0.0", "httpx3")
    monkeypatch.setitem(sys.modules, "httpx3", create_module("httpx3", "3.0.0"))
    monkeypatch.setitem(sys.modules, "httpcore3", create_module("httpcore3", "3.1.0"))
    libraries["httptools"] = create_module("httptools", "1.0.0")
    assert not versions.is_supported()
    (line,) = lines(caplog)
    for text in ("openai 4.0.0 (", "httpx3 3.0.0 (tested: none)", "httpcore3 3.1.0", "httptools 1"):
        assert text in line
    assert "pydantic" not in line


def test_the_older_sdk_is_checked_with_its_own_http_library(
    libraries: dict[str, ModuleType | None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    libraries["openai"] = create_sdk("2.54.0", "httpx")
    for name in ("httpx", "httpcore"):
        monkeypatch.setitem(sys.modules, name, create_module(name, TESTED[name]))
    assert versions.is_supported()
    libraries["httpcore"] = create_module("httpcore", "9")
    assert not versions.is_supported()
    assert "with httpcore 9 (" in lines(caplog)[0]


def test_the_page_lists_the_tested_versions() -> None:
    page = (ROOT / "docs/fast-client.md").read_text("utf-8")
    rows = "".join(f"| {name} | {', '.join(one)} |\n" for name, one in versions.TESTED.items())
    assert f"| library | tested versions |\n|---|---|\n{rows}\n" in page


def test_a_flow_without_a_model_has_nothing_to_report(
    libraries: dict[str, ModuleType | None], caplog: pytest.LogCaptureFixture
) -> None:
    # The image has a stub in place of the SDK.
    libraries["openai"] = create_module("openai", None)
    assert not versions.is_supported()
    del libraries["openai"]
    assert not versions.is_supported()
    assert lines(caplog) == []
