"""A flow that does as it is told, by variables and by what it is asked: for tests of Azure's services."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import docker

from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PUSH
from tests import projects

ROOT = Path(__file__).parents[2]
FLOW = "obedient"
# Where its images are.
REGISTRY, FOLDER = "crflows", "shared"

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
    # What masks secrets is a thread of this very process, and ends with it.
    time.sleep(0.5)
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


def project(folder: Path) -> Project:
    """Make a project of that flow, whose packages are those of faq, so that they are there already.

    It is not called hello: images of that name come and go with other tests.
    """
    locked = {
        name: (ROOT / "flows/faq" / name).read_text("utf-8")
        for name in ("requirements.txt", "requirements.lock")
    }
    hello = ("deploy.yaml", "flow.dag.yaml", "answer.py", "sample.json", "requirements.txt")
    files = {
        **{f"flows/hello/{name}": None for name in hello},
        **{f"flows/{FLOW}/{name}": text for name, text in locked.items()},
        f"flows/{FLOW}/deploy.yaml": projects.DEPLOY,
        f"flows/{FLOW}/flow.dag.yaml": projects.FLOW,
        f"flows/{FLOW}/answer.py": CODE,
        f"flows/{FLOW}/sample.json": {"question": "sample"},
    }
    return projects.make(folder, files)


def published(azure: Azure, client: docker.DockerClient, folder: Path) -> tuple[Image, ...]:
    """Return two images of the flow that differ by a comment, as the registry has them.

    Nobody else has these: whoever tests on the same engine removes its own.
    """
    acr = azure.registry(REGISTRY)
    made = project(folder)
    found = []
    for _ in range(2):
        path = made.root / f"flows/{FLOW}/answer.py"
        path.write_text(f"{CODE}\n# {uuid.uuid4()}\n", encoding="utf-8")
        built = resolve_image.build_image(made, configuration.load_flow(made, FLOW))
        repository, digest = push(azure, acr, client, built.id, f"{FOLDER}/{FLOW}")
        found.append(replace(built, repository=repository, digest=digest))
    return tuple(found)


def push(
    azure: Azure, acr: Acr, client: docker.DockerClient, image: str, name: str
) -> tuple[str, str]:
    """Push an image of the engine, without what goes with one; return its repository and digest."""
    publisher = azure.identity("publisher", **{acr.name: [ACR_PUSH]})
    auth = {"identitytoken": azure.puller.refresh_token(acr, publisher)}
    repository = f"{acr.login_server}/{name}"
    client.images.get(image).tag(repository, "1")
    try:
        lines = client.api.push(repository, "1", auth_config=auth, stream=True, decode=True)
        (digest,) = [line["aux"]["Digest"] for line in lines if "aux" in line]
    finally:
        client.images.remove(f"{repository}:1")
    return repository, digest
