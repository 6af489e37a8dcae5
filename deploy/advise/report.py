"""The advice as text and as JSON data."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.advise import deploy_yaml
from deploy.advise.answers import QUESTIONS, Answers
from deploy.advise.options import (
    Fact,
    Source,
    list_targets_without_advice,
    load_options,
    load_shared_sources,
)
from deploy.advise.recommend import (
    Alternative,
    Reason,
    Recommendation,
    find_remaining_limits,
)

WIDTH = 110
LABEL_WIDTH = 14


@dataclass
class Citations:
    """The cited sources, numbered in the order of their first citation."""

    sources: list[Source] = field(default_factory=list)

    def cite(self, fact: Fact) -> str:
        """Return the number of the fact's source, in brackets."""
        if fact.source not in self.sources:
            self.sources.append(fact.source)
        return f"[{self.sources.index(fact.source) + 1}]"

    def format_lines(self) -> Iterator[str]:
        """Yield a line for each source: number, title, date and link."""
        for number, source in enumerate(self.sources, 1):
            dated = f", {source.dated}" if source.dated else ""
            yield f"[{number}] {source.title}{dated}: {source.link}"


def render_text(flow: str, answers: Answers, recommendations: Sequence[Recommendation]) -> str:
    """Return the complete advice as text."""
    sources = Citations()
    parts = ["\n".join(_answers(answers))]
    parts += [
        "\n".join(_render_recommendation(flow, answers, recommendation, sources))
        for recommendation in recommendations
    ]
    if targets := list_targets_without_advice():
        parts.append(
            f"Not considered: {', '.join(targets)}, without an advice file (docs/extending.md)"
        )
    if yaml := deploy_yaml.render_yaml(flow, recommendations):
        # Without an indent, ready to paste.
        where = f"Replace the environments in flows/{flow}/deploy.yaml with:"
        parts.append(f"{where}\n\n{yaml.rstrip()}")
    parts.append(
        "\n".join([f"Sources, read on {load_shared_sources().read_on}:", *sources.format_lines()])
    )
    return "\n\n".join(parts)


def list_answers(answers: Answers) -> list[dict[str, str]]:
    """Return the answers in the order of the questions, with each answer's origin."""
    return [
        {
            "answer": question.name.replace("_", "-"),
            "value": question.format_answer(getattr(answers, question.name)),
            "question": question.text,
            "by": "assumed" if question.name in answers.assumed else "given",
        }
        for question in QUESTIONS
    ]


def format_headline(recommendation: Recommendation) -> str:
    """Return a line that says where the flow should run."""
    option = recommendation.option
    if option is None:
        return f"{recommendation.environment.name}: no option fits"
    extension = ", with an extension" if recommendation.is_extension else ""
    return f"{recommendation.environment.name}: {option.name} ({option.title}{extension})"


def list_ignored_answers(answers: Answers, recommendation: Recommendation) -> list[str]:
    """Return the names of the answers that do not count in this environment, as in flags."""
    names = [question.name for question in QUESTIONS]
    ignored = [
        question
        for question in names
        if getattr(answers, question) != getattr(recommendation.answers, question)
    ]
    return [name.replace("_", "-") for name in ignored]


def format_exclusion(reason: Reason) -> str:
    """Return what rules an option out: its limit, and the answer that exceeds it."""
    return f"{reason.option}: {reason.fact.text}; required: {reason.explanation}"


def format_redundant_options(recommendation: Recommendation, sources: Citations) -> str:
    """Return the options that would also fit, but are not needed."""
    options = [
        f"{reason.option} {sources.cite(reason.fact)}"
        for reason in recommendation.redundant_options
    ]
    return f"{', '.join(options)}: {recommendation.redundant_options[0].explanation}"


def format_alternative(alternative: Alternative) -> str:
    """Return an answer that could change, and the target that would then fit."""
    question = next(candidate for candidate in QUESTIONS if candidate.name == alternative.question)
    return (
        f"{question.flag} {_format_value(alternative.value)}: {alternative.target} "
        f"({load_options()[alternative.target].title})"
    )


def list_future_limits(recommendation: Recommendation) -> list[str]:
    """Return the requirements that would rule the target out later."""
    if recommendation.option is None:
        return []
    return [
        limit.requirement
        for limit in find_remaining_limits(recommendation.option, recommendation.answers)
    ]


def to_dict(
    flow: str, answers: Answers, recommendations: Sequence[Recommendation]
) -> dict[str, Any]:
    """Return the advice as data for JSON."""
    return {
        "flow": None if flow == deploy_yaml.FLOW_PLACEHOLDER else flow,
        "answers": list_answers(answers),
        "environments": [
            {
                "environment": recommendation.environment.name,
                "target": recommendation.target,
                "ignored": list_ignored_answers(answers, recommendation),
                "by_extension": recommendation.is_extension,
                "reasons": _reasons(recommendation.reasons),
                "against": _reasons(recommendation.objections),
                "ruled_out": _reasons(recommendation.exclusions),
                "not_needed": _reasons(recommendation.redundant_options),
                "alternatives": [
                    {
                        "answer": alternative.question.replace("_", "-"),
                        "value": _format_value(alternative.value),
                        "target": alternative.target,
                    }
                    for alternative in recommendation.alternatives
                ],
                "notes": deploy_yaml.list_notes(flow, recommendation),
                "settings": deploy_yaml.build_settings(flow, recommendation) or None,
                "future_limits": list_future_limits(recommendation),
            }
            for recommendation in recommendations
        ],
        "not_considered": list_targets_without_advice(),
        "deploy_yaml": deploy_yaml.render_yaml(flow, recommendations),
    }


def _answers(answers: Answers) -> Iterator[str]:
    specified = [
        f"{row['answer']} {row['value']}" for row in list_answers(answers) if row["by"] == "given"
    ]
    assumed = [
        f"{row['answer']} {row['value']}" for row in list_answers(answers) if row["by"] != "given"
    ]
    if specified:
        yield from _wrap_lines("answers", "; ".join(specified))
    if assumed:
        yield from _wrap_lines("assumed", "; ".join(assumed))


def _render_recommendation(
    flow: str, answers: Answers, recommendation: Recommendation, sources: Citations
) -> Iterator[str]:
    yield format_headline(recommendation)
    if ignored := list_ignored_answers(answers, recommendation):
        text = (
            f"{', '.join(ignored)}: these matter in production, and this environment is for trials"
        )
        yield from _wrap_lines("ignored", text)
    if recommendation.target:
        for reason in recommendation.reasons:
            yield from _wrap_lines("why", f"{reason.explanation} {sources.cite(reason.fact)}")
    for reason in recommendation.objections:
        text = f"for {reason.option}: {reason.explanation} {sources.cite(reason.fact)}"
        yield from _wrap_lines("against", text)
    for reason in recommendation.exclusions:
        yield from _wrap_lines(
            "ruled out", f"{format_exclusion(reason)} {sources.cite(reason.fact)}"
        )
    if recommendation.redundant_options:
        yield from _wrap_lines("not needed", format_redundant_options(recommendation, sources))
    for alternative in recommendation.alternatives:
        yield from _wrap_lines("alternative", format_alternative(alternative))
    for note in deploy_yaml.list_notes(flow, recommendation):
        yield from _wrap_lines("note", note)
    if changes := list_future_limits(recommendation):
        yield from _wrap_lines("reconsider if", "; or ".join(changes))


def _wrap_lines(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {label:<{LABEL_WIDTH}}",
        subsequent_indent=" " * (LABEL_WIDTH + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _reasons(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    return [
        {
            "option": reason.option,
            "explanation": reason.explanation,
            "fact": dataclasses.asdict(reason.fact),
        }
        for reason in reasons
    ]


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
