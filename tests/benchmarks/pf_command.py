"""The command `pf`, and the packages that pf's own image installs: got once, and kept."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from uv import find_uv_bin

from deploy.core.entities import Flow
from tests.benchmarks.own_image import ROOT
from tests.benchmarks.pf_base import PYTHON, run, say

CACHE = ROOT / ".build" / "bench"
PROMPTFLOW = "promptflow==1.18.5"
TOOLS = "promptflow-tools==1.6.1"
# What pf's Dockerfile installs after the flow's requirements.txt.
ADDED = [PROMPTFLOW, "keyrings.alt", "gunicorn==22.0.0", "uvicorn>=0.27.0,<1.0.0"]


class PfCommand:
    """The command `pf` of the virtual environment `venv`, with a `home` of its own."""

    def __init__(self, venv: Path, home: Path) -> None:
        self._program = venv / "bin" / "pf"
        self._home = home
        # pf insists on its own home being below the user's.
        own = home / ".promptflow"
        own.mkdir(parents=True)
        (own / "pf.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
        self._environment = {
            **os.environ,
            "HOME": str(home),
            "PF_HOME_DIRECTORY": str(own),
            "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
        }

    def flow_build(self, source: Path, output: Path) -> None:
        """Write the build context for the flow in `source` to `output`."""
        shutil.rmtree(output, ignore_errors=True)
        self._run("flow", "build", "--source", source, "--output", output, "--format", "docker")

    def connect(self, flow: Flow, endpoint: str) -> None:
        """Store the connections that `flow` declares, for a model at `endpoint`."""
        for name, declared in flow.connections.items():
            if declared["type"] != "azure_open_ai":
                raise ValueError(f"{flow.name}: no {declared['type']} connections in the benchmark")
            file = self._home / f"{name}.yaml"
            content: dict[str, Any] = {
                "name": name,
                "type": "azure_open_ai",
                "api_type": "azure",
                "api_base": endpoint,
                # pf leaves it out of the image, and has the container read it from a variable.
                "api_key": "none",
            }
            YAML().dump(content, file)
            self._run("connection", "create", "--file", file)

    def _run(self, *arguments: str | Path) -> None:
        run([str(self._program), *map(str, arguments)], self._environment)


def environment_of(flow: Flow) -> Path:
    """Return a virtual environment with pf and the flow's requirements; made once, and kept."""
    venv = _cached("pf", flow, [PROMPTFLOW, TOOLS])
    if not venv.exists():
        say(f"installing pf and the packages of {flow.name}")
        making = venv.with_suffix(".part")
        uv = find_uv_bin()
        run([uv, "venv", "--quiet", "--clear", "--relocatable", "--python", PYTHON, str(making)])
        install = [uv, "pip", "install", "--quiet", "--python", str(making / "bin" / "python")]
        requirements = ["-r", str(flow.folder / "requirements.txt")]
        run([*install, *requirements, PROMPTFLOW, TOOLS, "keyrings.alt"])
        making.rename(venv)
    return venv


def wheels_of(flow: Flow) -> Path:
    """Return a folder with the wheels of all that pf's image installs; downloaded once, and kept.

    It does for pip in the build what uv's cache does for our own.
    """
    folder = _cached("wheels", flow, ADDED)
    if not folder.exists():
        say(f"downloading the packages of pf's own image of {flow.name}")
        making = folder.with_suffix(".part")
        shutil.rmtree(making, ignore_errors=True)
        with tempfile.TemporaryDirectory() as venv:
            run([find_uv_bin(), "venv", "--quiet", "--seed", "--python", PYTHON, venv])
            collect = [f"{venv}/bin/pip", "wheel", "--quiet", "--wheel-dir", str(making)]
            run([*collect, "-r", str(flow.folder / "requirements.txt"), *ADDED])
        making.rename(folder)
    return folder


def _cached(kind: str, flow: Flow, added: Sequence[str]) -> Path:
    text = (flow.folder / "requirements.txt").read_text(encoding="utf-8") + "\n".join(added)
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files in `folder` on the loopback address; yield the URL."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
