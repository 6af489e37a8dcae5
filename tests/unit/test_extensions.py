"""Targets of other distributions: found by entry points, and judged before they are used."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import kinds
from deploy.cli import doctor
from deploy.config import configuration, target_registry
from deploy.config.target import Target
from deploy.core.errors import DeployError

EXAMPLE = Path(__file__).parents[2] / "examples/target-containerapps"
GOOD = """\
from deploy.config.schema import PlaceModel, TargetSettings

class Space:
    Settings, Place = TargetSettings, PlaceModel
    engine = check = plan = apply = rollback = headers = explain_response = status = logs = destroy = print

TARGET = Space()
"""


class Installer:
    """Installs made-up distributions into a folder, as pip would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(
        self,
        name: str,
        points: dict[str, str],
        code: str = GOOD,
        group: str = target_registry.ENTRY_POINT_GROUP,
    ) -> None:
        """Install a distribution with a module, and these entry points."""
        about = self._folder / f"{name}-1.0.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text(f"Name: {name}\nVersion: 1.0\n", "utf-8")
        lines = "\n".join(f"{key} = {value}" for key, value in points.items())
        about.joinpath("entry_points.txt").write_text(f"[{group}]\n{lines}\n", "utf-8")
        self._folder.joinpath(f"{name}.py").write_text(code, "utf-8")
        target_registry.clear_cache()
        kinds.clear_cache()


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    target_registry.clear_cache()
    yield Installer(folder)
    for name in [one for one in sys.modules if one.startswith("made_up_")]:
        del sys.modules[name]
    monkeypatch.undo()
    target_registry.clear_cache()
    kinds.clear_cache()


def refusal(name: str = "space") -> str:
    with pytest.raises(DeployError) as caught:
        target_registry.get(name)
    return str(caught.value)


def test_an_extension_is_found_and_imported_when_it_is_asked_for(installer: Installer) -> None:
    installer.install("made_up_space", {"space": "made_up_space:TARGET"})
    assert target_registry.target_names() == ("local", "azureml", "appservice", "space")
    assert "made_up_space" not in sys.modules
    assert target_registry.get("space") is sys.modules["made_up_space"].TARGET
    assert list(target_registry.all_targets()) == ["local", "azureml", "appservice", "space"]
    assert list(target_registry.built_in_targets()) == ["local", "azureml", "appservice"]


def test_names_that_are_taken(installer: Installer) -> None:
    installer.install("made_up_a", {"space": "made_up_a:TARGET"})
    installer.install("made_up_b", {"space": "made_up_b:TARGET"})
    assert refusal() == (
        "extension made_up_b, entry point space = made_up_b:TARGET: its target space is in made_up_a "
        "as well\n  → uninstall one of the two"
    )


def test_names_of_the_projects_own_are_its_own(installer: Installer) -> None:
    installer.install("made_up_local", {"local": "made_up_local:TARGET"})
    assert type(target_registry.get("local")).__module__ == "deploy.targets.local"
    with pytest.raises(DeployError) as caught:
        target_registry.target_names()
    assert str(caught.value) == (
        "extension made_up_local, entry point local = made_up_local:TARGET: its target local has the "
        "name of one of this project's own\n  → rename its entry point, or uninstall it"
    )
    assert "made_up_local" not in sys.modules


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "import no_such_module",
            "it cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (
            "TARGETS = 1",
            "it cannot be loaded: AttributeError: module 'made_up_bad' has no attribute 'TARGET'",
        ),
        ("raise SystemExit", "it cannot be loaded: SystemExit: "),
        ("1 +", "it cannot be loaded: SyntaxError: invalid syntax (made_up_bad.py, line 1)"),
        (
            GOOD.replace("= destroy =", "=").replace("status = ", ""),
            "this is no target: it lacks status, destroy",
        ),
        (
            GOOD.replace("Place = TargetSettings, PlaceModel", "Place = dict, None"),
            "this is no target: it lacks Settings (a TargetSettings), Place (a PlaceModel)",
        ),
    ],
)
def test_what_is_no_target_is_told(installer: Installer, code: str, told: str) -> None:
    installer.install("made_up_bad", {"space": "made_up_bad:TARGET"}, code)
    assert refusal() == (
        f"extension made_up_bad, entry point space = made_up_bad:TARGET: {told}\n"
        "  → correct it, or uninstall it: `uv pip uninstall made_up_bad`"
    )


def test_configuration_knows_extensions(installer: Installer, tmp_path: Path) -> None:
    installer.install("made_up_space", {"space": "made_up_space:TARGET"})
    flow = tmp_path / "flows/hello"
    flow.mkdir(parents=True)
    tmp_path.joinpath("environments.yaml").write_text("local: {}\n", "utf-8")
    flow.joinpath("flow.dag.yaml").write_text("{}\n", "utf-8")
    flow.joinpath("sample.json").write_text("{}\n", "utf-8")
    declared = flow / "deploy.yaml"
    project = configuration.open_project(tmp_path)

    declared.write_text(json.dumps({"environments": {"local": {"target": "spaec"}}}), "utf-8")
    with pytest.raises(DeployError, match="unknown target 'spaec'\n  → did you mean space"):
        configuration.load_flow(project, "hello")
    declared.write_text(json.dumps({"environments": {"local": {"target": "space"}}}), "utf-8")
    assert configuration.load_spec(project, "hello", "local").target == "space"


def test_doctor_tells_of_extensions(installer: Installer, tmp_path: Path) -> None:
    def told() -> list[tuple[bool, str]]:
        found = doctor.check_requirements(configuration.open_project(tmp_path))
        return [(one.found, one.detail) for one in found if one.requirement == "extensions"]

    assert told() == []
    installer.install("made_up_space", {"space": "made_up_space:TARGET"})
    assert told() == [(True, "space")]
    installer.install("made_up_bad", {"worse": "made_up_bad:TARGET"}, "")
    ((found, detail),) = told()
    assert not found
    assert detail.startswith("extension made_up_bad, entry point worse = made_up_bad:TARGET: ")


def test_the_example_is_small() -> None:
    lines = [
        line
        for path in EXAMPLE.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if line.strip()
    ]
    assert 100 < len(lines) < 200


def test_the_example_is_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    from flow_deploy_containerapps import TARGET

    target: Target = TARGET
    assert set(target.Place.model_fields) >= {"managed_environment", "identity", "key_vault"}
