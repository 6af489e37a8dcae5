"""A server with telemetry to a collector."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HTTP = "http://collector:4318"
HEAD = """
import logging, os, sys, time
logging.basicConfig(level="INFO", format="%(name)s: %(message)s")
from deploy.server.telemetry import setup as telemetry
about = {"flow": "hello", "tag": "abc123", "commit": "0" * 40}
"""
SERVE = """
from opentelemetry import trace
from starlette.testclient import TestClient
from deploy.server import app
from deploy.server.scorer import Field, FlowError
from deploy.server.settings import Settings
class Scorer:
    inputs = {"question": Field("string")}
    outputs = {"answer": Field("string")}
    async def score(self, inputs, *, stream):
        with trace.get_tracer("flow").start_as_current_span("inner"):
            if inputs["question"] == "fail":
                raise FlowError("the flow failed")
            return {"answer": "private answer"}
sending = telemetry.start(os.environ, about)
client = TestClient(sending.wrap(app.Application(Scorer(), about, Settings())))
def post(question="private question", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/score", json={"question": question}, headers=headers)
"""


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `code` with these variables; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done
