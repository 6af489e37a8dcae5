"""A decision record of the advice: context, answers, decision, what it costs to change."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.advice import report, settings
from deploy.advice.answers import Answers
from deploy.advice.facts import NAMES, READ
from deploy.advice.judge import Recommendation
from deploy.documents import show
from deploy.errors import DeployError

FOLDER = Path("docs/adr")


def write(
    root: Path,
    flow: str,
    answers: Answers,
    found: Sequence[Recommendation],
    today: datetime.date,
) -> Path:
    """Write the record under the next number, and return where it is.

    Raises `DeployError` where the flow has one already: a decision is not overwritten.
    """
    folder = root / FOLDER
    known = sorted(folder.glob("*.md")) if folder.is_dir() else []
    name = f"where-{flow}-runs.md"
    numbers = {path: match[0] for path in known if (match := re.match(r"\d{4}(?=-)", path.name))}
    for path in numbers:
        if path.name[5:] == name:
            what = "this flow has a record already, and a decision is not overwritten"
            hint = "change it by hand; or mark it as superseded, rename it and run this again"
            raise DeployError(show(path), what, hint)
    number = max((int(one) for one in numbers.values()), default=0) + 1
    path = folder / f"{number:04}-{name}"
    text = "\n".join(_lines(number, flow, answers, found, today)) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    create(path, text)
    return path


def create(path: Path, text: str) -> None:
    """Write a file that is not there: whole, or not at all. Raises `DeployError` where it is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise DeployError(show(path), "it is there already", "run this again") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _lines(
    number: int,
    flow: str,
    answers: Answers,
    found: Sequence[Recommendation],
    today: datetime.date,
) -> Iterator[str]:
    sources = report.Sources()
    yield f"# {number}. Where {flow} runs"
    yield f"\nStatus: proposed. Date: {today.isoformat()}."
    yield "\n## Context\n"
    yield (
        f"The flow {flow} is one image, the same in every environment; where it runs is a line in "
        "its deploy.yaml. This record is what `inv advise` made of the answers below, by the rules "
        f"and facts of docs/choosing.md as they were read on {READ}."
    )
    yield "\n| question | answer | |\n|---|---|---|"
    for row in report.shown(answers):
        yield f"| {row['question']} | {row['value']} | {row['by']} |"
    yield "\n## Decision\n"
    for one in found:
        yield from _decision(answers, one, sources)
    if yaml := settings.lines(flow, found):
        yield f"\n```yaml\n# flows/{flow}/deploy.yaml\n{yaml.rstrip()}\n```"
    yield "\n## Ruled out\n"
    yield from _ruled_out(found, sources)
    yield "\n## Consequences\n"
    yield from _consequences(flow, found)
    yield "\n## What would change this later\n"
    yield from _changes(found)
    yield "\n## Sources\n"
    for line in sources.lines():
        yield f"- {line}"


def _decision(answers: Answers, found: Recommendation, sources: report.Sources) -> Iterator[str]:
    yield f"- **{report.head(found)}**"
    if left := report.left_out(answers, found):
        yield f"  - {', '.join(left)}: left out, as they matter where people rely on it"
    for reason in found.reasons if found.target else ():
        yield f"  - {reason.says} {sources.mark(reason.fact)}"
    for reason in found.against:
        name = NAMES[reason.option]
        yield f"  - against it, and for {name}: {reason.says} {sources.mark(reason.fact)}"
    for one in found.ways:
        yield f"  - it would, with `{report.way(one)}`"


def _ruled_out(found: Sequence[Recommendation], sources: report.Sources) -> Iterator[str]:
    for one in found:
        where = one.environment.name
        for reason in one.ruled_out:
            yield f"- {where}, {report.broken(reason)} {sources.mark(reason.fact)}"
        if one.not_needed:
            yield f"- {where}, {report.not_needed(one, sources)}"
    if not any(one.ruled_out for one in found):
        yield "- nothing"


def _consequences(flow: str, found: Sequence[Recommendation]) -> Iterator[str]:
    for one in found:
        for note in settings.notes(flow, one):
            yield f"- {one.environment.name}: {note}"
    yield (
        "- another target later is the line `target` and its settings: the image stays as it is "
        "(docs/choosing.md)"
    )


def _changes(found: Sequence[Recommendation]) -> Iterator[str]:
    for one in found:
        for change in report.later(one):
            yield f"- {one.environment.name}: {change}"
    yield (
        "- Prompt flow retires on 2027-04-20; the image carries its own runtime and keeps working "
        "(docs/adr/0012-flow-deployment-options.md)"
    )
