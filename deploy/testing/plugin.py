"""A pytest plugin with the fixtures of the contract of all targets: `-p deploy.testing.plugin`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker.errors
import pytest

from deploy.core.entities import Image
from deploy.docker import engine

# Before the modules are imported, so that failed assertions show their values.
pytest.register_assert_rewrite("deploy.testing.scripted_project", "deploy.testing.target_contract")

from deploy.testing import scripted_project  # noqa: E402
from deploy.testing.scripted_project import ScriptedProject  # noqa: E402
from deploy.testing.target_contract import Stage  # noqa: E402


@pytest.fixture(scope="class")
def stage() -> Stage:
    """What the target needs; a distribution defines a fixture of this name."""
    pytest.fail("define a fixture `stage` that returns a deploy.testing.target_contract.Stage")


@pytest.fixture(scope="session")
def contract_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Image, ...]]:
    """Images of two versions of the flow, on this machine's engine."""
    images = scripted_project.build_images(
        scripted_project.create(tmp_path_factory.mktemp("images"))
    )
    yield images
    for image in images:
        # A target that fails its tests may leave a container.
        with contextlib.suppress(docker.errors.APIError):
            engine.connect().images.remove(image.id, force=True)


@pytest.fixture(scope="class")
def dev(
    stage: Stage, contract_images: tuple[Image, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ScriptedProject]:
    """A project that deploys to the stage; its deployment is removed at the end."""
    folder = tmp_path_factory.mktemp("contract")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        project = scripted_project.make(
            folder, contract_images, stage.settings, stage.place, stage.variables
        )
        yield project
        project.declare()
        project.destroy()
