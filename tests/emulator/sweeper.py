"""Removes containers once the process that started them is gone, however that came about.

`python -m tests.emulator.sweeper LABEL` waits for the end of its standard input. A process that has
cleared up by itself says so there first.
"""

from __future__ import annotations

import sys
import time

LABEL = sys.argv[1] if len(sys.argv) > 1 else ""
# A container that was asked for at the very end comes into being a moment later.
LATE_SECONDS = 3


def main() -> None:
    """Wait, then remove every container that carries the label."""
    if sys.stdin.buffer.read():
        return
    # Only now: it takes memory, and nearly always there is nothing left to do.
    from tests.emulator.engine import connect, remove_all

    client = connect()
    for _ in range(LATE_SECONDS):
        remove_all(client, LABEL)
        time.sleep(1)
    remove_all(client, LABEL)
    client.close()


if __name__ == "__main__":
    main()
