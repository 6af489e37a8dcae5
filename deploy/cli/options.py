"""Help texts and validation of flags that many tasks share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

from deploy.core.errors import DeployError

Item = TypeVar("Item")
ENV = "an environment of environments.yaml (default: local)"
# The help of flags that mean the same in most tasks; a task may override it.
SHARED_HELP = {
    "flow": "one flow (default: every flow of the environment)",
    "env": ENV,
    "image": "a file of `inv push`, or a folder of them, that names the image; build nothing",
    "json": "print JSON",
    "trust-registry": "do not verify the registry's image: you trust every client that pushes",
    "yes": "confirm for every flow of an environment other than local",
}


def exactly_one(items: list[Item], option: str) -> Item:
    """Return the only item. Raise `DeployError` if there are several or none."""
    if len(items) != 1:
        raise DeployError(
            option, f"this option is for one flow, not for {len(items)}", "add --flow"
        )
    return items[0]


def require(option: str, value: str | None) -> str:
    """Return `value`. Raise `DeployError` if it is missing."""
    if not value:
        raise DeployError(
            option, "this option is required", "name an environment of environments.yaml"
        )
    return value


def confirm_all(
    consequence: str, environment: str, specs: list[Any], flow: str | None, yes: bool
) -> None:
    """Raise `DeployError` unless `specs` are one flow, local, or confirmed with --yes."""
    if not (flow or yes or environment == "local"):
        message = f"this {consequence} {', '.join(spec.flow.name for spec in specs)}"
        hint = "select one flow with --flow, or confirm with --yes"
        raise DeployError(f"--env {environment}", message, hint)


def parse_positive(option: str, text: str) -> int:
    """Return `text` as a whole number above 0. Raise `DeployError` for other text."""
    if not text.isdecimal() or int(text) < 1:
        raise DeployError(option, f"{text!r} is not a positive whole number")
    return int(text)


def parse_path(
    option: str, path: str | None, hint: str = "`inv push` writes .artifacts/‹flow›.json"
) -> Path | None:
    """Return `path`, None if it is not given. Raise `DeployError` if it does not exist."""
    if path is None:
        return None
    if not Path(path).exists():
        raise DeployError(option, f"the file or folder {path} does not exist", hint)
    return Path(path)


def prompt(question: str) -> str:
    """Return the answer to `question` from the terminal, empty if there is no terminal."""
    return input(question).strip() if sys.stdin.isatty() else ""
