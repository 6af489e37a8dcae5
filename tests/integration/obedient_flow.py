"""A flow that does as it is told, by variables and by what it is asked: for tests of Azure's services."""

from __future__ import annotations

from pathlib import Path

import docker

from deploy.config import Project
from tests import projects
from tests.emulator.acr import Acr
from tests.emulator.azure import Azure
from tests.emulator.identities import ACR_PUSH

# An image of it crashes, hangs, or answers 502 to everything for the variable BREAK, or answers the question
# "sample" badly, at once (mute) or from its fifth time on (weary); else it answers with COLOUR and its own
# name.
CODE = """\
import os
import socket
import time

from promptflow.core import tool

if os.environ.get("BREAK") == "crash":
    print("the weights are missing", flush=True)
    os._exit(3)
if os.environ.get("BREAK") == "hang":
    time.sleep(600)
if os.environ.get("BREAK") == "502":
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self):
            print("asked for", self.path, flush=True)
            self.send_error(502)

        do_POST = do_GET

    HTTPServer(("", 8080), Broken).serve_forever()
asked = 0


def pieces():
    for piece in ("one", "two", "three"):
        yield piece
        time.sleep(0.5)


@tool
def answer(question: str) -> str:
    global asked
    kind, _, rest = question.partition(" ")
    if kind == "sample":
        asked += 1
        if os.environ.get("BREAK") == "mute":
            return ""
        if os.environ.get("BREAK") == "weary" and asked > 4:
            raise ValueError("no more")
    if kind == "sleep":
        time.sleep(float(rest))
    if kind == "fail":
        raise ValueError("as asked")
    if kind == "stream":
        return pieces()
    return f"{os.environ.get('COLOUR', '')} {socket.gethostname()}"
"""


def project(folder: Path, root: Path, question: str = "why?") -> Project:
    """Make a project of that flow, whose packages are those of faq, so that they are there already.

    It is not called hello: images of that name come and go with other tests. `question` is the
    sample's.
    """
    locked = {
        name: (root / "flows/faq" / name).read_text("utf-8")
        for name in ("requirements.txt", "requirements.lock")
    }
    hello = ("deploy.yaml", "flow.dag.yaml", "answer.py", "sample.json", "requirements.txt")
    files = {
        **{f"flows/hello/{name}": None for name in hello},
        **{f"flows/obedient/{name}": text for name, text in locked.items()},
        "flows/obedient/deploy.yaml": projects.DEPLOY,
        "flows/obedient/flow.dag.yaml": projects.FLOW,
        "flows/obedient/answer.py": CODE,
        "flows/obedient/sample.json": {"question": question},
    }
    return projects.make(folder, files)


def push(azure: Azure, acr: Acr, client: docker.DockerClient, image: str, name: str) -> str:
    """Push an image of the engine; return its name by digest."""
    publisher = azure.identity("publisher", **{acr.name: [ACR_PUSH]})
    auth = {"identitytoken": azure.puller.refresh_token(acr, publisher)}
    repository = f"{acr.login_server}/{name}"
    client.images.get(image).tag(repository, "1")
    try:
        lines = client.api.push(repository, "1", auth_config=auth, stream=True, decode=True)
        (digest,) = [line["aux"]["Digest"] for line in lines if "aux" in line]
    finally:
        client.images.remove(f"{repository}:1")
    return f"{repository}@{digest}"
