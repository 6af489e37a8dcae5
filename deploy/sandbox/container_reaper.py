"""Remove containers after the end of the process that started them, even if it was killed.

`python -m deploy.sandbox.container_reaper LABEL` waits for the end of its standard input. A process
that has removed its containers itself writes something there first.
"""

from __future__ import annotations

import sys
import time

LABEL = sys.argv[1] if len(sys.argv) > 1 else ""
# A container that was requested at the very end may appear a moment later.
LATE_SECONDS = 3


def main() -> None:
    """Wait, then remove every container with the label."""
    if sys.stdin.buffer.read():
        return
    # Imported late to save memory: nearly always there is nothing left to remove.
    from deploy.sandbox.engine import connect, remove_labelled_containers

    client = connect()
    for _ in range(LATE_SECONDS):
        remove_labelled_containers(client, LABEL)
        time.sleep(1)
    remove_labelled_containers(client, LABEL)
    client.close()


if __name__ == "__main__":
    main()
