"""The resource limits of the container: processors, memory, open files.

The limits of processors and memory come from control groups ("Control Group v2", cpu.max and
memory.max; version 1 has other names for them). Without a limit, the machine's resources apply.
"""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# In version 1, a number close to the largest possible means "no limit".
NO_LIMIT = 1 << 60


def count_processors(root: Path = ROOT) -> int:
    """Return the number of processors, rounded up."""
    available = len(os.sched_getaffinity(0))
    quota, period = _quota(root)
    if quota <= 0 or period <= 0:
        return available
    return max(1, min(available, math.ceil(quota / period)))


def read_memory_limit(root: Path = ROOT) -> int:
    """Return the memory limit in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _read(root / name)
        if limit.isdecimal() and 0 < int(limit) < NO_LIMIT:
            return min(machine, int(limit))
    return machine


def read_open_files_limit() -> int:
    """Return how many files and connections a process can have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return NO_LIMIT if soft == resource.RLIM_INFINITY else soft


def _quota(root: Path) -> tuple[int, int]:
    """Return the processor time per period, and the period, in microseconds; 0 for no limit."""
    words = _read(root / "cpu.max").split() or [
        _read(root / "cpu/cpu.cfs_quota_us"),
        _read(root / "cpu/cpu.cfs_period_us"),
    ]
    if len(words) == 2 and all(word.isdecimal() for word in words):
        return int(words[0]), int(words[1])
    return 0, 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
