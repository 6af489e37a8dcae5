"""Run a flow over its rows, and then its evaluation flows over the answers.

The first argument is a folder with job.json and secret.json; secret.json is deleted once it is
read. A line of JSON is printed for each row that is done, and result.json is written to out/.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...build.pf_flow_build import PACKAGES, StubFinder
from ...server import redaction
from . import identity

# Seconds between heartbeats: the reader gives up if it receives nothing for minutes.
HEARTBEAT_INTERVAL = 30.0

Event = Mapping[str, Any]
EventWriter = Callable[[Event], None]


def main(folder: str) -> None:
    work_folder = Path(folder)
    job = json.loads((work_folder / "job.json").read_text(encoding="utf-8"))
    secret = work_folder / "secret.json"
    credentials = json.loads(secret.read_text(encoding="utf-8"))
    secret.unlink()
    mask = functools.partial(_mask_secrets, redaction.list_spellings(credentials["secrets"]))
    emit = _create_event_writer(mask)
    finish = redaction.redact_output(credentials["secrets"])
    os.environ.update(credentials["variables"])
    if credentials["tokens"]:
        os.environ.update(identity.serve_tokens(credentials["tokens"]))
    try:
        result = _run_evaluation(work_folder, job, credentials["connections"], emit)
    except Exception as error:
        traceback.print_exc()
        result = {"problem": _format_root_cause(error)}
    text = json.dumps(mask(json.loads(json.dumps(result, default=str))))
    (work_folder / "out" / "result.json").write_text(text, encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    finish()
    # A normal exit would wait for the flow's threads.
    os._exit(0)


def _create_event_writer(mask: Callable[[Any], Any]) -> EventWriter:
    """Return a function that prints events; other output is redirected to standard error."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def emit(event: Event) -> None:
        with lock:
            print(json.dumps(mask(event)), file=output, flush=True)

    def send_heartbeats() -> None:
        while True:
            time.sleep(HEARTBEAT_INTERVAL)
            emit({})

    threading.Thread(target=send_heartbeats, daemon=True).start()
    return emit


def _mask_secrets(secrets: list[str], value: Any) -> Any:
    """Return plain data with the secrets masked in all texts."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, redaction.MASK.decode())
        return value
    if isinstance(value, dict):
        return {
            _mask_secrets(secrets, key): _mask_secrets(secrets, inner)
            for key, inner in value.items()
        }
    return [_mask_secrets(secrets, inner) for inner in value] if isinstance(value, list) else value


def _run_evaluation(
    work_folder: Path, job: Mapping[str, Any], connections: Any, emit: EventWriter
) -> dict[str, Any]:
    # A home folder without connection store and key ring, with telemetry off.
    home = Path(os.environ["PF_HOME_DIRECTORY"])
    home.mkdir(parents=True)
    (home / "pf.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    # If the flow requires all of promptflow, it is installed and must not be stubbed.
    if not (PACKAGES / "promptflow" / "_sdk").exists():
        sys.meta_path.insert(0, StubFinder())
    from . import batch

    batch.install_patches(connections)
    data = work_folder / "data.jsonl"
    main_result = batch.run_batch(
        work_folder, job["flow"], {"data": data}, job["concurrency"], emit
    )
    answers = work_folder / "answers.jsonl"
    answers.write_text(
        "".join(
            json.dumps({"line_number": index, **row["outputs"]}, default=str) + "\n"
            for index, row in main_result["rows"].items()
            if "outputs" in row
        ),
        encoding="utf-8",
    )
    sources = {"data": data, "run.inputs": data, "run.outputs": answers}
    # Without any answer there is nothing to evaluate.
    evaluations = job["evaluations"] if answers.stat().st_size else []
    evaluation_results = [
        batch.run_batch(work_folder, flow, sources, job["concurrency"], emit)
        for flow in evaluations
    ]
    return {"flow": main_result, "evaluations": evaluation_results}


def _format_root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main(*sys.argv[1:])
