"""The task `inv import.llmops`."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context

from deploy.cli.repository import open_project
from deploy.cli.task import task
from deploy.core.errors import DeployError


@task(
    help={
        "from": "a copy of the template's repository, or the folder of one use case",
        "use-case": "the use case to import, if there are several",
        "flow": "the name of the new flow (default: the name of the use case)",
        "dry-run": "show what would be written; write nothing",
    }
)
def llmops(
    c: Context,
    from_: str | None = None,
    use_case: str | None = None,
    flow: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Import a use case of Microsoft's LLMOps template: flow, evaluation, environments."""
    from deploy.core import output
    from deploy.importers.llmops import conversion, detection, report, writer

    if not from_:
        raise DeployError(
            "--from", "this option is required", "name a copy of the template's repository"
        )
    project = open_project()
    converted = conversion.convert_use_case(
        project, detection.load_use_case(Path(from_), use_case), flow
    )
    (writer.check_import if dry_run else writer.write_import)(project, converted)
    if json:
        output.print_json(report.to_dict(converted, not dry_run))
    else:
        report.print_report(converted, not dry_run)
