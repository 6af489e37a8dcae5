"""Removes containers once the process that started them is gone, however that came about.

`python -m tests.emulator.sweeper LABEL` waits for the end of its standard input.
"""

from __future__ import annotations

import sys

LABEL = sys.argv[1] if len(sys.argv) > 1 else ""


def main() -> None:
    """Wait, then remove every container that carries the label."""
    sys.stdin.buffer.read()
    # Only now: it takes memory, and nearly always there is nothing left to do.
    from tests.emulator.engine import connect, remove_all

    client = connect()
    remove_all(client, LABEL)
    client.close()


if __name__ == "__main__":
    main()
