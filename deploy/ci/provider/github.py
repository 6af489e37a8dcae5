"""GitHub Actions: files that a step may write, and commands (GitHub Docs, "Workflow commands")."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.ci.provider.annotations import find_location
from deploy.core.ci_system import Level
from deploy.core.errors import Problem

# The limit for a step's summary; a larger file is not shown at all.
MAX_SUMMARY_BYTES = 1024 * 1024
TRUNCATION_NOTE = "\n_This summary is incomplete, as its size is limited. The log has the rest._\n"
# actions/runner, `ActionCommand.cs`: commands start a line; those of the older form can be
# anywhere in it. In .NET a carriage return ends a line, too.
_COMMAND_PREFIX = re.compile(r"(?:^|(?<=[\r\n]))[^\S\r\n]*:(?=:)|#(?=#\[)")


class GitHub:
    """A step of a job in GitHub Actions; `environ` has the paths of files that it may write."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def output(self, name: str, value: str) -> None:
        """Write to GITHUB_OUTPUT, between random delimiters that no value can contain."""
        if path := self._environ.get("GITHUB_OUTPUT"):
            delimiter = f"end_{secrets.token_hex(16)}"
            _append(Path(path), f"{name}<<{delimiter}\n{value}\n{delimiter}\n")

    def summary(self, sections: Sequence[str]) -> None:
        """Write to GITHUB_STEP_SUMMARY; replace sections that exceed the limit by a note."""
        if not (path := self._environ.get("GITHUB_STEP_SUMMARY")):
            return
        file = Path(path)
        for section in sections:
            text = f"{section.strip()}\n\n"
            room = MAX_SUMMARY_BYTES - (file.stat().st_size if file.exists() else 0)
            if len(text.encode()) <= room - len(TRUNCATION_NOTE):
                _append(file, text)
            elif room >= len(TRUNCATION_NOTE):
                _append(file, TRUNCATION_NOTE)

    def annotate(self, level: Level, problem: Problem) -> None:
        """Print an annotation. The page of a run shows the first ten of each level per step."""
        location = find_location(problem.where, self._environ.get("GITHUB_WORKSPACE"))
        values = {
            "file": location.file if location else None,
            "line": location.line if location else None,
        }
        values |= {"title": problem.where}
        properties = ",".join(f"{k}={_escape_property(str(v))}" for k, v in values.items() if v)
        text = problem.what + (f"\n→ {problem.hint}" if problem.hint else "")
        print(f"::{level} {properties}::{_escape_data(text)}", file=sys.stderr, flush=True)

    def begin(self, title: str) -> str:
        """Return the command that begins a group of log lines."""
        return f"::group::{_escape_data(title)}"

    def end(self) -> str:
        """Return the command that ends a group."""
        return "::endgroup::"

    def escape_commands(self, text: str) -> str:
        """Return `text` with a space inserted into each prefix of a command."""
        return _COMMAND_PREFIX.sub(lambda match: f"{match[0]} ", text)


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


# actions/toolkit, `packages/core/src/command.ts`.
def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
