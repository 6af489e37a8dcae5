"""Run an evaluation in a container with the flow's locked packages, promptflow and the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import docker

from deploy.build import flow_image, package_flow, packages
from deploy.build.base_image import BaseImage
from deploy.core import progress
from deploy.core.entities import Flow
from deploy.core.errors import Problem
from deploy.docker import isolated, tar_files
from deploy.evaluation import results
from deploy.evaluation.credentials import Credentials
from deploy.evaluation.results import FlowResult
from deploy.evaluation.specification import BatchRun, EvaluationSpec

CONTAINER_FOLDER = "evaluate"
OUTPUT_FOLDER = f"/{CONTAINER_FOLDER}/out"
# The package's name in the container: not `deploy`, as a flow may have a module of that name.
CONTAINER_PACKAGE = "flow_evaluation"
PACKAGE_ROOT = Path(__file__).parents[1]
# The files of `deploy` that run in the container.
CONTAINER_FILES = (
    "__init__.py",
    "build/__init__.py",
    "build/pf_flow_build.py",
    "evaluation/__init__.py",
    "evaluation/container/__init__.py",
    "evaluation/container/run.py",
    "evaluation/container/batch.py",
    "evaluation/container/identity.py",
    "server/__init__.py",
    "server/redaction.py",
    "server/promptflow/__init__.py",
    "server/promptflow/retries.py",
)
# The length to which a row's error is cut, and the number of lines listed for the same error.
MAX_ERROR_LENGTH, MAX_LISTED_LINES = 400, 20


def prepare(
    client: docker.DockerClient, flow: Flow, lock: str, chosen: BaseImage, root: Path
) -> tuple[BaseImage, dict[str, str]]:
    """Return a base image for the engine's own platform, and volumes with their mount points.

    The volumes hold the flow's packages and promptflow's tools; they are created if they do not
    exist yet. Raise `DeployError`.
    """
    native = flow_image.ensure_native_base(client, flow.image, chosen, root)
    python = flow.image.python
    return native, {
        packages.ensure_volume(client, native, lock, python): f"/{packages.FOLDER}",
        package_flow.ensure_tools_volume(client, native, python): f"/{package_flow.TOOLS_FOLDER}",
    }


def run(
    client: docker.DockerClient,
    job: EvaluationSpec,
    credentials: Credentials,
    native: BaseImage,
    volumes: Mapping[str, str],
) -> tuple[FlowResult, ...]:
    """Run the flow of `job` over its rows, then its evaluation flows; return their results.

    Show progress and the first failed row of each flow. Raise `DeployError`.
    """
    runs = (job.main_run, *job.evaluation_runs)
    names = tuple(batch_run.name for batch_run in runs)
    operation = f"evaluating {job.flow.name}"
    environment = {
        "PYTHONPATH": ":".join(
            (
                f"/{packages.FOLDER}",
                f"/{package_flow.TOOLS_FOLDER}",
                f"/{CONTAINER_FOLDER}/code",
                f"/{CONTAINER_FOLDER}/shims",
            )
        ),
        "HOME": f"/{CONTAINER_FOLDER}",
        "PF_HOME_DIRECTORY": f"/{CONTAINER_FOLDER}/home",
        "PF_LOGGING_LEVEL": "ERROR",
        "PF_TRACING_SKIP_LOCAL_SETUP": "true",
        # Traces stay in the process: tokens are counted from the model calls they record.
        "PF_DISABLE_TRACING": "false",
        "PYTHONWARNINGS": "ignore",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    count = len(job.data.rows)
    with progress.phase("evaluate", f"{count} rows, {len(runs)} flows") as phase:
        failed: set[str] = set()

        def handle_line(line: str) -> None:
            event = results.parse_event(line, count, operation)
            if event is None:
                return
            phase.update(f"{event.flow or job.flow.name}: {event.done} of {count} rows")
            # Show each flow's first error at once; all errors are listed at the end.
            if event.error is not None and event.flow in names and event.flow not in failed:
                failed.add(event.flow)
                location = job.data.locate_row(event.row)
                progress.note("evaluate", f"{location}: {_format_error(event.flow, event.error)}")

        archive = isolated.run_with_network(
            client,
            native.id,
            [
                "python3",
                "-m",
                f"{CONTAINER_PACKAGE}.evaluation.container.run",
                f"/{CONTAINER_FOLDER}",
            ],
            tar_files.pack(_collect_container_files(job, runs, credentials)),
            OUTPUT_FOLDER,
            environment,
            operation,
            volumes,
            handle_line,
            job.settings.timeout,
            results.MAX_BYTES,
        )
        with archive:
            outcomes = results.read_results(archive, names, count, operation)
        if tokens := sum(outcome.tokens for outcome in outcomes):
            phase.result = f"{tokens} tokens"
    return outcomes


def list_row_errors(job: EvaluationSpec, outcomes: tuple[FlowResult, ...]) -> list[Problem]:
    """Return a problem for each distinct error, at its first row, with the lines of the others."""
    problems = []
    for outcome in outcomes:
        by_error: dict[str, list[int]] = {}
        for index, error in sorted(outcome.errors.items()):
            by_error.setdefault(error, []).append(index)
        for error, indexes in by_error.items():
            lines = [job.data.rows[index].line for index in indexes]
            text = _format_error(outcome.name, error) + _format_other_lines(lines[1:])
            problems.append(Problem(job.data.locate_row(indexes[0]), text))
    return problems


def _format_other_lines(lines: list[int]) -> str:
    """Return the other lines that have the error as text; empty if there are none."""
    if not lines:
        return ""
    named, more = ", ".join(map(str, lines[:MAX_LISTED_LINES])), len(lines) - MAX_LISTED_LINES
    rest = f" and {more} more" if more > 0 else ""
    return f"\n  the same error in line{'s' if len(lines) > 1 else ''} {named}{rest}"


def _format_error(name: str, error: str) -> str:
    text = error if len(error) <= MAX_ERROR_LENGTH else f"{error[:MAX_ERROR_LENGTH]} …"
    return f"{name or 'the flow'} failed: {text}"


def _collect_container_files(
    job: EvaluationSpec, runs: tuple[BatchRun, ...], credentials: Credentials
) -> dict[str, Path | bytes]:
    """Return the files for the container by their path there."""
    content: dict[str, Path | bytes] = {
        f"{CONTAINER_FOLDER}/code/{CONTAINER_PACKAGE}/{name}": PACKAGE_ROOT / name
        for name in CONTAINER_FILES
    }
    shims = PACKAGE_ROOT / "server" / "shims"
    content |= {
        f"{CONTAINER_FOLDER}/shims/{path.relative_to(shims).as_posix()}": path
        for path in shims.rglob("*.py")
    }
    stubs = package_flow.list_stubs(job.lock)
    content |= {f"{CONTAINER_FOLDER}/shims/{name}": path for name, path in stubs.items()}
    run_descriptions = []
    for number, batch_run in enumerate(runs):
        folder = f"flows/{number}"
        content |= {
            f"{CONTAINER_FOLDER}/{folder}/{name}": path for name, path in batch_run.tree.items()
        }
        run_descriptions.append(
            {
                "name": batch_run.name,
                "folder": folder,
                "entry": batch_run.flow.entry,
                "inputs": batch_run.inputs,
                "init": batch_run.flow.init,
            }
        )
    job_description = {
        "flow": run_descriptions[0],
        "evaluations": run_descriptions[1:],
        "concurrency": job.settings.concurrency,
    }
    content[f"{CONTAINER_FOLDER}/job.json"] = json.dumps(job_description).encode()
    content[f"{CONTAINER_FOLDER}/data.jsonl"] = job.data.content
    content[f"{CONTAINER_FOLDER}/secret.json"] = credentials.to_json()
    content[f"{CONTAINER_FOLDER}/out/empty"] = b""
    return content
