"""pf's own image of a flow: what `pf flow build --format docker` writes, on Debian's Python.

Of pf's Dockerfile three things differ: the base (`pf_base`); the line that installs runit and gcc,
which the base has already, as that line would install them; and pip's index, in whose place stands
a folder of wheels on this machine, as the network of a build does not reach every index. All three
are in pf's favour: nothing is downloaded while the time is taken, and neither Miniconda (hundreds
of megabytes) nor an interpreter of its own is in the image.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from deploy.config import configuration
from tests.benchmarks import images, pf_base
from tests.benchmarks.measure import Built
from tests.benchmarks.own_image import copy_of_project
from tests.benchmarks.pf_command import PROMPTFLOW, PfCommand, environment_of, served, wheels_of

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
        self._flow = configuration.load_flow(
            configuration.open_project(copy_of_project(folder / "project")), flow
        )
        self._output = folder / "output"
        self._base = pf_base.ensure(client)
        self._tag = f"bench-pf-{flow}:{run}"
        self._pf = PfCommand(environment_of(self._flow), folder / "home")
        self._wheels = wheels_of(self._flow)
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
        with served(self._wheels) as address:
            self._index = address
            yield

    def clean(self) -> Built:
        """Build on a base that nothing was built on yet."""
        self._fresh = f"bench-pf-base:{self._run}-{self._flow.name}"
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
