"""Rows of the tables that tasks print about flows and deployments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.config.target import AnySpec
from deploy.core import output
from deploy.core.entities import Deployment
from deploy.delivery import resolve_image
from deploy.delivery.pipeline import SmokeResult


def create_flow_rows(project: Project) -> list[dict[str, Any]]:
    """Return a row for each flow: kind, environments, connections, image tag, built or not."""
    rows = []
    for flow in configuration.load_flows(project):
        tag, built = resolve_image.find_built_image(flow, project.root)
        rows.append(
            {
                "flow": flow.name,
                "kind": flow.kind,
                "environments": dict(flow.environments),
                "connections": list(flow.connections),
                "tag": tag,
                "built": built,
            }
        )
    return rows


def create_empty_status_row(spec: AnySpec, state: str = "not deployed") -> dict[str, str]:
    """Return the status row of a spec that has no deployment."""
    return {
        "flow": spec.flow.name,
        "environment": spec.environment,
        "target": spec.target,
        "state": state,
    }


def create_status_rows(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the status rows of `deployment`: one for each version that runs at the same time."""
    row = {**dataclasses.asdict(deployment), "share": ""}
    return [
        {
            **row,
            "name": share.name,
            "share": f"{share.percent} %",
            "state": share.state,
            "tag": share.tag,
            "commit": share.commit,
            "created": share.since,
            "by": share.by,
        }
        for share in deployment.shares
    ] or [row]


def create_smoke_rows(
    passed: Iterable[tuple[AnySpec, SmokeResult]], failed: Iterable[AnySpec]
) -> list[dict[str, str]]:
    """Return a row for each flow whose sample was scored: its status and the seconds."""
    passed_rows = [(spec, "healthy", f"{result.seconds:.2f}") for spec, result in passed]
    failed_rows = [(spec, "failed", "") for spec in failed]
    return [
        {"flow": spec.flow.name, "status": status, "seconds": seconds}
        for spec, status, seconds in passed_rows + failed_rows
    ]


def show_status(rows: list[dict[str, Any]], title: str, json: bool, data: Any) -> None:
    """Print the status of deployments: `rows` as a table, or `data` as JSON."""
    # The columns of the table; values longer than a width are cut.
    widths: dict[str, int | None] = dict.fromkeys(
        ("flow", "environment", "target", "state", "share")
    )
    widths |= {"tag": None, "commit": 7, "since": len("2026-01-01T00:00:00"), "by": 20, "url": None}
    rows = [{**row, "since": row.get("created", "")} for row in rows]
    table = [{key: str(row.get(key, ""))[:width] for key, width in widths.items()} for row in rows]
    output.show(table, title=title, as_json=json, data=data)
