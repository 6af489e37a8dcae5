"""GitHub Actions: files that a step may write, and commands (GitHub Docs, "Workflow commands")."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.errors import Problem
from deploy.job.problems import Level, place

# Of a step's summary; a file that is larger is not shown at all.
LIMIT = 1024 * 1024
LEFT_OUT = "\n_More did not fit into this summary; the log has it._\n"
# actions/runner, `ActionCommand.cs`: at the beginning of a line, and the older form anywhere. To
# .NET a carriage return ends a line, too.
_COMMAND = re.compile(r"(?:^|(?<=[\r\n]))[^\S\r\n]*:(?=:)|#(?=#\[)")


class GitHub:
    """A step of a job; `environ` has the files that it may write."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def output(self, name: str, value: str) -> None:
        """Write into GITHUB_OUTPUT, between delimiters that no value can foresee."""
        if path := self._environ.get("GITHUB_OUTPUT"):
            end = f"end_{secrets.token_hex(16)}"
            _append(Path(path), f"{name}<<{end}\n{value}\n{end}\n")

    def summary(self, sections: Sequence[str]) -> None:
        """Write into GITHUB_STEP_SUMMARY; what does not fit is left out, and that said."""
        if not (path := self._environ.get("GITHUB_STEP_SUMMARY")):
            return
        file = Path(path)
        for section in sections:
            text = f"{section.strip()}\n\n"
            room = LIMIT - (file.stat().st_size if file.exists() else 0)
            if len(text.encode()) <= room - len(LEFT_OUT):
                _append(file, text)
            elif room >= len(LEFT_OUT):
                _append(file, LEFT_OUT)

    def annotate(self, level: Level, problem: Problem) -> None:
        """Print an annotation; of each level the page of a run shows the first ten of a step."""
        found = place(problem.where, self._environ.get("GITHUB_WORKSPACE"))
        about = {"file": found.file if found else None, "line": found.line if found else None}
        about |= {"title": problem.where}
        properties = ",".join(f"{k}={_property(str(v))}" for k, v in about.items() if v)
        text = problem.what + (f"\n→ {problem.hint}" if problem.hint else "")
        print(f"::{level} {properties}::{_data(text)}", file=sys.stderr, flush=True)

    def begin(self, title: str) -> str:
        """Return the command that begins a group."""
        return f"::group::{_data(title)}"

    def end(self) -> str:
        """Return the command that ends it."""
        return "::endgroup::"

    def inert(self, text: str) -> str:
        """Return `text` with a space within what begins a command."""
        return _COMMAND.sub(lambda found: f"{found[0]} ", text)


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


# actions/toolkit, `packages/core/src/command.ts`.
def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
