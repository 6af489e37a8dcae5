"""The order of an evaluation: check, prepare, run, judge, keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploy import config, console
from deploy.build import base_image, image
from deploy.config import DEPLOY, Project
from deploy.docker import engine
from deploy.documents import load
from deploy.errors import DeployError, Problem
from deploy.evaluation import credentials, job, record, running, thresholds
from deploy.evaluation.job import Job
from deploy.evaluation.record import Record
from deploy.evaluation.results import Outcome
from deploy.evaluation.thresholds import Verdict
from deploy.model import Flow


@dataclass(frozen=True)
class Report:
    """What a run came to: the record of it, the last one that passed, and what is wrong with it."""

    record: Record
    before: Record | None
    verdicts: tuple[Verdict, ...]
    problems: tuple[Problem, ...]


def chosen(project: Project, only: str | None, environment: str | None = None) -> list[Flow]:
    """Return the flow `only`, or all, or those of `environment`, if they have an evaluation.

    Raises `DeployError` with the problems of all.
    """
    flows = (
        config.flows_in(project, environment, only)
        if environment
        else config.load_flows(project, only)
    )
    return [flow for flow in flows if flow.evaluation]


def evaluate(project: Project, flow: Flow, environment: str | None = None) -> Report:
    """Run `flow` over its data set and judge it; with the variables of `environment`, if one.

    The record is kept, of a run that passed as what the next one is compared with. Raises
    `DeployError` for what keeps it from running; what it finds is in the report.
    """
    with console.about(flow.name):
        prepared = job.prepare(flow, project.root)
        before = record.previous(project.root, flow.name)
        secret = _secret(project, flow, environment)
        client = engine.connect()
        found = base_image.ensure(client, flow.image, project.root)
        tag = image.inputs(flow, found, project.root).tag
        native, volumes = running.prepare(client, flow, prepared.lock, found, project.root)
        outcomes = running.run(client, prepared, secret, native, volumes)
        report = _judged(prepared, outcomes, before, tag, image.commit(project.root))
        record.keep(project.root, report.record)
        return report


def _secret(project: Project, flow: Flow, environment: str | None) -> credentials.Credentials:
    if environment is None:
        return credentials.gather(flow, project.environ, {}, frozenset())
    spec = config.load_specs(project, environment, flow.name)[0]
    if spec.missing:
        where = f"{spec.name}: env.secret"
        missing = [
            Problem(where, f"{name} is not set", "put it into .env") for name in spec.missing
        ]
        raise DeployError.of(missing)
    return credentials.gather(flow, project.environ, spec.variables, spec.secrets)


def _judged(
    prepared: Job, outcomes: tuple[Outcome, ...], before: Record | None, tag: str, commit: str
) -> Report:
    metrics = {one.name: _metrics(one) for one in outcomes if one.name}
    verdicts = thresholds.judge(prepared.settings, metrics, before.metrics if before else {})
    problems = running.failures(prepared, outcomes)
    problems += [
        Problem(f"{prepared.flow.name}: {one.name or 'the flow'}", text)
        for one in outcomes
        for text in one.problems
    ]
    problems += _missed(prepared, verdicts, outcomes)
    made = Record(
        flow=prepared.flow.name,
        tag=tag,
        commit=commit,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=prepared.data.digest,
        passed=not problems,
        metrics=metrics,
        tokens={one.name or prepared.flow.name: one.tokens for one in outcomes},
        rows=_rows(prepared, outcomes),
    )
    return Report(made, before, verdicts, tuple(problems))


def _metrics(outcome: Outcome) -> dict[str, float]:
    """Return the metrics that the flow made of all rows; else the means of its outputs."""
    if outcome.aggregates or outcome.metrics:
        logged = {name: thresholds.number(value) for name, value in outcome.metrics.items()}
        return {name: value for name, value in logged.items() if value is not None}
    return thresholds.means(outcome.outputs.values())


def _missed(
    prepared: Job, verdicts: Sequence[Verdict], outcomes: tuple[Outcome, ...]
) -> list[Problem]:
    """Return a sentence for each threshold that was not met, or whose metric nobody measured."""
    document = load(prepared.flow.folder / DEPLOY)
    ran = {outcome.name: outcome for outcome in outcomes}
    problems = []
    for verdict in verdicts:
        if verdict.passed:
            continue
        at = ("evaluation", "flows", verdict.evaluation, "thresholds", verdict.metric)
        where = document.where(at)
        if verdict.value is not None:
            value = thresholds.shown(verdict.value)
            what = f"{verdict.metric} is {value}, and {verdict.wanted} is wanted"
            rows = record.file(prepared.flow.name, False)
            problems.append(Problem(where, what, f"every row is in {rows}"))
        elif verdict.evaluation in ran:
            known = ", ".join(v.metric for v in verdicts if _measured(v, verdict.evaluation))
            what = f"{verdict.evaluation} measured no {verdict.metric}"
            hint = f"it measured {known}" if known else _how(ran[verdict.evaluation])
            problems.append(Problem(where, what, hint))
        else:
            what = f"{verdict.metric} was not measured: no row was answered"
            problems.append(Problem(where, what))
    return problems


def _measured(verdict: Verdict, evaluation: str) -> bool:
    return verdict.evaluation == evaluation and verdict.value is not None


def _how(outcome: Outcome) -> str:
    """Return as a hint why a flow gave no metric at all."""
    if outcome.aggregates:
        return (
            "its aggregation gave no number: `log_metric` takes one, `__aggregate__` returns some"
        )
    return "give an output that is a number in each row, or aggregate (docs/evaluation.md)"


def _rows(prepared: Job, outcomes: tuple[Outcome, ...]) -> list[dict[str, Any]]:
    return [
        {"line": row.line, "inputs": dict(row.values), **_of(outcomes[0], index)}
        | {
            "evaluations": {one.name: _of(one, index) for one in outcomes[1:]},
        }
        for index, row in enumerate(prepared.data.rows)
    ]


def _of(outcome: Outcome, index: int) -> dict[str, Any]:
    if index in outcome.errors:
        return {"error": outcome.errors[index]}
    return {"outputs": outcome.outputs[index]} if index in outcome.outputs else {}
