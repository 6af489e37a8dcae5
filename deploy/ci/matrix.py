"""The flows as rows for jobs side by side, in the form that each CI system reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from deploy import config
from deploy.errors import DeployError, Problem
from deploy.job import markdown
from deploy.model import Flow
from deploy.runtime import connections


@dataclass(frozen=True)
class Row:
    """One job: its flow, and whether that can be evaluated, as what it asks can be reached."""

    flow: str
    evaluate: bool


def rows(flows: Iterable[Flow], environ: Mapping[str, str]) -> tuple[Row, ...]:
    """Return a row for each of `flows`; of `environ` their connections are made."""
    return tuple(
        Row(flow.name, not connections.resolve(flow.connections, environ).problems)
        for flow in flows
    )


def refuse_without_origin(flows: Iterable[Flow], environment: str | None, origin: str) -> None:
    """Raise `DeployError` for those that are in no `origin`, where their images would come from."""
    problems = [
        Problem(
            f"flows/{flow.name}/{config.DEPLOY}: environments",
            f"it has {environment} and not {origin}, from where its image is promoted",
            f"add {origin}",
        )
        for flow in flows
        if origin not in flow.environments
    ]
    if problems:
        raise DeployError.of(problems)


def for_github(rows: Iterable[Row]) -> str:
    """Return the matrix for `fromJSON` (GitHub, "Running variations of jobs in a workflow")."""
    return json.dumps({"include": [asdict(row) for row in rows]})


def for_azure_devops(rows: Iterable[Row]) -> str:
    """Return the matrix for `$[ … ]` (Azure Pipelines, "jobs.job.strategy definition").

    Names are of letters, digits and underscores there, and every value is a text.
    """
    return json.dumps(
        {
            re.sub(r"\W", "_", row.flow): {"flow": row.flow, "evaluate": str(row.evaluate).lower()}
            for row in rows
        }
    )


def notes(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return what a person should know of them."""
    unasked = [row.flow for row in rows if not row.evaluate]
    what = "not evaluated, as variables of their connections are not set"
    return (f"{', '.join(unasked)}: {what}",) if unasked else ()


def summary(rows: Sequence[Row], why: Iterable[str]) -> str:
    """Return the rows as Markdown, for the page of the run."""
    lines = [f"- `{row.flow}`{'' if row.evaluate else ' (not evaluated)'}" for row in rows]
    said = [markdown.text(note) for note in (*why, *notes(rows))]
    return "\n".join(["### Flows", *(lines or ["none"]), "", *said]) + "\n"
