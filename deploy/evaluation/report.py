"""What a run came to, for people and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from deploy import console
from deploy.evaluation.evaluate import Report
from deploy.evaluation.record import Record
from deploy.evaluation.thresholds import Verdict, shown

COLUMNS = ("flow", "evaluation", "metric", "now", "before", "change", "wanted", "passed")


def show(reports: Sequence[Report], for_programs: bool = False) -> None:
    """Print a row for each metric, and what it is compared with; for programs all of it."""
    rows = [_row(report, verdict) for report in reports for verdict in report.verdicts]
    data = [as_data(report) for report in reports]
    console.show(rows, COLUMNS, title="Evaluation", for_programs=for_programs, data=data)
    for report in reports:
        if report.before and not for_programs:
            told = _told(report.before, report.record)
            console.note("evaluate", f"{report.record.flow}: before is {told}")


def as_data(report: Report) -> dict[str, Any]:
    """Return all of a report as plain data."""
    before = report.before
    return {
        **dataclasses.asdict(report.record),
        "verdicts": [
            {**dataclasses.asdict(verdict), "change": verdict.change} for verdict in report.verdicts
        ],
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
        "before": before and {**dataclasses.asdict(before), "rows": len(before.rows)},
        "comparable": before is not None and before.data == report.record.data,
    }


def _told(before: Record, now: Record) -> str:
    """Return which run `before` was, and whether it can be compared with."""
    text = f"the last run that passed: {before.created}, image tag {before.tag}"
    return text if before.data == now.data else f"{text}, of other rows"


def _row(report: Report, verdict: Verdict) -> dict[str, Any]:
    return {
        "flow": report.record.flow,
        "evaluation": verdict.evaluation,
        "metric": verdict.metric,
        "now": _shown(verdict.value),
        "before": _shown(verdict.before),
        "change": _change(verdict.change),
        "wanted": verdict.wanted,
        "passed": verdict.passed if verdict.wanted else "",
    }


def _shown(value: float | None) -> str:
    return "" if value is None else shown(value)


def _change(value: float | None) -> str:
    if value is None:
        return ""
    return f"+{shown(value)}" if value > 0 else shown(value)
