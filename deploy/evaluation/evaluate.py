"""The steps of an evaluation in order: check, prepare, run, compare with thresholds, record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploy.build import base_image, flow_image
from deploy.config import configuration
from deploy.config.configuration import DEPLOY_FILE, Project
from deploy.core import git, progress
from deploy.core.entities import Flow
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import load
from deploy.docker import engine
from deploy.evaluation import credentials, history, runner, specification, thresholds
from deploy.evaluation.history import Record
from deploy.evaluation.results import FlowResult
from deploy.evaluation.specification import EvaluationSpec
from deploy.evaluation.thresholds import Verdict


@dataclass(frozen=True)
class Report:
    """The result of an evaluation."""

    record: Record
    # The last run that passed.
    before: Record | None
    verdicts: tuple[Verdict, ...]
    problems: tuple[Problem, ...]


def select_flows(project: Project, only: str | None, environment: str | None = None) -> list[Flow]:
    """Return the flows that have an evaluation: `only`, all, or those of `environment`.

    Raise `DeployError` with the problems of all flows.
    """
    flows = (
        configuration.select_flows(project, environment, only)
        if environment
        else configuration.load_flows(project, only)
    )
    return [flow for flow in flows if flow.evaluation]


def evaluate(project: Project, flow: Flow, environment: str | None = None) -> Report:
    """Run `flow` over its data set and check its answers, with the variables of `environment`.

    Save the record; if the run passed, the next run is compared with it. Raise `DeployError` if the
    evaluation cannot run; what it finds is in the report.
    """
    with progress.log_prefix(flow.name):
        prepared = specification.load_spec(flow, project.root)
        before = history.load_last_passed(project.root, flow.name)
        secrets = _gather_credentials(project, flow, environment)
        client = engine.connect()
        base = base_image.ensure(client, flow.image, project.root)
        tag = flow_image.collect_inputs(flow, base, project.root).tag
        native, volumes = runner.prepare(client, flow, prepared.lock, base, project.root)
        outcomes = runner.run(client, prepared, secrets, native, volumes)
        report = _create_report(prepared, outcomes, before, tag, git.read_commit(project.root))
        history.save_record(project.root, report.record)
        return report


def _gather_credentials(
    project: Project, flow: Flow, environment: str | None
) -> credentials.Credentials:
    if environment is None:
        return credentials.gather_credentials(flow, project.environ, {}, frozenset())
    spec = configuration.load_specs(project, environment, flow.name)[0]
    if spec.missing:
        location = f"{spec.name}: env.secret"
        missing = [
            Problem(location, f"{name} is not set", "add it to .env") for name in spec.missing
        ]
        raise DeployError.from_problems(missing)
    return credentials.gather_credentials(flow, project.environ, spec.variables, spec.secrets)


def _create_report(
    prepared: EvaluationSpec,
    outcomes: tuple[FlowResult, ...],
    before: Record | None,
    tag: str,
    commit: str,
) -> Report:
    metrics = {outcome.name: _compute_metrics(outcome) for outcome in outcomes if outcome.name}
    verdicts = thresholds.check_thresholds(
        prepared.settings, metrics, before.metrics if before else {}
    )
    problems = runner.list_row_errors(prepared, outcomes)
    problems += [
        Problem(f"{prepared.flow.name}: {outcome.name or 'the flow'}", text)
        for outcome in outcomes
        for text in outcome.problems
    ]
    problems += _list_missed_thresholds(prepared, verdicts, outcomes)
    record = Record(
        flow=prepared.flow.name,
        tag=tag,
        commit=commit,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=prepared.data.digest,
        passed=not problems,
        metrics=metrics,
        tokens={outcome.name or prepared.flow.name: outcome.tokens for outcome in outcomes},
        rows=_collect_rows(prepared, outcomes),
    )
    return Report(record, before, verdicts, tuple(problems))


def _compute_metrics(outcome: FlowResult) -> dict[str, float]:
    """Return the metrics that the flow aggregated from all rows; else the means of its outputs."""
    if outcome.aggregates or outcome.metrics:
        logged = {name: thresholds.parse_number(value) for name, value in outcome.metrics.items()}
        return {name: value for name, value in logged.items() if value is not None}
    return thresholds.average_outputs(outcome.outputs.values())


def _list_missed_thresholds(
    prepared: EvaluationSpec, verdicts: Sequence[Verdict], outcomes: tuple[FlowResult, ...]
) -> list[Problem]:
    """Return a problem for each threshold that was not met or whose metric was not measured."""
    document = load(prepared.flow.folder / DEPLOY_FILE)
    outcome_by_name = {outcome.name: outcome for outcome in outcomes}
    problems = []
    for verdict in verdicts:
        if verdict.passed:
            continue
        at = ("evaluation", "flows", verdict.evaluation, "thresholds", verdict.metric)
        location = document.where(at)
        if verdict.value is not None:
            value = thresholds.format_number(verdict.value)
            message = f"{verdict.metric} is {value}; the threshold is {verdict.threshold}"
            rows = history.get_record_path(prepared.flow.name, False)
            problems.append(Problem(location, message, f"see the result of each row in {rows}"))
        elif verdict.evaluation in outcome_by_name:
            measured = ", ".join(v.metric for v in verdicts if _has_value(v, verdict.evaluation))
            message = f"{verdict.evaluation} returned no metric {verdict.metric}"
            hint = (
                f"it returned {measured}"
                if measured
                else _explain_missing_metric(outcome_by_name[verdict.evaluation])
            )
            problems.append(Problem(location, message, hint))
        else:
            message = f"{verdict.metric} was not measured, because the flow answered no row"
            problems.append(Problem(location, message))
    return problems


def _has_value(verdict: Verdict, evaluation: str) -> bool:
    return verdict.evaluation == evaluation and verdict.value is not None


def _explain_missing_metric(outcome: FlowResult) -> str:
    """Return a hint why a flow returned no metric at all."""
    if outcome.aggregates:
        return "the aggregation gave no number: use `log_metric`, or return some in `__aggregate__`"
    return "return an output that is a number for each row, or aggregate (docs/evaluation.md)"


def _collect_rows(
    prepared: EvaluationSpec, outcomes: tuple[FlowResult, ...]
) -> list[dict[str, Any]]:
    return [
        {"line": row.line, "inputs": dict(row.values), **_get_row_result(outcomes[0], index)}
        | {
            "evaluations": {
                outcome.name: _get_row_result(outcome, index) for outcome in outcomes[1:]
            },
        }
        for index, row in enumerate(prepared.data.rows)
    ]


def _get_row_result(outcome: FlowResult, index: int) -> dict[str, Any]:
    if index in outcome.errors:
        return {"error": outcome.errors[index]}
    return {"outputs": outcome.outputs[index]} if index in outcome.outputs else {}
