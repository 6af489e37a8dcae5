"""Advice on where a flow should run: questions, facts with sources, rules, a recommendation."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.core.errors import DeployError, Problem


def advise(
    root: Path,
    flow: str | None,
    selection: str,
    given_answers: Mapping[str, str | None],
    adr: bool = False,
    json: bool = False,
) -> None:
    """Print the advice for a flow; also write the decision record if `adr` is set.

    `selection` lists environments, separated by commas; empty for all. `given_answers` maps the
    name of a question to its answer. Other questions are asked on a terminal; without a terminal,
    their defaults are used. Raise `DeployError` if an argument is not valid.
    """
    from deploy.advise import (
        answers,
        decision_record,
        deploy_yaml,
        environments,
        prompts,
        recommend,
        report,
    )
    from deploy.core import output

    _check_arguments(root, flow, selection, given_answers, adr)
    known_environments = environments.read_environments(root, selection)
    user_answers = answers.collect_answers(
        given_answers, prompts.ask if prompts.can_ask() else None
    )
    recommendations = recommend.recommend_targets(user_answers, known_environments)
    name = flow or deploy_yaml.FLOW_PLACEHOLDER
    record_path = (
        decision_record.write(root, name, user_answers, recommendations, datetime.date.today())
        if adr
        else None
    )
    if json:
        output.print_json(report.to_dict(name, user_answers, recommendations))
    else:
        print(report.render_text(name, user_answers, recommendations))
    if record_path:
        print(f"\n{record_path.relative_to(root)}", file=sys.stderr)


def _check_arguments(
    root: Path, flow: str | None, selection: str, given_answers: Mapping[str, str | None], adr: bool
) -> None:
    """Raise one `DeployError` with all invalid arguments, before any question is asked."""
    from deploy.advise import answers, environments

    problems: list[Problem] = []
    for check in (
        lambda: environments.check_flow(root, flow, adr),
        lambda: environments.read_environments(root, selection),
        lambda: answers.collect_answers(given_answers),
    ):
        try:
            check()
        except DeployError as error:
            problems += error.problems
    if problems:
        raise DeployError.from_problems(problems)
