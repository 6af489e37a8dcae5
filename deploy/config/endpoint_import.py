"""How `inv import.llmops` converts endpoints of the LLMOps template to a target's settings.

A target has the optional attribute `llmops` if the template knows its platform.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ImportNote:
    """A note for the user about a key of the endpoint; an empty key means the whole endpoint."""

    key: str
    what: str
    # What to do about it.
    then: str
    # Whether the conversion assumed a value, in contrast to dropping one.
    is_assumption: bool = False


@dataclass
class ImportedSettings:
    """A flow's settings for the target, and notes on the conversion."""

    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[ImportNote] = field(default_factory=list)

    def add_name(self, texts: Mapping[str, str], key: str, setting: str, pattern: str) -> None:
        """Convert the name at `key` to `setting`, if it is valid."""
        name = texts[key]
        if re.match(pattern, name):
            self.settings[setting] = name
        elif name:
            then = f"write `{setting}` into deploy.yaml, or omit it"
            self.notes.append(ImportNote(key, "Azure does not accept this name", then))

    def read_number(self, texts: Mapping[str, str], key: str) -> int | None:
        """Return the number at `key`; None, with a note, if it is not a number."""
        text = texts[key].rstrip(",").strip()
        if text and not re.fullmatch(r"\d{1,4}", text):
            self.notes.append(ImportNote(key, "this is not a number", "write it into deploy.yaml"))
            return None
        return int(text) if text else None


@dataclass(frozen=True)
class EndpointImport:
    """The conversion of one type of endpoint."""

    # The template's name for the type of endpoint.
    endpoint: str
    # The key that is empty in an entry that the template's user did not fill in.
    identifying_key: str
    # All keys that the conversion uses, beside those of every endpoint.
    keys: tuple[str, ...]
    # Keys of environments.yaml, with values that refer to variables; {prefix} is the environment's.
    place: Mapping[str, str]
    # Convert the texts of `keys`; a missing one is empty.
    convert: Callable[[Mapping[str, str]], ImportedSettings]
    # The key with the resource group, if the endpoint has its own.
    resource_group_key: str = ""
