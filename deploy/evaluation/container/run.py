"""Run a flow over its rows, and then its evaluation flows over the answers.

Reads job.json and secret.json in the folder of its first argument, and removes the latter. Prints a
line of JSON for each row that is done, and writes result.json into the folder out/.
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

from ...build.pf_flow_build import PACKAGES, Absent
from ...runtime import redaction
from . import identity

# Whoever reads gives up where nothing comes for minutes: an empty event after so many seconds.
LIFE_SIGN = 30.0

Event = Mapping[str, Any]
Say = Callable[[Event], None]


def main(folder: str) -> None:
    here = Path(folder)
    job = json.loads((here / "job.json").read_text(encoding="utf-8"))
    secret = here / "secret.json"
    hidden = json.loads(secret.read_text(encoding="utf-8"))
    secret.unlink()
    masked = functools.partial(_masked, redaction.forms(hidden["secrets"]))
    say = _speaker(masked)
    finish = redaction.redact_output(hidden["secrets"])
    os.environ.update(hidden["variables"])
    if hidden["tokens"]:
        os.environ.update(identity.serve(hidden["tokens"]))
    try:
        result = _run(here, job, hidden["connections"], say)
    except Exception as error:
        traceback.print_exc()
        result = {"problem": _reason(error)}
    text = json.dumps(masked(json.loads(json.dumps(result, default=str))))
    (here / "out" / "result.json").write_text(text, encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    finish()
    # Threads of the flow may still wait for something.
    os._exit(0)


def _speaker(masked: Callable[[Any], Any]) -> Say:
    """Return what prints an event; all that flows print goes to standard error from now on."""
    outlet = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    turn = threading.Lock()

    def say(event: Event) -> None:
        with turn:
            print(json.dumps(masked(event)), file=outlet, flush=True)

    def live() -> None:
        while True:
            time.sleep(LIFE_SIGN)
            say({})

    threading.Thread(target=live, daemon=True).start()
    return say


def _masked(secrets: list[str], value: Any) -> Any:
    """Return plain data without the secrets in any of its texts."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, redaction.MASK.decode())
        return value
    if isinstance(value, dict):
        return {_masked(secrets, key): _masked(secrets, inner) for key, inner in value.items()}
    return [_masked(secrets, inner) for inner in value] if isinstance(value, list) else value


def _run(here: Path, job: Mapping[str, Any], connections: Any, say: Say) -> dict[str, Any]:
    # A home of the container's own: no connection store, no key ring; telemetry off.
    home = Path(os.environ["PF_HOME_DIRECTORY"])
    home.mkdir(parents=True)
    (home / "pf.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    # A flow that wants the whole of promptflow gets it here, too.
    if not (PACKAGES / "promptflow" / "_sdk").exists():
        sys.meta_path.insert(0, Absent())
    from . import batch

    batch.install(connections)
    data = here / "data.jsonl"
    judged = batch.run(here, job["flow"], {"data": data}, job["concurrency"], say)
    answers = here / "answers.jsonl"
    answers.write_text(
        "".join(
            json.dumps({"line_number": index, **row["outputs"]}, default=str) + "\n"
            for index, row in judged["rows"].items()
            if "outputs" in row
        ),
        encoding="utf-8",
    )
    sources = {"data": data, "run.inputs": data, "run.outputs": answers}
    # Without a single answer there is nothing to judge.
    chosen = job["evaluations"] if answers.stat().st_size else []
    judgements = [batch.run(here, flow, sources, job["concurrency"], say) for flow in chosen]
    return {"flow": judged, "evaluations": judgements}


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main(*sys.argv[1:])
