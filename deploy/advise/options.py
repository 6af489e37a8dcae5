"""The options for running a flow, with facts, limits and preferences from advice files.

The advice file of a target is next to its module: `advice.yaml` in a package, and
`‹module›_advice.yaml` for a single module. It is read without importing the target.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from deploy.advise.conditions import Condition, parse_condition
from deploy.config import target_registry
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path

ADVICE_FILE = "advice.yaml"
Value = TypeVar("Value")
STATUS = "In this project"
PLATFORMS = Path(__file__).with_name("platforms")
SOURCES = Path(__file__).with_name("sources.yaml")
# Extensions that come with this repository.
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Availability(Enum):
    """What it takes to use an option."""

    INSTALLED = "a target that is installed"
    EXTENSION = "a target that must be installed first"
    NONE = "a platform without a target"


@dataclass(frozen=True)
class Source:
    """The source of a fact."""

    title: str
    link: str
    # The date of the version that was read; empty for this project's own pages.
    dated: str = ""


@dataclass(frozen=True)
class Fact:
    """A statement and its source."""

    text: str
    source: Source


@dataclass(frozen=True)
class Limit:
    """A hard limit of an option."""

    option: str
    fact: Fact
    # What an answer beyond the limit requires; also shown as what would rule the option out later.
    requirement: str
    exceeded: Condition


@dataclass(frozen=True)
class Preference:
    """A reason that favors an option if limits leave several; `when` has at most one question."""

    option: str
    explanation: str
    fact: Fact
    when: Condition


@dataclass(frozen=True)
class Rule:
    """A value that applies under a condition: settings, a key of environments.yaml or a note."""

    when: Condition
    value: Any


@dataclass(frozen=True)
class Option:
    """A platform that may run a flow."""

    name: str
    title: str
    availability: Availability
    # By the criterion that each describes.
    facts: Mapping[str, Fact]
    limits: tuple[Limit, ...]
    preferences: tuple[Preference, ...]
    # Settings for deploy.yaml.
    settings: tuple[Rule, ...]
    # Keys that environments.yaml must have.
    environment_keys: tuple[Rule, ...]
    notes: tuple[Rule, ...]
    # The key of environments.yaml that only this option uses.
    environment_key: str = ""
    runs_in_azure: bool = True

    @property
    def is_installed(self) -> bool:
        """Return whether deploy.yaml can name the option as a target now."""
        return self.availability is Availability.INSTALLED

    @property
    def has_target(self) -> bool:
        """Return whether a target for the option exists, installed or not."""
        return self.availability is not Availability.NONE


@dataclass(frozen=True)
class SharedSources:
    """Sources and facts about no single option."""

    # The date when the sources were last read.
    read_on: str
    sources: Mapping[str, Source]
    facts: Mapping[str, Fact]
    # Pages to read more.
    guides: tuple[Source, ...]


@functools.cache
def load_options() -> dict[str, Option]:
    """Return all options by name: installed targets, other extensions, other platforms.

    Raises `DeployError` if an advice file is not valid.
    """
    options = {}
    for name, module in target_registry.target_modules().items():
        path = _find_advice_file(module)
        if path.is_file():
            options[name] = _read_option(name, path, Availability.INSTALLED)
    for name, path in _list_example_extensions():
        if name not in options and path.is_file():
            options[name] = _read_option(name, path, Availability.EXTENSION)
    for path in sorted(PLATFORMS.glob("*.yaml")):
        if path.stem not in options:
            options[path.stem] = _read_option(path.stem, path, Availability.NONE)
    return options


def list_targets_without_advice() -> list[str]:
    """Return the names of installed targets that have no advice file."""
    return [name for name in target_registry.target_names() if name not in load_options()]


@functools.cache
def list_azure_options() -> tuple[Option, ...]:
    """Return the options in Azure."""
    return tuple(option for option in load_options().values() if option.runs_in_azure)


@functools.cache
def load_shared_sources() -> SharedSources:
    """Return the sources and facts about no single option."""
    data = _read_yaml(SOURCES)
    sources = {key: _parse_source(source) for key, source in data["sources"].items()}
    return SharedSources(
        str(data["read_on"]),
        sources,
        {key: Fact(fact["text"], sources[fact["source"]]) for key, fact in data["facts"].items()},
        tuple(_parse_source(source) for source in data["guides"]),
    )


def clear_cache() -> None:
    """Read the options again at the next use, because an extension was installed."""
    load_options.cache_clear()
    list_azure_options.cache_clear()


def _find_advice_file(module: str) -> Path:
    """Return the path of the advice file of a target's module, which need not exist."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return Path(ADVICE_FILE)
    origin = Path(spec.origin)
    if spec.submodule_search_locations:
        return origin.with_name(ADVICE_FILE)
    return origin.with_name(f"{origin.stem}_{ADVICE_FILE}")


def _list_example_extensions() -> Iterator[tuple[str, Path]]:
    """Yield the name and the advice file of each target in examples/."""
    for path in sorted(EXAMPLES.glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        points = project.get("entry-points", {}).get(target_registry.ENTRY_POINT_GROUP, {})
        for name, value in points.items():
            yield name, path.parent / value.partition(":")[0] / ADVICE_FILE


def _read_option(name: str, path: Path, availability: Availability) -> Option:
    data = _read_yaml(path)
    try:
        return _parse_option(name, data, availability)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"a key is missing: {error}" if isinstance(error, KeyError) else str(error)
        raise DeployError(display_path(path), what, "docs/extending.md has the format") from None


def _parse_option(name: str, data: Mapping[str, Any], availability: Availability) -> Option:
    sources = dict(load_shared_sources().sources)
    sources |= {key: _parse_source(source) for key, source in data.get("sources", {}).items()}
    facts = {
        criterion: Fact(fact["text"], _look_up(sources, fact["source"], "source"))
        for criterion, fact in data["facts"].items()
    }
    unknown = set(data) - {field.name for field in dataclasses.fields(Option)} - {"sources"}
    if unknown:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    return Option(
        name=name,
        title=data["title"],
        availability=availability,
        facts=facts,
        limits=tuple(
            Limit(
                name,
                _look_up(facts, item["fact"], "fact"),
                item["requirement"],
                parse_condition(item["when"]),
            )
            for item in data.get("limits", ())
        ),
        preferences=tuple(
            Preference(
                name,
                item["explanation"],
                _look_up(facts, item["fact"], "fact"),
                parse_condition(item["when"]),
            )
            for item in data.get("preferences", ())
        ),
        settings=_parse_rules(data, "settings", "set"),
        environment_keys=_parse_rules(data, "environment_keys", "key"),
        notes=_parse_rules(data, "notes", "text"),
        environment_key=data.get("environment_key", ""),
        runs_in_azure=data.get("runs_in_azure", True),
    )


def _look_up(values: Mapping[str, Value], name: str, kind: str) -> Value:
    """Return the source or fact `name`. Raise `ValueError` if the file does not define it."""
    if name not in values:
        raise ValueError(f"the {kind} {name!r} is not defined")
    return values[name]


def _parse_rules(data: Mapping[str, Any], block: str, key: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(parse_condition(item.get("when", {})), item[key]) for item in data.get(block, ())
    )


def _parse_source(data: Mapping[str, Any]) -> Source:
    return Source(data["title"], data["link"], str(data.get("dated", "")))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
    except YAMLError as error:
        raise DeployError(display_path(path), str(error), "correct the YAML") from None
    if not isinstance(data, dict):
        raise DeployError(display_path(path), "a mapping is expected")
    return data
