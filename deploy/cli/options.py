"""Help texts and validation of flags that many tasks share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

from deploy.core.errors import DeployError

Item = TypeVar("Item")
FLOW = "one flow (default: every flow of the environment)"
ENV = "an environment of environments.yaml (default: local)"
JSON = "print JSON"
IMAGE = "a file that `inv push` wrote, or their folder: builds nothing"
TRUST = "use an image of the registry unverified, where you trust everyone who may push to it"
YES = "confirm for every flow of an environment other than local"


def exactly_one(items: list[Item], option: str) -> Item:
    """Return the only item. Raise `DeployError` if there are several or none."""
    if len(items) != 1:
        raise DeployError(option, f"it is for one flow, not for {len(items)}", "add --flow")
    return items[0]


def require(option: str, value: str | None) -> str:
    """Return `value`. Raise `DeployError` if it is missing."""
    if not value:
        raise DeployError(option, "it is missing", "name an environment of environments.yaml")
    return value


def require_yes(consequence: str, environment: str, flows: list[str]) -> None:
    """Raise `DeployError` so that a whole environment is not changed by accident."""
    message = f"this {consequence} {', '.join(flows)}"
    raise DeployError(f"--env {environment}", message, "name one with --flow, or add --yes")


def parse_positive(option: str, text: str) -> int:
    """Return `text` as a whole number above 0. Raise `DeployError` for other text."""
    if not text.isdecimal() or int(text) < 1:
        raise DeployError(option, f"{text!r} is no whole number above 0")
    return int(text)


def parse_path(
    option: str, path: str | None, hint: str = "`inv push` writes .artifacts/‹flow›.json"
) -> Path | None:
    """Return `path`, None if it is not given. Raise `DeployError` if it does not exist."""
    if path is None:
        return None
    if not Path(path).exists():
        raise DeployError(option, f"there is no file or folder {path}", hint)
    return Path(path)


def prompt(question: str) -> str:
    """Return the answer to `question` from the terminal, empty if there is no terminal."""
    return input(question).strip() if sys.stdin.isatty() else ""
