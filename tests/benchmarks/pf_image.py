"""pf's own image of a flow: what `pf flow build --format docker` writes, on Debian's Python.

pf's Dockerfile starts from an image with conda. In its place stands a base of Debian packages with
a small program named conda that makes virtual environments, so that pf's start scripts run as
they were written. Of the Dockerfile three things differ: the base; the line that installs runit and
gcc, which the base has; and pip's index, in whose place stands a folder of wheels on this machine,
as the network of a build does not reach every index. All three are in pf's favour.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import docker.errors
from ruamel.yaml import YAML
from uv import find_uv_bin

from deploy import config, setup
from deploy.model import Flow
from tests.benchmarks import images
from tests.benchmarks.measure import Built
from tests.benchmarks.own_image import ROOT, copy_of_project

CACHE = ROOT / ".build" / "bench"
PROMPTFLOW = "promptflow==1.18.5"
TOOLS = "promptflow-tools==1.6.1"
# What pf's Dockerfile installs after the flow's requirements.txt.
ADDED = [PROMPTFLOW, "keyrings.alt", "gunicorn==22.0.0", "uvicorn>=0.27.0,<1.0.0"]
PYTHON = "3.11"
SUITE = "bookworm"
PACKAGES = [
    "bash",
    "ca-certificates",
    "gcc",
    "procps",
    f"python{PYTHON}",
    f"python{PYTHON}-venv",
    "runit",
]
# What Debian's slim images leave out.
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
CONDA = f"""#!/bin/sh
# Stands in for conda: an environment is a virtual environment of Debian's Python.
base=/opt/conda
case "$1" in
  info) echo "$base" ;;
  create) python{PYTHON} -m venv "$base/envs/$3" ;;
  run) PATH="$base/envs/$3/bin:$PATH"; shift 3; exec "$@" ;;
  clean) ;;
  *) echo "conda: unknown command: $1" >&2; exit 1 ;;
esac
"""
APT_LINE = "RUN apt-get update && apt-get install -y runit gcc"


class PfImage:
    """Builds pf's own image of `flow`, in a copy of the project below `folder`.

    `endpoint` is the address of the model that pf writes into the image.
    """

    def __init__(
        self, client: docker.DockerClient, flow: str, folder: Path, run: str, endpoint: str
    ) -> None:
        self._client = client
        self._run = run
        self._flow = config.load_flow(
            config.open_project(copy_of_project(folder / "project")), flow
        )
        self._output = folder / "output"
        self._base = ensure_base(client)
        self._tag = f"bench-pf-{flow}:{run}"
        self._pf = _Pf(_environment_of(self._flow), folder / "home")
        self._wheels = _wheels_of(self._flow)
        self._pf.connect(self._flow, endpoint)
        self._fresh = ""
        self._index = ""

    @property
    def source(self) -> Path:
        """The folder of the flow that is built: edit it to have something to rebuild."""
        return self._flow.folder

    @contextmanager
    def packages_at_hand(self) -> Iterator[None]:
        """Serve the wheels to builds inside of the block: one address, so that layers are kept."""
        with _served(self._wheels) as address:
            self._index = address
            yield

    def clean(self) -> Built:
        """Build on a base that nothing was built on yet."""
        self._fresh = f"bench-pf-base:{self._run}"
        images.fresh(self._client, self._base, self._fresh, self._run)
        return self.build()

    def build(self) -> Built:
        """Pack the flow as it is now and build its image, on the base of the last `clean`."""
        start = time.monotonic()
        self._pf.flow_build(self.source, self._output)
        self._adapt()
        packed = time.monotonic()
        arguments = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self._index}
        # The wheels are served on this machine's loopback address.
        image = images.build(self._client, self._output, self._tag, arguments, network="host")
        end = time.monotonic()
        return Built(image, end - start, docker_seconds=end - packed)

    def environment(self, key: str) -> dict[str, str]:
        """Return the variables that pf's settings.json asks for: the keys of the connections."""
        settings = json.loads((self._output / "settings.json").read_text(encoding="utf-8"))
        return dict.fromkeys(settings, key)

    def _adapt(self) -> None:
        # The Dockerfile copies this folder, and pf writes it only where there are connections.
        (self._output / "connections").mkdir(exist_ok=True)
        dockerfile = self._output / "Dockerfile"
        dockerfile.write_text(adapted(dockerfile.read_text(encoding="utf-8"), self._fresh))


def adapted(dockerfile: str, base: str) -> str:
    """Return pf's `dockerfile` for `base`, which has runit and gcc and takes wheels from a folder.

    Raises `ValueError` where the Dockerfile is not the one that this was written for.
    """
    lines = dockerfile.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("FROM ")]
    if len(starts) != 1 or APT_LINE not in lines:
        raise ValueError(f"{PROMPTFLOW} writes another Dockerfile than this benchmark knows")
    lines[starts[0]] = f"FROM {base}\nARG PIP_NO_INDEX\nARG PIP_FIND_LINKS"
    lines.remove(APT_LINE)
    return "\n".join(lines) + "\n"


def ensure_base(client: docker.DockerClient) -> str:
    """Return the id of the base of Debian packages; made once, and kept."""
    recipe = "\n".join([SUITE, *PACKAGES, *LEFT_OUT, CONDA])
    tag = f"bench-pf-base:{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    try:
        return str(client.images.get(tag).id)
    except docker.errors.ImageNotFound:
        setup.ensure_bootstrap()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _bootstrap(folder / "root.tar")
        (folder / "conda").write_text(CONDA, encoding="utf-8")
        (folder / "conda").chmod(0o755)
        (folder / "Dockerfile").write_text(
            "FROM scratch\nADD root.tar /\nCOPY conda /usr/local/bin/conda\n"
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8\n",
            encoding="utf-8",
        )
        return images.build(client, folder, tag)


def _bootstrap(archive: Path) -> None:
    _say(f"making a base of Debian {SUITE} for pf's own image")
    command = ["mmdebstrap", "--quiet", "--variant=minbase"]
    command += ['--aptopt=APT::Install-Recommends "false"']
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    command += [f"--include={','.join(PACKAGES)}", SUITE, str(archive)]
    _run(command, os.environ)


class _Pf:
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
        _run([str(self._program), *map(str, arguments)], self._environment)


def _environment_of(flow: Flow) -> Path:
    """Return a virtual environment with pf and the flow's requirements; made once, and kept."""
    venv = _cached("pf", flow, [PROMPTFLOW, TOOLS])
    if not venv.exists():
        _say(f"installing pf and the packages of {flow.name}")
        making = venv.with_suffix(".part")
        uv = find_uv_bin()
        _run([uv, "venv", "--quiet", "--clear", "--relocatable", "--python", PYTHON, str(making)])
        install = [uv, "pip", "install", "--quiet", "--python", str(making / "bin" / "python")]
        requirements = ["-r", str(flow.folder / "requirements.txt")]
        _run([*install, *requirements, PROMPTFLOW, TOOLS, "keyrings.alt"])
        making.rename(venv)
    return venv


def _wheels_of(flow: Flow) -> Path:
    """Return a folder with the wheels of all that pf's image installs; downloaded once, and kept.

    It does for pip in the build what uv's cache does for our own.
    """
    folder = _cached("wheels", flow, ADDED)
    if not folder.exists():
        _say(f"downloading the packages of pf's own image of {flow.name}")
        making = folder.with_suffix(".part")
        shutil.rmtree(making, ignore_errors=True)
        with tempfile.TemporaryDirectory() as venv:
            _run([find_uv_bin(), "venv", "--quiet", "--seed", "--python", PYTHON, venv])
            collect = [f"{venv}/bin/pip", "wheel", "--quiet", "--wheel-dir", str(making)]
            _run([*collect, "-r", str(flow.folder / "requirements.txt"), *ADDED])
        making.rename(folder)
    return folder


def _cached(kind: str, flow: Flow, added: Sequence[str]) -> Path:
    text = (flow.folder / "requirements.txt").read_text(encoding="utf-8") + "\n".join(added)
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE / f"{kind}-{flow.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@contextmanager
def _served(folder: Path) -> Iterator[str]:
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


def _run(command: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
    """Run `command`. Raises `RuntimeError` with the end of its output where it fails."""
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}:\n{tail}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
