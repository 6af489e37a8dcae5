"""inv advise as a function."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deploy.advise.answers import QUESTIONS

INV = str(Path(sys.executable).with_name("inv"))


def advise(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INV, "advise", *arguments],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class Terminal:
    """`inv advise` with a terminal and typed answers."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self._keys, side = os.openpty()
        self.process = subprocess.Popen(
            [INV, "advise", *arguments],
            cwd=root,
            stdin=side,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(side)

    def until(self, text: str) -> str:
        """Return what is said up to `text`, and with it."""
        said, stream = b"", self.process.stderr
        assert stream
        while not said.endswith(text.encode()):
            byte = stream.read(1)
            assert byte, said.decode()
            said += byte
        return said.decode()

    def type(self, text: str) -> None:
        os.write(self._keys, text.encode())

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        os.close(self._keys)
        return self.process.returncode, out.decode(), err.decode()


def given(*but: str) -> list[str]:
    """Return flags for the default of every question but some."""
    return [part for one in QUESTIONS if one.name not in but for part in (one.flag, one.default)]
