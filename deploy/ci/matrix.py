"""The flows as a matrix of parallel jobs, in the format of each CI system."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from deploy.config import configuration
from deploy.core import markdown
from deploy.core.entities import Flow
from deploy.core.errors import DeployError, Problem
from deploy.server import connections


@dataclass(frozen=True)
class Row:
    """One job of the matrix."""

    flow: str
    # Whether all variables of its connections are set, so that it can be evaluated.
    evaluate: bool


def create_rows(flows: Iterable[Flow], environ: Mapping[str, str]) -> tuple[Row, ...]:
    """Return a row for each of `flows`; `environ` has the variables of their connections."""
    return tuple(
        Row(flow.name, not connections.resolve(flow.connections, environ).problems)
        for flow in flows
    )


def require_origin(flows: Iterable[Flow], environment: str | None, origin: str) -> None:
    """Raise `DeployError` for flows that are not in `origin`, from which images are promoted."""
    problems = [
        Problem(
            f"flows/{flow.name}/{configuration.DEPLOY_FILE}: environments",
            f"the flow has {environment} but not {origin}, from which its image is promoted",
            f"add {origin} to its environments",
        )
        for flow in flows
        if origin not in flow.environments
    ]
    if problems:
        raise DeployError.from_problems(problems)


def format_github(rows: Iterable[Row]) -> str:
    """Return the matrix for `fromJSON` (GitHub, "Running variations of jobs in a workflow")."""
    return json.dumps({"include": [asdict(row) for row in rows]})


def format_azure_devops(rows: Iterable[Row]) -> str:
    """Return the matrix for `$[ … ]` (Azure Pipelines, "jobs.job.strategy definition").

    There, names may contain letters, digits and underscores only, and all values are strings.
    """
    return json.dumps(
        {
            re.sub(r"\W", "_", row.flow): {"flow": row.flow, "evaluate": str(row.evaluate).lower()}
            for row in rows
        }
    )


def list_notes(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return notes for the log: which flows are not evaluated."""
    not_evaluated = [row.flow for row in rows if not row.evaluate]
    reason = "not evaluated, because variables of their connections are not set"
    return (f"{', '.join(not_evaluated)}: {reason}",) if not_evaluated else ()


def format_summary(rows: Sequence[Row], notes: Iterable[str]) -> str:
    """Return the rows as Markdown for the summary of the CI run."""
    lines = [f"- `{row.flow}`{'' if row.evaluate else ' (not evaluated)'}" for row in rows]
    note_lines = [markdown.escape_text(note) for note in (*notes, *list_notes(rows))]
    return "\n".join(["### Flows", *(lines or ["none"]), "", *note_lines]) + "\n"
