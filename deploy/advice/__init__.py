"""Where a flow should run: questions, facts with their sources, rules, a recommendation."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.errors import DeployError, Problem


def advise(
    root: Path,
    flow: str | None,
    only: str,
    given: Mapping[str, str | None],
    adr: bool = False,
    json: bool = False,
) -> None:
    """Print the advice for a flow, and write the decision record where `adr` says so.

    `only` names environments, separated by commas, all without it; `given` are answers by the name
    of their question. The rest is asked on a terminal, and assumed where there is none. Raises
    `DeployError`.
    """
    from deploy import console
    from deploy.advice import answers, asking, judge, places, record, report, settings

    _check(root, flow, only, given, adr)
    environments = places.read(root, only)
    said = answers.read(given, asking.ask if asking.can() else None)
    found = judge.judge(said, environments)
    name = flow or settings.PLACEHOLDER
    written = record.write(root, name, said, found, datetime.date.today()) if adr else None
    if json:
        console.as_json(report.as_data(name, said, found))
    else:
        print(report.text(name, said, found))
    if written:
        print(f"\n{written.relative_to(root)}", file=sys.stderr)


def _check(
    root: Path, flow: str | None, only: str, given: Mapping[str, str | None], adr: bool
) -> None:
    """Raise one `DeployError` with all that is wrong, before anybody is asked."""
    from deploy.advice import answers, places

    problems: list[Problem] = []
    for look in (
        lambda: places.check_flow(root, flow, adr),
        lambda: places.read(root, only),
        lambda: answers.read(given),
    ):
        try:
            look()
        except DeployError as error:
            problems += error.problems
    if problems:
        raise DeployError.of(problems)
