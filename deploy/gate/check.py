"""The secret scan before every push: no secret in a layer of an image, nor in its configuration.

Two kinds of thing are looked for. What this environment holds (`values`): everywhere, and nothing
excuses it. What has the pattern of a secret (`shapes`, `entropy`): everywhere but in files that
packages brought unchanged (`packaged`), and a flow's deploy.yaml may list exceptions, each with its
reason.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy import console
from deploy.docker.image_archive import ImageArchive
from deploy.documents import show
from deploy.errors import DeployError, Problem
from deploy.gate import encodings, layers, shapes
from deploy.gate.layers import Hit
from deploy.gate.values import Needles
from deploy.model import AllowedSecret, Flow
from deploy.runtime import redaction

# How many lines of one place are named.
LINES = 5


def refuse_secrets(
    archive: ImageArchive, flow: Flow, hidden: Mapping[str, str], cache: Path | None = None
) -> None:
    """Raise `DeployError` with a problem for every place of `archive` that holds a secret.

    `hidden` are names and values that must not be in it (`values.of`). `cache` is a folder for the
    outlines of layers without a finding. No message quotes what was found.
    """
    wanted = Needles(hidden)
    hits = list(_in_configuration(archive.config, wanted))
    hits += layers.search(archive.layers, wanted, cache)
    _tell_unused(flow, hits)
    left = [hit for hit in hits if hit.known or not _allowed(hit, flow.allow_secrets)]
    problems = [_problem(group, flow, wanted) for group in _grouped(left)]
    if problems:
        raise DeployError.of(problems)


def _in_configuration(config: Mapping[str, Any], wanted: Needles) -> Iterator[Hit]:
    """Yield what is in an image's history, environment, labels, and all else of its settings."""
    for place, text, value in _texts_of(config):
        data = text.encode()
        for name, _ in wanted.find(data):
            yield Hit(place, place, name, known=True)
        whole = shapes.recognise_whole(value)
        for rule in [*(rule for rule, _ in encodings.find(data)), *([whole] if whole else [])]:
            yield Hit(place, place, rule)


def _texts_of(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each text with what people call its place, and the value alone in it."""
    for number, line in enumerate(config.get("history") or (), 1):
        text = "\n".join(str(part) for part in line.values())
        yield f"history line {number}", text, ""
    settings = {key: value for key, value in config.items() if key not in ("history", "rootfs")}
    for keys, text in _texts(settings, ()):
        if keys[-1] == "Env":
            name, _, value = text.partition("=")
            yield f"variable {name}", text, value
        elif keys[-2:-1] == ("Labels",):
            yield f"label {keys[-1]}", f"{keys[-1]}={text}", text
        else:
            yield f"configuration {'.'.join(keys)}", text, text


def _texts(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*keys, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, keys)
    elif isinstance(value, str):
        yield keys, value


def _allowed(hit: Hit, exceptions: Iterable[AllowedSecret]) -> bool:
    return any(_matches(hit, exception) for exception in exceptions)


def _matches(hit: Hit, exception: AllowedSecret) -> bool:
    fits = fnmatch.fnmatchcase(hit.path, exception.file.lstrip("/"))
    return fits and hit.rule == exception.rule and not hit.known


def _tell_unused(flow: Flow, hits: list[Hit]) -> None:
    for exception in flow.allow_secrets:
        if not any(_matches(hit, exception) for hit in hits):
            what = f"allow_secrets: {exception.file} has nothing that looks like {exception.rule}"
            console.note("gate", f"{what}; take the exception out of {_file(flow)}")


def _grouped(hits: list[Hit]) -> list[list[Hit]]:
    """Return the hits of each kind in each place together: one problem, with all lines."""
    groups: dict[tuple[str, str], list[Hit]] = {}
    for hit in hits:
        groups.setdefault((hit.place, hit.rule), []).append(hit)
    return list(groups.values())


def _problem(hits: list[Hit], flow: Flow, wanted: Needles) -> Problem:
    first = hits[0]
    where = _masked(first.place, wanted) + _lines(hits)
    if first.known:
        hint = (
            "remove it, and rotate it if it is a secret; if it is none, it belongs under env.clear"
        )
        return Problem(where, f"this holds the value of {first.rule}", hint)
    hint = f"remove it and rotate it, or list it with a reason: allow_secrets in {_file(flow)}"
    return Problem(where, f"this looks like {first.rule}", hint)


def _lines(hits: list[Hit]) -> str:
    lines = sorted({hit.line for hit in hits if hit.line})
    if not lines:
        return ""
    more = f" and {len(lines) - LINES} more" if len(lines) > LINES else ""
    shown = ", ".join(str(line) for line in lines[:LINES])
    return f", line{'s' if len(lines) > 1 else ''} {shown}{more}"


def _masked(place: str, wanted: Needles) -> str:
    """Return `place` without secrets: names of files and labels may hold them, too."""
    data = wanted.masked(place.encode("utf-8", "surrogateescape"))
    for _, start, end in sorted(shapes.find(data), key=lambda found: -found[1]):
        data = data[:start] + redaction.MASK + data[end:]
    return data.decode("utf-8", "replace")


def _file(flow: Flow) -> str:
    return show(flow.folder / "deploy.yaml")
