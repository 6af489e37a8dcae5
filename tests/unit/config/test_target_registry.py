"""Targets of other distributions: found by entry points, and judged before they are used."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import kinds
from deploy.advise import answers, options, recommend, report
from deploy.advise.environments import Environment
from deploy.cli import doctor
from deploy.config import configuration, target_registry
from deploy.config.target import Target
from deploy.core.errors import DeployError
from deploy.infra import desired, parameters
from deploy.infra.request import content, markdown
from deploy.infra.requirements import collect_requirements
from deploy.infra.target import find_infrastructures
from tests import projects

EXAMPLE = Path(__file__).parents[3] / "examples/target-containerapps"
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
        self.folder = folder

    def install(
        self,
        name: str,
        points: dict[str, str],
        code: str = GOOD,
        group: str = target_registry.ENTRY_POINT_GROUP,
    ) -> None:
        """Install a distribution with a module, and these entry points."""
        about = self.folder / f"{name}-1.0.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text(f"Name: {name}\nVersion: 1.0\n", "utf-8")
        lines = "\n".join(f"{key} = {value}" for key, value in points.items())
        about.joinpath("entry_points.txt").write_text(f"[{group}]\n{lines}\n", "utf-8")
        self.folder.joinpath(f"{name}.py").write_text(code, "utf-8")
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


def test_an_extension_is_imported_on_demand(installer: Installer) -> None:
    installer.install("made_up_space", {"space": "made_up_space:TARGET"})
    assert target_registry.target_names() == ("local", "azureml", "appservice", "space")
    assert "made_up_space" not in sys.modules
    assert target_registry.get("space") is sys.modules["made_up_space"].TARGET
    assert list(target_registry.all_targets()) == ["local", "azureml", "appservice", "space"]
    assert list(target_registry.built_in_targets()) == ["local", "azureml", "appservice"]


def test_names_in_use(installer: Installer) -> None:
    installer.install("made_up_a", {"space": "made_up_a:TARGET"})
    installer.install("made_up_b", {"space": "made_up_b:TARGET"})
    assert refusal() == (
        "extension made_up_b, entry point space = made_up_b:TARGET: its target space is also in "
        "made_up_a\n  → uninstall one of the two"
    )


def test_names_of_the_projects_own_are_its_own(installer: Installer) -> None:
    installer.install("made_up_local", {"local": "made_up_local:TARGET"})
    assert type(target_registry.get("local")).__module__ == "deploy.targets.local"
    with pytest.raises(DeployError) as caught:
        target_registry.target_names()
    assert str(caught.value) == (
        "extension made_up_local, entry point local = made_up_local:TARGET: its target local has the "
        "same name as a built-in one\n  → rename its entry point, or uninstall it"
    )
    assert "made_up_local" not in sys.modules


@pytest.mark.parametrize(
    ("code", "problem"),
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
            "this is not a target: it lacks status, destroy",
        ),
        (
            GOOD.replace("Place = TargetSettings, PlaceModel", "Place = dict, None"),
            "this is not a target: it lacks Settings (a TargetSettings), Place (a PlaceModel)",
        ),
    ],
)
def test_an_invalid_target_is_a_readable_error(
    installer: Installer, code: str, problem: str
) -> None:
    installer.install("made_up_bad", {"space": "made_up_bad:TARGET"}, code)
    assert refusal() == (
        f"extension made_up_bad, entry point space = made_up_bad:TARGET: {problem}\n"
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


def test_doctor_lists_extensions(installer: Installer, tmp_path: Path) -> None:
    def problem() -> list[tuple[bool, str]]:
        found = doctor.check_requirements(configuration.open_project(tmp_path))
        return [(one.found, one.detail) for one in found if one.requirement == "extensions"]

    assert problem() == []
    installer.install("made_up_space", {"space": "made_up_space:TARGET"})
    assert problem() == [(True, "space")]
    installer.install("made_up_bad", {"worse": "made_up_bad:TARGET"}, "")
    ((found, detail),) = problem()
    assert not found
    assert detail.startswith("extension made_up_bad, entry point worse = made_up_bad:TARGET: ")


def test_the_example_is_small() -> None:
    lines = {
        path.stem: sum(bool(line.strip()) for line in path.read_text("utf-8").splitlines())
        for path in EXAMPLE.rglob("*.py")
    }
    # What `inv infra` knows of the target is optional.
    assert lines.pop("infrastructure") < 100
    assert 100 < sum(lines.values()) < 240


def test_the_example_is_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    from flow_deploy_containerapps import TARGET
    from flow_deploy_containerapps.settings import Place, Settings

    target: Target[Settings, Place] = TARGET
    assert set(target.Place.model_fields) >= {"managed_environment", "identity", "key_vault"}


@pytest.fixture
def example(installer: Installer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the example with its modules."""
    monkeypatch.syspath_prepend(EXAMPLE)
    about = installer.folder / "flow_deploy_containerapps-0.1.0.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text("Name: flow-deploy-containerapps\nVersion: 0.1.0\n")
    point = "containerapps = flow_deploy_containerapps:TARGET"
    about.joinpath("entry_points.txt").write_text(
        f"[{target_registry.ENTRY_POINT_GROUP}]\n{point}\n"
    )
    target_registry.clear_cache()
    recommend.clear_cache()
    yield
    recommend.clear_cache()


def test_the_request_lists_what_an_extension_needs(example: None, tmp_path: Path) -> None:
    files = {
        "environments.yaml": "prod: {subscription: s, infra: {location: westeurope, unique: abc}}\n",
        "flows/hello/deploy.yaml": "environments:\n  prod: {target: containerapps, app: hello, auth: key}\n",
    }
    project = projects.make(tmp_path / "project", files)
    state = desired.load(project, "prod")
    text = markdown.render(content.build_document(collect_requirements(state)))
    for row in (
        "| Options | Azure Container Apps |",
        "| Flows | hello (containerapps) |",
        "| Microsoft.App/managedEnvironments | cae-flows-prod | - | runs the apps |",
        "| managedEnvironments cae-flows-prod | properties.zoneRedundant | false | availability zones |",
        "| id-flows-prod-deploy | Container Apps Contributor | resource group rg-flows-prod | "
        "inv deploy creates and changes apps |",
        "| Container Apps Contributor | 358470bc-b998-42bd-ab17-a7e34c199c0f |",
        r"| clients | \*.westeurope.azurecontainerapps.io | 443 | requests |",
        "| Container Apps: Consumption cores | 2 cores | all replicas of 3 versions |",
        "| hello-prod-key | vault kv-flows-prod-abc | hello |",
    ):
        assert row in text, row
    with pytest.raises(DeployError) as caught:
        parameters.render_parameters(state)
    assert str(caught.value) == (
        "--env prod: infra/ has no Bicep files for containerapps\n"
        "  → `inv infra.request --env prod` lists what to create by other means"
    )


def test_an_installed_extension_is_recommended_like_a_built_in_target(example: None) -> None:
    prod = Environment("prod", frozenset({"managed_environment"}))
    given = answers.collect_answers({"cost": "zero", "cold_starts": "yes"})
    (found,) = recommend.recommend_targets(given, [prod])
    assert (found.target, found.is_extension) == ("containerapps", False)
    assert [reason.explanation for reason in found.reasons] == [
        "it is the only supported target without an exceeded limit",
        "environments.yaml configures this target, and no other",
    ]
    text = report.render_text("hello", given, [found])
    assert "prod: containerapps (Azure Container Apps)\n" in text
    assert "install the extension" not in text
    assert "{target: containerapps, app: hello-prod, auth: key}" in text
    # Without a limit that decides, its place in environments.yaml does.
    assert (
        recommend.recommend_targets(answers.collect_answers({}), [prod])[0].target
        == "containerapps"
    )


def test_advice_of_an_extension_that_is_not_valid(installer: Installer) -> None:
    installer.install("made_up_space", {"space": "made_up_space:TARGET"})
    options.clear_cache()
    text = report.render_text("hello", answers.collect_answers({}), [])
    assert "Not considered: space, without an advice file (docs/extending.md)" in text
    path = installer.folder / "made_up_space_advice.yaml"
    valid = "title: Space\nfacts: {In this project: {text: here, source: extending}}\n"
    for text, problem in (
        ("title: Space\n", "a key is missing: 'facts'"),
        (f"{valid}limit: []\n", "unknown keys: limit"),
        (
            f"{valid}notes: [{{text: a, when: {{netwrk: private}}}}]\n",
            "unknown condition 'netwrk'; did you mean network?",
        ),
        (f"{valid}notes: [{{text: a, when: {{network: none}}}}]\n", "network is never 'none'"),
    ):
        path.write_text(text, "utf-8")
        options.clear_cache()
        with pytest.raises(DeployError) as caught:
            options.load_options()
        assert caught.value.problems[0].what == problem
        assert caught.value.problems[0].hint == "docs/extending.md has the format"
    path.write_text(valid, "utf-8")
    options.clear_cache()
    assert options.load_options()["space"].is_installed
    assert options.list_targets_without_advice() == []
    options.clear_cache()


def test_infrastructure_of_an_extension_that_is_not_valid(installer: Installer) -> None:
    code = GOOD.replace("    Settings,", "    infrastructure = 1\n    Settings,")
    installer.install("made_up_space", {"space": "made_up_space:TARGET"}, code)
    with pytest.raises(DeployError) as caught:
        find_infrastructures()
    assert str(caught.value) == (
        "target space: its attribute `infrastructure` is not a TargetInfrastructure\n"
        "  → derive it from deploy.infra.target.TargetInfrastructure"
    )
