"""Scan an image for secrets before every push: all of its layers and its configuration.

The scan searches for two kinds of secrets. Values of this environment (`known_secrets`) are errors
everywhere, without exceptions. Texts with the pattern of a secret (`secret_patterns`, `entropy`)
are errors except in files that packages installed unchanged (`package_files`); a flow's deploy.yaml
may list further exceptions, each with its reason.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.config import secret_patterns
from deploy.core import progress
from deploy.core.entities import AllowedSecret, Flow
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import display_path
from deploy.docker.image_archive import ImageArchive
from deploy.server import redaction
from deploy.supply_chain.secret_scan import encodings, layers
from deploy.supply_chain.secret_scan.layers import Finding
from deploy.supply_chain.secret_scan.secret_matcher import SecretMatcher

# Number of lines that a problem lists for one location.
MAX_LINES = 5


def refuse_secrets(
    archive: ImageArchive, flow: Flow, secrets: Mapping[str, str], cache: Path | None = None
) -> None:
    """Raise `DeployError` with a problem for every location in `archive` that holds a secret.

    `secrets` are names and values that the image must not contain
    (`known_secrets.collect_secrets`). `cache` is a folder for the scans of layers without a
    finding. No message quotes what was found.
    """
    matcher = SecretMatcher(secrets)
    hits = list(_scan_configuration(archive.config, matcher))
    hits += layers.search_layers(archive.layers, matcher, cache)
    _report_unused_exceptions(flow, hits)
    violations = [hit for hit in hits if hit.is_known or not _is_allowed(hit, flow.allow_secrets)]
    problems = [_create_problem(group, flow, matcher) for group in _group_findings(violations)]
    if problems:
        raise DeployError.from_problems(problems)


def _scan_configuration(config: Mapping[str, Any], matcher: SecretMatcher) -> Iterator[Finding]:
    """Yield the secrets in an image's history, environment, labels and all other settings."""
    for place, text, value in _list_configuration_texts(config):
        data = text.encode()
        for name, _ in matcher.find(data):
            yield Finding(place, place, name, is_known=True)
        whole_rule = secret_patterns.recognise_whole_value(value)
        for rule in [
            *(rule for rule, _ in encodings.find_secrets(data)),
            *([whole_rule] if whole_rule else []),
        ]:
            yield Finding(place, place, rule)


def _list_configuration_texts(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each text's place for users, the text, and only the value in it."""
    for number, line in enumerate(config.get("history") or (), 1):
        text = "\n".join(str(part) for part in line.values())
        yield f"history line {number}", text, ""
    settings = {key: value for key, value in config.items() if key not in ("history", "rootfs")}
    for keys, text in _walk_texts(settings, ()):
        if keys[-1] == "Env":
            name, _, value = text.partition("=")
            yield f"variable {name}", text, value
        elif keys[-2:-1] == ("Labels",):
            yield f"label {keys[-1]}", f"{keys[-1]}={text}", text
        else:
            yield f"configuration {'.'.join(keys)}", text, text


def _walk_texts(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk_texts(inner, (*keys, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _walk_texts(inner, keys)
    elif isinstance(value, str):
        yield keys, value


def _is_allowed(hit: Finding, exceptions: Iterable[AllowedSecret]) -> bool:
    return any(_is_match(hit, exception) for exception in exceptions)


def _is_match(hit: Finding, exception: AllowedSecret) -> bool:
    path_matches = fnmatch.fnmatchcase(hit.path, exception.file.lstrip("/"))
    return path_matches and hit.rule == exception.rule and not hit.is_known


def _report_unused_exceptions(flow: Flow, hits: list[Finding]) -> None:
    for exception in flow.allow_secrets:
        if not any(_is_match(hit, exception) for hit in hits):
            message = f"allow_secrets: nothing in {exception.file} looks like {exception.rule}"
            progress.note(
                "scan", f"{message}; remove the exception from {_format_config_path(flow)}"
            )


def _group_findings(hits: list[Finding]) -> list[list[Finding]]:
    """Return the hits grouped by location and rule: a group is one problem, with all lines."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for hit in hits:
        groups.setdefault((hit.location, hit.rule), []).append(hit)
    return list(groups.values())


def _create_problem(hits: list[Finding], flow: Flow, matcher: SecretMatcher) -> Problem:
    first = hits[0]
    location = _mask_location(first.location, matcher) + _format_lines(hits)
    if first.is_known:
        hint = (
            "remove it, and rotate it if it is secret; otherwise list its variable under env.clear"
        )
        return Problem(location, f"this contains the value of {first.rule}", hint)
    hint = (
        "remove it and rotate it, or list it with a reason: allow_secrets in "
        f"{_format_config_path(flow)}"
    )
    return Problem(location, f"this looks like {first.rule}", hint)


def _format_lines(hits: list[Finding]) -> str:
    lines = sorted({hit.line for hit in hits if hit.line})
    if not lines:
        return ""
    more = f" and {len(lines) - MAX_LINES} more" if len(lines) > MAX_LINES else ""
    numbers = ", ".join(str(line) for line in lines[:MAX_LINES])
    return f", line{'s' if len(lines) > 1 else ''} {numbers}{more}"


def _mask_location(place: str, matcher: SecretMatcher) -> str:
    """Return `place` without secrets: names of files and labels may contain them, too."""
    data = matcher.mask(place.encode("utf-8", "surrogateescape"))
    for _, start, end in sorted(secret_patterns.find_secrets(data), key=lambda match: -match[1]):
        data = data[:start] + redaction.MASK + data[end:]
    return data.decode("utf-8", "replace")


def _format_config_path(flow: Flow) -> str:
    return display_path(flow.folder / "deploy.yaml")
