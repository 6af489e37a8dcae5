"""Processors and memory of a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.server import limits

MACHINE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000", MACHINE),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("900000000 100000", MACHINE),
    ],
)
def test_processors_of_a_container(tmp_path: Path, quota: str, count: int) -> None:
    (tmp_path / "cpu.max").write_text(quota, encoding="ascii")
    assert limits.count_processors(tmp_path) == count


def test_processors_in_version_1_of_control_groups(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("100000\n", encoding="ascii")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert limits.count_processors(tmp_path) == 1
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n", encoding="ascii")
    assert limits.count_processors(tmp_path) == MACHINE


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_of_a_container(tmp_path: Path, name: str) -> None:
    (tmp_path / "memory").mkdir()
    machine = limits.read_memory_limit(tmp_path)
    (tmp_path / name).write_text("123456789\n", encoding="ascii")
    assert limits.read_memory_limit(tmp_path) == 123456789
    for unlimited in ("max\n", "9223372036854771712\n"):
        (tmp_path / name).write_text(unlimited, encoding="ascii")
        assert limits.read_memory_limit(tmp_path) == machine
