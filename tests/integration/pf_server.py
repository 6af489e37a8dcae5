"""pf's own server of an example flow, in a container: the one that ours is compared with.

The container runs what the image of `pf flow build --format docker` runs (gunicorn with promptflow's
Flask application), with fewer workers, and with the flow as it was packed for our image. Connections
come from a variable in place of a store on disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import docker
from docker.models.containers import Container

from deploy.build import base_image, lock_files, packages
from deploy.core.entities import Flow, Image
from deploy.docker.tar_files import pack
from deploy.server import connections
from deploy.testing.waiting import until
from tests.integration.running_container import Running
from tests.projects import FIXTURE

HERE = Path(__file__).parent
LOCK = HERE / "pf_server.lock"
APP = HERE / "pf_app.py"
FOLDER = packages.FOLDER
PACKED_FLOW = "/app/flow"
# As pf's start script, but for the number of workers: what is compared does not depend on it.
COMMAND = ["gunicorn", "-w", "1", "--threads", "4", "-b", "0.0.0.0:8080", "--timeout", "300"]


def environment(client: docker.DockerClient, flow: Flow) -> tuple[str, str]:
    """Return the id of a base image, and a volume with promptflow's packages; made once, and kept."""
    chosen = base_image.ensure(client, flow.image, FIXTURE)
    body = lock_files.strip_comments(LOCK.read_text(encoding="utf-8"))
    return chosen.id, packages.ensure_volume(client, chosen, body, flow.image.python)


def start(
    client: docker.DockerClient, flow: Flow, ours: Image, environ: Mapping[str, str]
) -> Running:
    """Start pf's server of the flow that is packed in the image `ours`, and wait until it listens.

    `environ` has the values that the flow's connections read.
    """
    packed = _packed(client, ours)
    resolved = connections.resolve(flow.connections, environ)
    base, volume = environment(client, flow)
    container: Container = client.containers.create(
        base,
        ["-m", *COMMAND, "pf_app:create()"],
        entrypoint=["python3"],
        user="0:0",
        working_dir=PACKED_FLOW,
        volumes={volume: {"bind": f"/{FOLDER}", "mode": "ro"}},
        environment={
            "PYTHONPATH": f"/{FOLDER}:/pf",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/tmp",
            "PF_LOGGING_LEVEL": "WARNING",
            "CONNECTIONS": json.dumps(resolved.connections),
        },
        ports={"8080/tcp": None},
        extra_hosts={"host.docker.internal": "host-gateway"},
        labels={"flow-deploy.test": "pf-server"},
    )
    # The folder /app must be there before the flow can be put into it.
    container.put_archive("/", pack({"pf/pf_app.py": APP, "app/.keep": b""}))
    container.put_archive("/app", packed)
    container.start()
    container.reload()
    (published, *_) = container.ports["8080/tcp"] or []
    running = Running(container, f"http://127.0.0.1:{published['HostPort']}")
    until(lambda: _listens(running))
    return running


def _packed(client: docker.DockerClient, ours: Image) -> bytes:
    """Return the flow as it lies in our image, as an archive of the folder `flow`."""
    holder = client.containers.create(ours.id)
    try:
        chunks, _ = holder.get_archive(PACKED_FLOW)
        return b"".join(chunks)
    finally:
        holder.remove()


def _listens(running: Running) -> bool:
    running.container.reload()
    assert running.container.status == "running", running.logs()
    try:
        return running.get("/health").status_code == 200
    except OSError:
        return False
