"""The decision record of the advice: context, decision, exclusions, consequences, sources."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.advise import deploy_yaml, report
from deploy.advise.answers import Answers
from deploy.advise.options import load_options, load_shared_sources
from deploy.advise.recommend import Recommendation
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path

FOLDER = Path("docs/adr")


def write(
    root: Path,
    flow: str,
    answers: Answers,
    recommendations: Sequence[Recommendation],
    today: datetime.date,
) -> Path:
    """Write the record under the next free number, and return its path.

    Raise `DeployError` if the flow already has a record: a decision is never overwritten.
    """
    folder = root / FOLDER
    records = sorted(folder.glob("*.md")) if folder.is_dir() else []
    name = f"where-{flow}-runs.md"
    numbers = {path: match[0] for path in records if (match := re.match(r"\d{4}(?=-)", path.name))}
    for path in numbers:
        if path.name[5:] == name:
            what = "this flow already has a decision record, which is never overwritten"
            hint = "edit it; or mark it as superseded, rename it and run this again"
            raise DeployError(display_path(path), what, hint)
    number = max((int(digits) for digits in numbers.values()), default=0) + 1
    path = folder / f"{number:04}-{name}"
    text = "\n".join(_lines(number, flow, answers, recommendations, today)) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    create_file(path, text)
    return path


def create_file(path: Path, text: str) -> None:
    """Create a file, complete or not at all. Raise `DeployError` if it already exists."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise DeployError(display_path(path), "it already exists", "run this again") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _lines(
    number: int,
    flow: str,
    answers: Answers,
    recommendations: Sequence[Recommendation],
    today: datetime.date,
) -> Iterator[str]:
    sources = report.Citations()
    yield f"# {number}. Where {flow} runs"
    yield f"\nStatus: proposed. Date: {today.isoformat()}."
    yield "\n## Context\n"
    yield (
        f"The flow {flow} is one image, the same in every environment; a line in its deploy.yaml "
        "selects where it runs. `inv advise` derived this record from the answers below, by the "
        f"rules and facts of docs/choosing.md, whose sources were read on "
        f"{load_shared_sources().read_on}."
    )
    yield "\n| question | answer | |\n|---|---|---|"
    for row in report.list_answers(answers):
        yield f"| {row['question']} | {row['value']} | {row['by']} |"
    yield "\n## Decision\n"
    for recommendation in recommendations:
        yield from _decision(answers, recommendation, sources)
    if yaml := deploy_yaml.render_yaml(flow, recommendations):
        yield f"\n```yaml\n# flows/{flow}/deploy.yaml\n{yaml.rstrip()}\n```"
    yield "\n## Ruled out\n"
    yield from _render_exclusions(recommendations, sources)
    yield "\n## Consequences\n"
    yield from _consequences(flow, recommendations)
    yield "\n## Reasons to revisit this decision\n"
    yield from _render_future_limits(recommendations)
    yield "\n## Sources\n"
    for line in sources.format_lines():
        yield f"- {line}"


def _decision(
    answers: Answers, recommendation: Recommendation, sources: report.Citations
) -> Iterator[str]:
    yield f"- **{report.format_headline(recommendation)}**"
    if ignored := report.list_ignored_answers(answers, recommendation):
        yield f"  - {', '.join(ignored)}: ignored, because they matter in production only"
    for reason in recommendation.reasons if recommendation.target else ():
        yield f"  - {reason.explanation} {sources.cite(reason.fact)}"
    for reason in recommendation.objections:
        name = load_options()[reason.option].title
        yield f"  - for {name} instead: {reason.explanation} {sources.cite(reason.fact)}"
    for alternative in recommendation.alternatives:
        yield f"  - alternative: `{report.format_alternative(alternative)}`"


def _render_exclusions(
    recommendations: Sequence[Recommendation], sources: report.Citations
) -> Iterator[str]:
    for recommendation in recommendations:
        environment = recommendation.environment.name
        for reason in recommendation.exclusions:
            yield f"- {environment}, {report.format_exclusion(reason)} {sources.cite(reason.fact)}"
        if recommendation.redundant_options:
            yield f"- {environment}, {report.format_redundant_options(recommendation, sources)}"
    if not any(recommendation.exclusions for recommendation in recommendations):
        yield "- none"


def _consequences(flow: str, recommendations: Sequence[Recommendation]) -> Iterator[str]:
    for recommendation in recommendations:
        for note in deploy_yaml.list_notes(flow, recommendation):
            yield f"- {recommendation.environment.name}: {note}"
    yield (
        "- to change the target later, change the line `target` and its settings; the image stays "
        "the same (docs/choosing.md)"
    )


def _render_future_limits(recommendations: Sequence[Recommendation]) -> Iterator[str]:
    for recommendation in recommendations:
        for requirement in report.list_future_limits(recommendation):
            yield f"- {recommendation.environment.name}: {requirement}"
    yield (
        "- Prompt flow retires on 2027-04-20; the image carries its own runtime and keeps working "
        "(docs/adr/0012-flow-deployment-options.md)"
    )
