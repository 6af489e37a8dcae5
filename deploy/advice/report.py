"""The advice for people, and as data for programs."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.advice import limits, settings
from deploy.advice.answers import QUESTIONS, Answers
from deploy.advice.facts import NAMES, READ, Fact, Source
from deploy.advice.judge import Reason, Recommendation, Way

WIDTH = 110
LABEL = 14


@dataclass
class Sources:
    """The sources in the order in which they are referred to."""

    found: list[Source] = field(default_factory=list)

    def mark(self, fact: Fact) -> str:
        """Return the number of the fact's source, in brackets."""
        if fact.source not in self.found:
            self.found.append(fact.source)
        return f"[{self.found.index(fact.source) + 1}]"

    def lines(self) -> Iterator[str]:
        """Yield a line for each: its number, title, date and address."""
        for number, source in enumerate(self.found, 1):
            dated = f", {source.dated}" if source.dated else ""
            yield f"[{number}] {source.title}{dated}: {source.link}"


def text(flow: str, answers: Answers, found: Sequence[Recommendation]) -> str:
    """Return all of the advice, as lines."""
    sources = Sources()
    parts = ["\n".join(_answers(answers))]
    parts += ["\n".join(_one(flow, answers, one, sources)) for one in found]
    if yaml := settings.lines(flow, found):
        # As it is pasted: without an indent.
        where = f"In flows/{flow}/deploy.yaml, in place of its environments:"
        parts.append(f"{where}\n\n{yaml.rstrip()}")
    parts.append("\n".join([f"Sources, read on {READ}:", *sources.lines()]))
    return "\n\n".join(parts)


def shown(answers: Answers) -> list[dict[str, str]]:
    """Return the answers in the order of the questions: answer, question, by whom."""
    return [
        {
            "answer": one.name.replace("_", "-"),
            "value": one.show(getattr(answers, one.name)),
            "question": one.text,
            "by": "assumed" if one.name in answers.assumed else "given",
        }
        for one in QUESTIONS
    ]


def head(found: Recommendation) -> str:
    """Return in a line where the flow should run."""
    target = found.target
    if target is None:
        return f"{found.environment.name}: nothing does all of this"
    extension = ", by extension" if found.by_extension else ""
    return f"{found.environment.name}: {target} ({NAMES[target]}{extension})"


def left_out(answers: Answers, found: Recommendation) -> list[str]:
    """Return the answers that do not count in this environment, as flags."""
    names = [one.name for one in QUESTIONS]
    left = [one for one in names if getattr(answers, one) != getattr(found.answers, one)]
    return [name.replace("_", "-") for name in left]


def broken(reason: Reason) -> str:
    """Return what rules an option out: what there is, and what is asked for."""
    return f"{reason.option}: {reason.fact.text}; asked for is {reason.says}"


def not_needed(found: Recommendation, sources: Sources) -> str:
    """Return the options that would do as well, if they were needed."""
    options = [f"{one.option} {sources.mark(one.fact)}" for one in found.not_needed]
    return f"{', '.join(options)}: {found.not_needed[0].says}"


def way(one: Way) -> str:
    """Return one answer that could be changed, and what would fit then."""
    question = next(each for each in QUESTIONS if each.name == one.question)
    return f"{question.flag} {_plain(one.value)}: {one.target} ({NAMES[one.target]})"


def later(found: Recommendation) -> list[str]:
    """Return what would rule the target out later."""
    if found.target is None:
        return []
    return [one.wish for one in limits.standing(found.target, found.answers)]


def as_data(flow: str, answers: Answers, found: Sequence[Recommendation]) -> dict[str, Any]:
    """Return the advice for programs."""
    return {
        "flow": None if flow == settings.PLACEHOLDER else flow,
        "answers": shown(answers),
        "environments": [
            {
                "environment": one.environment.name,
                "target": one.target,
                "left_out": left_out(answers, one),
                "by_extension": one.by_extension,
                "reasons": _reasons(one.reasons),
                "against": _reasons(one.against),
                "ruled_out": _reasons(one.ruled_out),
                "not_needed": _reasons(one.not_needed),
                "ways": [
                    {
                        "answer": each.question.replace("_", "-"),
                        "value": _plain(each.value),
                        "target": each.target,
                    }
                    for each in one.ways
                ],
                "notes": settings.notes(flow, one),
                "settings": settings.of(flow, one) or None,
                "later": later(one),
            }
            for one in found
        ],
        "deploy_yaml": settings.lines(flow, found),
    }


def _answers(answers: Answers) -> Iterator[str]:
    given = [f"{one['answer']} {one['value']}" for one in shown(answers) if one["by"] == "given"]
    assumed = [f"{one['answer']} {one['value']}" for one in shown(answers) if one["by"] != "given"]
    if given:
        yield from _wrapped("answers", "; ".join(given))
    if assumed:
        yield from _wrapped("assumed", "; ".join(assumed))


def _one(flow: str, answers: Answers, found: Recommendation, sources: Sources) -> Iterator[str]:
    yield head(found)
    if left := left_out(answers, found):
        says = f"{', '.join(left)}: that matters where people rely on it, and here things are tried"
        yield from _wrapped("left out", says)
    if found.target:
        for reason in found.reasons:
            yield from _wrapped("why", f"{reason.says} {sources.mark(reason.fact)}")
    for reason in found.against:
        says = f"for {reason.option}: {reason.says} {sources.mark(reason.fact)}"
        yield from _wrapped("against", says)
    for reason in found.ruled_out:
        yield from _wrapped("ruled out", f"{broken(reason)} {sources.mark(reason.fact)}")
    if found.not_needed:
        yield from _wrapped("not needed", not_needed(found, sources))
    for one in found.ways:
        yield from _wrapped("or change", way(one))
    for note in settings.notes(flow, found):
        yield from _wrapped("know", note)
    if changes := later(found):
        yield from _wrapped("changes with", "; or ".join(changes))


def _wrapped(label: str, says: str) -> list[str]:
    return textwrap.wrap(
        says,
        WIDTH,
        initial_indent=f"  {label:<{LABEL}}",
        subsequent_indent=" " * (LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _reasons(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    return [
        {"option": one.option, "says": one.says, "fact": dataclasses.asdict(one.fact)}
        for one in reasons
    ]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
