"""Draw the output of commands as a terminal window: `python -m tests.terminal_screenshot`.

They are run for real, and what they print is drawn as it is. The README's is docs/demo.svg.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
COLUMNS = 108
# The font that the library would have browsers fetch from elsewhere: the reader's own will do.
FETCHED = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def draw(title: str, commands: Sequence[str]) -> str:
    """Run `commands`, and return them with all that they print as an SVG.

    Raises `subprocess.CalledProcessError` where one fails: an image of an error is of no use.
    """
    console = Console(record=True, width=COLUMNS, file=Path("/dev/null").open("w"))  # noqa: SIM115
    for command in commands:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text(_output(command)), soft_wrap=False)
    return FETCHED.sub("", console.export_svg(title=title))


def _output(command: str) -> str:
    done = subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout.rstrip()


def main() -> int:
    """Draw the commands that are named into the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", default=["make demo"])
    parser.add_argument("--to", default="docs/demo.svg")
    parser.add_argument("--title", default="flow-deploy")
    options = parser.parse_args()
    (ROOT / options.to).write_text(draw(options.title, options.commands), encoding="utf-8")
    print(options.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
