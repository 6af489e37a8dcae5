"""Settings of the server from variables."""

from __future__ import annotations

import pytest

from deploy.server import limits, settings
from deploy.server.scorer import StartupError


def test_settings_have_defaults_and_take_variables() -> None:
    default = settings.read({})
    assert (default.grace, default.timeout, default.log_level) == (20, 170, "info")
    assert default.queue == 4 * default.threads
    given = settings.read({"SERVE_THREADS": "8", "SERVE_GRACE": "", "SERVE_LOG_LEVEL": "WARNING"})
    assert (given.threads, given.queue, given.grace, given.log_level) == (8, 32, 20, "warning")
    assert settings.read({"SERVE_SHORTCUTS": "False", "SERVE_QUEUE": "0"}).patches is False


@pytest.mark.parametrize(
    ("patches", "fast_client", "used"),
    [("", "", True), ("true", "false", False), ("false", "true", False), ("false", "", False)],
)
def test_the_fast_client_has_a_variable_and_needs_the_other_patches(
    patches: str, fast_client: str, used: bool
) -> None:
    given = settings.read({"SERVE_SHORTCUTS": patches, "SERVE_FAST_CLIENT": fast_client})
    assert given.fast_client is used
    assert given.patches is (patches != "false")


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
            "SERVE_THREADS is 'many': set a whole number, 1 or more, or unset it for 128",
        ),
        (
            {"SERVE_GRACE": "0"},
            "SERVE_GRACE is '0': set a whole number, 1 or more, or unset it for 20",
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
def test_invalid_settings_are_readable_errors(environ: dict[str, str], message: str) -> None:
    with pytest.raises(StartupError) as caught:
        settings.read(environ)
    assert str(caught.value) == message
