"""The task `inv import.llmops`; its body is a few lines, and what is heavy is imported inside."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from deploy import cli
from deploy.errors import DeployError

ROOT = Path(__file__).parents[2]


@task(
    help={
        "from": "a copy of their repository, or the folder of one use case",
        "use-case": "which one, where there are several",
        "flow": "the flow's name here; that of the use case without it",
        "dry-run": "show what would be written, and write nothing",
        "json": "print JSON",
    }
)
@cli.sentences
def llmops(
    c: Context,
    from_: str | None = None,
    use_case: str | None = None,
    flow: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Import a use case of Microsoft's LLMOps template: flow, evaluation, environments."""
    from deploy import config, console
    from deploy.llmops import finding, mapping, report, writing

    if not from_:
        raise DeployError("--from", "it is missing", "name a copy of their repository")
    project = config.open_project(ROOT)
    found = mapping.plan(project, finding.load(Path(from_), use_case), flow)
    (writing.check if dry_run else writing.write)(project, found)
    if json:
        console.as_json(report.as_data(found, not dry_run))
    else:
        report.show(found, not dry_run)
