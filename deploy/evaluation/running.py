"""One evaluation in a container: the flow's locked packages, prompt flow's tools, the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import docker

from deploy import console
from deploy.build import image, package_flow, packages
from deploy.build.base_image import Base
from deploy.docker import isolated, tar_files
from deploy.errors import Problem
from deploy.evaluation import results
from deploy.evaluation.credentials import Credentials
from deploy.evaluation.job import Job, Part
from deploy.evaluation.results import Outcome
from deploy.model import Flow

HOME = "evaluate"
OUTPUT = f"/{HOME}/out"
# What the program in the container is there: not `deploy`, which a flow may have a module of.
PROGRAM = "flow_evaluation"
SOURCE = Path(__file__).parents[1]
# The part of `deploy` that runs there.
CODE = (
    "__init__.py",
    "build/__init__.py",
    "build/pf_flow_build.py",
    "evaluation/__init__.py",
    "evaluation/container/__init__.py",
    "evaluation/container/run.py",
    "evaluation/container/batch.py",
    "evaluation/container/identity.py",
    "runtime/__init__.py",
    "runtime/redaction.py",
    "runtime/pf/__init__.py",
    "runtime/pf/retries.py",
)
# Longer errors of a row are cut, and of rows with the same error so many are named.
LONGEST, NAMED = 400, 20


def prepare(
    client: docker.DockerClient, flow: Flow, lock: str, chosen: Base, root: Path
) -> tuple[Base, dict[str, str]]:
    """Return a base for the engine's own platform, and volumes with where to mount them.

    They hold the flow's packages and prompt flow's tools, made where they are not there yet. Raises
    `DeployError`.
    """
    native = image.native_base(client, flow.image, chosen, root)
    python = flow.image.python
    return native, {
        packages.ensure_volume(client, native, lock, python): f"/{packages.FOLDER}",
        package_flow.tools(client, native, python): f"/{package_flow.FOLDER}",
    }


def run(
    client: docker.DockerClient,
    job: Job,
    secret: Credentials,
    native: Base,
    volumes: Mapping[str, str],
) -> tuple[Outcome, ...]:
    """Run the flow of `job` over its rows, then its evaluation flows; return what came of each.

    Shows how far it is, and tells of each row that fails. Raises `DeployError`.
    """
    parts = (job.answering, *job.judging)
    names = tuple(part.name for part in parts)
    doing = f"evaluating {job.flow.name}"
    environment = {
        "PYTHONPATH": f"/{packages.FOLDER}:/{package_flow.FOLDER}:/{HOME}/code:/{HOME}/shims",
        "HOME": f"/{HOME}",
        "PF_HOME_DIRECTORY": f"/{HOME}/home",
        "PF_LOGGING_LEVEL": "ERROR",
        "PF_TRACING_SKIP_LOCAL_SETUP": "true",
        # Within the process alone: tokens are counted in the calls of models that it notes.
        "PF_DISABLE_TRACING": "false",
        "PYTHONWARNINGS": "ignore",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    count = len(job.data.rows)
    with console.phase("evaluate", f"{count} rows, {len(parts)} flows") as shown:
        failed: set[str] = set()

        def said(line: str) -> None:
            event = results.event(line, count, doing)
            if event is None:
                return
            shown.now(f"{event.flow or job.flow.name}: {event.done} of {count} rows")
            # The first of each flow at once; all of them are told in the end.
            if event.error is not None and event.flow in names and event.flow not in failed:
                failed.add(event.flow)
                where = job.data.where(event.row)
                console.note("evaluate", f"{where}: {_told(event.flow, event.error)}")

        archive = isolated.run_online(
            client,
            native.id,
            ["python3", "-m", f"{PROGRAM}.evaluation.container.run", f"/{HOME}"],
            tar_files.pack(_content(job, parts, secret)),
            OUTPUT,
            environment,
            doing,
            volumes,
            said,
            job.settings.timeout,
            results.MOST_BYTES,
        )
        with archive:
            outcomes = results.outcomes(archive, names, count, doing)
        if tokens := sum(outcome.tokens for outcome in outcomes):
            shown.result = f"{tokens} tokens"
    return outcomes


def failures(job: Job, outcomes: tuple[Outcome, ...]) -> list[Problem]:
    """Return a problem for each error: at the first row that has it, with the lines of the rest."""
    problems = []
    for outcome in outcomes:
        by_error: dict[str, list[int]] = {}
        for index, error in sorted(outcome.errors.items()):
            by_error.setdefault(error, []).append(index)
        for error, indexes in by_error.items():
            lines = [job.data.rows[index].line for index in indexes]
            text = _told(outcome.name, error) + _same(lines[1:])
            problems.append(Problem(job.data.where(indexes[0]), text))
    return problems


def _same(lines: list[int]) -> str:
    """Return in which other lines the error is, empty for none."""
    if not lines:
        return ""
    named, more = ", ".join(map(str, lines[:NAMED])), len(lines) - NAMED
    rest = f", and {more} more" if more > 0 else ""
    return f"\n  the same in line{'s' if len(lines) > 1 else ''} {named}{rest}"


def _told(name: str, error: str) -> str:
    text = error if len(error) <= LONGEST else f"{error[:LONGEST]} …"
    return f"{name or 'the flow'} failed: {text}"


def _content(job: Job, parts: tuple[Part, ...], secret: Credentials) -> dict[str, Path | bytes]:
    """Return all that the container gets, by its path there."""
    content: dict[str, Path | bytes] = {
        f"{HOME}/code/{PROGRAM}/{name}": SOURCE / name for name in CODE
    }
    shims = SOURCE / "runtime" / "shims"
    content |= {
        f"{HOME}/shims/{path.relative_to(shims).as_posix()}": path for path in shims.rglob("*.py")
    }
    stand_ins = package_flow.stand_ins(job.lock)
    content |= {f"{HOME}/shims/{name}": path for name, path in stand_ins.items()}
    described = []
    for number, part in enumerate(parts):
        folder = f"flows/{number}"
        content |= {f"{HOME}/{folder}/{name}": path for name, path in part.tree.items()}
        described.append(
            {
                "name": part.name,
                "folder": folder,
                "entry": part.flow.entry,
                "inputs": part.inputs,
                "init": part.flow.init,
            }
        )
    about = {
        "flow": described[0],
        "evaluations": described[1:],
        "concurrency": job.settings.concurrency,
    }
    content[f"{HOME}/job.json"] = json.dumps(about).encode()
    content[f"{HOME}/data.jsonl"] = job.data.content
    content[f"{HOME}/secret.json"] = secret.as_file()
    content[f"{HOME}/out/empty"] = b""
    return content
