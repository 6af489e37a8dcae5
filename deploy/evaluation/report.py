"""Print the results of evaluations, as a table or as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from deploy.core import output, progress
from deploy.evaluation.evaluate import Report
from deploy.evaluation.history import Record
from deploy.evaluation.thresholds import Verdict, format_number

COLUMNS = ("flow", "evaluation", "metric", "now", "before", "change", "threshold", "passed")


def show(reports: Sequence[Report], as_json: bool = False) -> None:
    """Print a row for each metric and the run it is compared with; or everything as JSON."""
    rows = [_create_row(report, verdict) for report in reports for verdict in report.verdicts]
    data = [to_dict(report) for report in reports]
    output.show(rows, COLUMNS, title="Evaluation", as_json=as_json, data=data)
    for report in reports:
        if report.before and not as_json:
            description = _describe_previous_run(report.before, report.record)
            progress.note("evaluate", f"{report.record.flow}: compared with {description}")


def to_dict(report: Report) -> dict[str, Any]:
    """Return a report as plain data."""
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


def _describe_previous_run(before: Record, now: Record) -> str:
    """Return a description of the run `before`, and whether it had the same rows."""
    text = f"the last run that passed: {before.created}, image tag {before.tag}"
    return text if before.data == now.data else f"{text}, with another data set"


def _create_row(report: Report, verdict: Verdict) -> dict[str, Any]:
    return {
        "flow": report.record.flow,
        "evaluation": verdict.evaluation,
        "metric": verdict.metric,
        "now": _format_value(verdict.value),
        "before": _format_value(verdict.before),
        "change": _format_change(verdict.change),
        "threshold": verdict.threshold,
        "passed": verdict.passed if verdict.threshold else "",
    }


def _format_value(value: float | None) -> str:
    return "" if value is None else format_number(value)


def _format_change(value: float | None) -> str:
    if value is None:
        return ""
    return f"+{format_number(value)}" if value > 0 else format_number(value)
