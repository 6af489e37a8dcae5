"""The limits of an isolated container: those that the engine can hold."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import Mock

import pytest

from deploy.docker import isolated_container

EVERYTHING = {"MemoryLimit": True, "SwapLimit": True, "PidsLimit": True, "CpuCfsQuota": True}


def created(**facts: Any) -> dict[str, Any]:
    client = Mock()
    client.info.return_value = facts
    with isolated_container.new_container(client, "image", ["true"], "testing", {}):
        pass
    given: dict[str, Any] = client.containers.create.call_args.kwargs
    return given


@pytest.mark.parametrize(("processors", "share"), [(1, 1), (2, 2), (3, 2), (16, 8)])
def test_all_limits_and_half_of_the_processors(processors: int, share: int) -> None:
    given = created(NCPU=processors, **EVERYTHING)
    assert given["mem_limit"] == given["memswap_limit"] == 4 * 2**30
    assert given["pids_limit"] == 512
    assert given["nano_cpus"] == share * 10**9
    assert given["network_mode"] == "none"
    assert {one["Name"]: one["Hard"] for one in given["ulimits"]} == {"fsize": 2**32, "core": 0}
    assert given["log_config"]["Config"] == {"max-size": "1m"}


def test_an_engine_gets_only_supported_limits() -> None:
    given = created(NCPU=2, PidsLimit=True, MemoryLimit=False)
    assert given["pids_limit"] == 512
    assert not {"mem_limit", "memswap_limit", "nano_cpus"} & set(given)


def test_an_empty_archive_is_requested_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    container = Mock()
    response = container.client.api._get.return_value
    response.iter_content.side_effect = [iter([]), iter([b""]), iter([b"the ", b"archive"])]
    with isolated_container.copy_archive(container, "/out", "testing", 100) as archive:
        assert archive.read() == b"the archive"
    assert pauses == [0.1, 0.5]
    assert response.close.call_count == 3
