"""A flow with both of its images, which are measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import docker

from tests.benchmarks import serving
from tests.benchmarks.fast_model import Model
from tests.benchmarks.own_image import OwnImage
from tests.benchmarks.pf_image import PfImage
from tests.benchmarks.serving import Server
from tests.benchmarks.variants import Variant

# The fast model server checks none.
KEY = "key-for-the-benchmark"


class Subject:
    """The flow `name`; its images are built when they are first asked for.

    `folder` is a place for copies, `run` what images are labelled with, `model` what flows ask, and
    `official` the official base image.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        name: str,
        folder: Path,
        run: str,
        model: Model,
        official: str,
    ) -> None:
        self._client = client
        self._model = model
        self.name = name
        self.ours = OwnImage(client, name, folder / name / "ours", run)
        self.official = OwnImage(client, name, folder / name / "official", run, official)
        self.pf = PfImage(client, name, folder / name / "pf", run, model.endpoint)
        self.built: dict[tuple[bool, bool], str] = {}
        self.sample: dict[str, Any] = self.ours.sample

    @contextmanager
    def packages_at_hand(self) -> Iterator[None]:
        """Serve the packages that pf's image installs, inside of the block."""
        with self.pf.packages_at_hand():
            yield

    def image(self, variant: Variant) -> str:
        """Return the id of the variant's image as it was built last; it is built where it was not."""
        if variant.image not in self.built:
            # A build on the usual base finds our packages in the engine; pf's has none to find.
            built = self.own(variant).build() if variant.ours else self.pf.clean()
            self.built[variant.image] = built.image
        return self.built[variant.image]

    def own(self, variant: Variant) -> OwnImage:
        """Return what builds our image of the variant."""
        return self.official if variant.official else self.ours

    def serve(self, variant: Variant, sample: Any = None) -> AbstractContextManager[Server]:
        """Run a container of the variant that has answered `sample`; the flow's own without it."""
        image = self.image(variant)
        environment = (
            self.ours.environment(self._model.endpoint, KEY)
            if variant.ours
            else self.pf.environment(KEY)
        )
        return serving.serve(
            self._client, image, {**environment, **variant.variables}, sample or self.sample
        )
