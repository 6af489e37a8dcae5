"""Use cases of the LLMOps template: what is made of them, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from deploy.cli import import_llmops, repository
from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.core import yaml_files
from deploy.core.errors import DeployError
from deploy.importers.llmops import conversion, detection, writer
from deploy.importers.llmops.entities import Import
from tests import llmops_repositories, projects
from tests.llmops_repositories import newer, older
from tests.unit.test_tasks import copy_of_the_repository, inv

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/from-llmops.md"
# What an imported environment asks for.
VARIABLES = {
    "AZURE_SUBSCRIPTION_ID": "0",
    "TEST_ACR_NAME": "crtest",
    "LIVE_KEY_VAULT": "kv-live",
    "DEV_RESOURCE_GROUP": "rg-dev",
    "DEV_ACR_NAME": "crdev",
    "DEV_WORKSPACE": "mlw-dev",
}
KEY = "sk-" + "aB3dE5gH7jK9mN1pQ3sT5vW7"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = projects.make(tmp_path / "ours", {}, VARIABLES)
    monkeypatch.chdir(made.root)
    return made


def plan(
    project: Project, files: dict[str, Any], use_case: str | None = None, flow: str | None = None
) -> Import:
    theirs = llmops_repositories.write(project.root.parent / "theirs", files)
    return conversion.convert_use_case(project, detection.load_use_case(theirs, use_case), flow)


def imported(project: Project, files: dict[str, Any]) -> Import:
    found = plan(project, files)
    writer.write_import(project, found)
    return found


def deploy_yaml(project: Project, name: str) -> dict[str, Any]:
    return yaml_files.load(project.root / f"flows/{name}/deploy.yaml").data


def text(project: Project, path: str) -> str:
    return (project.root / "flows" / path).read_text(encoding="utf-8")


def notes(found: Import) -> dict[str, str]:
    return {note.where: note.what for note in found.unsupported}


def refusal(project: Project, files: dict[str, Any], **options: str) -> str:
    before = tree(project.root)
    with pytest.raises(DeployError) as caught:
        writer.write_import(project, plan(project, files, **options))
    assert tree(project.root) == before
    return str(caught.value)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_older_form(project: Project) -> None:
    found = imported(project, older())
    assert deploy_yaml(project, "ticket-routing") == {
        "sample": "sample.json",
        "expect": {"team": "string", "found": "integer"},
        "connections": {
            "articles": {
                "type": "cognitive_search",
                "api_base": "ARTICLES_API_BASE",
                "api_key": "ARTICLES_API_KEY",
            },
            "aoai": {
                "type": "azure_open_ai",
                "api_base": "AOAI_API_BASE",
                "api_key": "AOAI_API_KEY",
            },
        },
        "evaluation": {
            "data": "evaluation/eval_data.jsonl",
            "inputs": {"ticket": "${data.text}"},
            "flows": {
                "evaluation/evaluation": {
                    "inputs": {"truth": "${data.team}", "answer": "${run.outputs.team}"}
                }
            },
        },
        "environments": {
            "local": {"target": "local"},
            "test": {
                "target": "azureml",
                "endpoint": "tickets-test",
                "instance_type": "Standard_E4s_v3",
                "instance_count": 2,
                "rollout": [20, 100],
                "env": {"clear": {"LOG_STYLE": "short"}, "secret": ["ARTICLES_KEY"]},
            },
            "live": {"target": "appservice", "auth": "key", "app": "app-tickets-live"},
        },
    }
    assert yaml_files.load(project.root / "environments.yaml").data == {
        "local": {},
        "test": {
            "subscription": "${AZURE_SUBSCRIPTION_ID}",
            "resource_group": "rg-tickets-test",
            "registry": "${TEST_ACR_NAME}.azurecr.io",
            "workspace": "mlw-tickets-test",
        },
        "live": {
            "subscription": "${AZURE_SUBSCRIPTION_ID}",
            "resource_group": "rg-tickets-live",
            "registry": "crtickets.azurecr.io",
            "key_vault": "https://${LIVE_KEY_VAULT}.vault.azure.net",
        },
    }
    assert text(project, "ticket-routing/requirements.txt") == (
        "promptflow-core==1.18.5\nlunr==0.8.0\npromptflow-tools==1.6.1\n"
    )
    assert json.loads(text(project, "ticket-routing/sample.json")) == {"ticket": "No sound."}
    rows = text(project, "ticket-routing/evaluation/eval_data.jsonl").splitlines()
    assert [json.loads(row) for row in rows] == [
        {"text": "No sound.", "team": "hardware"},
        {"text": "Who pays?", "team": "finance"},
    ]
    assert found.new_environments == ("test", "live")


def test_the_newer_form(project: Project) -> None:
    found = imported(project, newer())
    declared = deploy_yaml(project, "order-status")
    assert declared["expect"] == {"status": "string", "text": "string"}
    # The size that the template has is one that Azure retires.
    assert declared["environments"] == {
        "local": {"target": "local"},
        "dev": {"target": "azureml", "instance_count": 1},
    }
    assert declared["evaluation"] == {
        "data": "evaluation/orders_eval.jsonl",
        "inputs": {"order": "${data.number}"},
        "flows": {
            "evaluation/exact": {
                "inputs": {"truth": "${data.status}", "answer": "${run.outputs.status}"}
            },
            "evaluation/polite": {"inputs": {"answer": "${run.outputs.text}"}},
        },
    }
    assert declared["connections"]["aoai"]["api_version"] == "2023-07-01-preview"
    assert json.loads(text(project, "order-status/sample.json")) == {"order": "A-1"}
    assert [note.what for note in found.assumptions] == [
        "evaluation flows alone use the connection aoai, and the container asks for its variables",
        "the template has no thresholds: any result is good",
    ]


@pytest.mark.parametrize(("files", "names"), [(older, ("test", "live")), (newer, ("dev",))])
def test_what_is_imported_loads(
    project: Project, files: Callable[[], dict[str, Any]], names: tuple[str, ...]
) -> None:
    found = imported(project, files())
    assert [flow.name for flow in configuration.load_flows(project)] == ["hello", found.flow]
    for name in ("local", *names):
        (spec,) = configuration.load_specs(project, name, found.flow)
        assert spec.environment == name


def test_code_of_the_whole_of_promptflow_takes_its_names_from_the_core(project: Project) -> None:
    found = imported(project, older())
    assert text(project, "ticket-routing/team.py").startswith("from promptflow.core import tool\n")
    judge = text(project, "ticket-routing/evaluation/evaluation/accuracy.py")
    assert judge.startswith("from promptflow.core import log_metric, tool\n")
    where = "ticket_routing/flows/standard/team.py:1"
    assert notes(found)[where] == "it imports from promptflow.core here"


def test_code_that_needs_the_whole_of_promptflow_is_named(project: Project) -> None:
    files = older()
    files["ticket_routing/flows/standard/more.py"] = (
        "import os\nfrom promptflow.entities import Run\n"
    )
    where = "ticket_routing/flows/standard/more.py:2"
    assert notes(plan(project, files))[where] == "this needs the whole of promptflow"


def test_what_a_flow_includes_is_copied_into_it(project: Project) -> None:
    imported(project, older())
    assert "def count" in text(project, "ticket-routing/words.py")
    dag = text(project, "ticket-routing/flow.dag.yaml")
    assert dag == llmops_repositories.TICKETS.replace(
        "additional_includes:\n- ../common/words.py\n", ""
    )


def test_secrets_and_settings_of_tools_stay_behind(project: Project) -> None:
    found = imported(project, older())
    copied = " ".join(tree(project.root / "flows/ticket-routing"))
    for name in (".env", ".promptflow", "connections", "Dockerfile"):
        assert name not in copied
    assert "0123456789abcdef" not in repr(found)
    assert "0123456789abcdef" not in str(tree(project.root))


def test_what_is_not_carried_is_told_with_file_and_key(project: Project) -> None:
    found = plan(project, older())
    deployments = "ticket_routing/configs/deployment_config.json"
    told = notes(found)
    assert told[f"{deployments}:22: kubernetes_endpoint.0"] == (
        "there is no target for Kubernetes here"
    )
    assert told["ticket_routing/llmops_config.json:15: envs.1.KEYVAULT_NAME"] == (
        "no deploy reads a vault by itself"
    )
    dag = "ticket_routing/flows/standard/flow.dag.yaml"
    assert told[f"{dag}:36: node_variants.ask"] == (
        "the default variant is what is served; nothing runs the others"
    )
    assert told["ticket_routing"] == "these are not read: environment"
    secret = f"{deployments}:15: azure_managed_endpoint.0.ENVIRONMENT_VARIABLES.ARTICLES_KEY"
    assert told[secret] == ("this may be a secret: its name is under env.secret, its value nowhere")


def test_environments_that_are_there_stay_to_the_byte(project: Project) -> None:
    before = (
        "local: {}   # this machine\ntest:\n    workspace: mine   # ours\n    subscription:   ''"
    )
    (project.root / "environments.yaml").write_bytes(before.encode())
    found = imported(project, older())
    after = (project.root / "environments.yaml").read_bytes().decode()
    assert after.startswith(
        f"{before}\n# Imported from ticket_routing/configs/deployment_config.json\nlive:\n"
    )
    assert found.new_environments == ("live",)
    conflicts = [note.what for note in found.unsupported if "stays as it is" in note.what]
    assert conflicts == [
        "environments.yaml has none for test.resource_group, and stays as it is",
        "environments.yaml has none for test.registry, and stays as it is",
        "environments.yaml has another value for test.workspace, and stays as it is",
    ]


def test_an_environments_file_that_cannot_be_added_to(project: Project) -> None:
    (project.root / "environments.yaml").write_text("{local: {}}\n", encoding="utf-8")
    assert refusal(project, older()) == (
        "environments.yaml: test, live cannot be added at its end\n"
        "  → write one environment after the other, each on lines of its own"
    )


def test_the_folder_of_one_use_case_will_do(project: Project) -> None:
    theirs = llmops_repositories.write(project.root.parent / "theirs", {**older(), **newer()})
    assert (
        conversion.convert_use_case(
            project, detection.load_use_case(theirs / "order_status", None), "orders"
        ).flow
        == "orders"
    )


def test_one_file_with_everything(project: Project) -> None:
    files = newer()
    experiment = "\n".join(f"  {line}" for line in llmops_repositories.EXPERIMENT.splitlines())
    files["order_status/experiment.yaml"] = files["order_status/experiment.pr.yaml"] = None
    files["order_status/llmops_config.yaml"] = (
        "azure_config:\n  resource_group_name: ${RESOURCE_GROUP}\n  workspace_name: mlw\n"
        "connections:\n- connection: aoai\n  api_type: azure\n  api_key: ${AZURE_OPENAI_KEY}\n"
        f"  api_base: ${{AZURE_OPENAI_ENDPOINT}}\nexperiment:\n{experiment}\nenvironments:\n"
        "  pr:\n    env_name: pr\n  dev:\n    env_name: dev\n    experiment:\n    deployment_configs:\n"
        "      azure_managed_endpoint:\n      - name: one\n        ENV_NAME: dev\n        ENDPOINT_NAME:\n"
        '        CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION: "100,"\n'
    )
    imported(project, files)
    assert deploy_yaml(project, "order-status")["connections"]["aoai"] == {
        "type": "azure_open_ai",
        "api_base": "AZURE_OPENAI_ENDPOINT",
        "api_key": "AZURE_OPENAI_KEY",
    }
    place = yaml_files.load(project.root / "environments.yaml").data["dev"]
    assert (place["resource_group"], place["workspace"]) == ("${RESOURCE_GROUP}", "mlw")


def test_a_flow_of_a_class(project: Project) -> None:
    files = newer()
    folder = "order_status/flows/standard"
    files[f"{folder}/flow.dag.yaml"] = None
    files[f"{folder}/flow.flex.yaml"] = (
        "entry: status:Status\ninputs:\n  order: {type: string}\noutputs:\n  output: {type: string}\n"
        "init:\n  model_config:\n    type: AzureOpenAIModelConfiguration\n    default:\n"
        "      azure_endpoint: https://a.openai.azure.com/\n      azure_deployment: gpt\n"
        "      api_key: ${api_key}\n  most: {type: int, default: 4096}\n"
    )
    found = imported(project, files)
    declared = deploy_yaml(project, "order-status")
    assert declared["expect"] == "string"
    assert declared["init"] == {
        "model_config": {"azure_deployment": "gpt", "connection": "aoai"},
        "most": 4096,
    }
    assert found.assumptions[0].what == (
        "model_config had its own address and key: it names the connection aoai here"
    )


def test_the_older_form_in_one_file(project: Project) -> None:
    files = older()
    case = "ticket_routing"
    settings = files[f"{case}/llmops_config.json"]["envs"]
    datasets = files[f"{case}/configs/data_config.json"]["datasets"]
    deployments = files[f"{case}/configs/deployment_config.json"]
    whole = {
        "llmops_config": {env["ENV_NAME"]: env for env in settings},
        "datasets_config": {"test": datasets},
        "mapping_config": files[f"{case}/configs/mapping_config.json"],
        "deployment_configs": {
            kind: {one["ENV_NAME"]: one for one in found} for kind, found in deployments.items()
        },
    }
    split = imported(project, files)
    parts = {name: file.content for name, file in split.files.items()}
    gone = ("llmops_config.json", "config.json")
    files = {name: None if name.endswith(gone) else content for name, content in files.items()}
    # JSON is YAML.
    files[f"{case}/configs/config.yaml"] = json.dumps(whole)
    theirs = llmops_repositories.write(project.root.parent / "one-file", files)
    found = conversion.convert_use_case(project, detection.load_use_case(theirs, None), "again")
    again = {name.replace("again", split.flow): f.content for name, f in found.files.items()}
    assert again == parts


def test_older_configuration_beside_newer_is_named(project: Project) -> None:
    files = {**newer(), "order_status/experiment-2.yaml": "name: two\n"}
    files["order_status/llmops_config.json"] = {"envs": []}
    told = notes(plan(project, files))
    assert told["order_status/llmops_config.json"] == (
        "it was not read: experiment.yaml says the same in a newer form"
    )
    assert told["order_status"] == "these are not read: experiment-2.yaml"


def test_the_value_of_a_key_is_carried_nowhere(project: Project) -> None:
    files = newer()
    files["order_status/experiment.yaml"] = llmops_repositories.EXPERIMENT.replace(
        "${api_key}", KEY
    )
    found = imported(project, files)
    assert (found.assumptions[0].where, found.assumptions[0].what) == (
        "order_status/experiment.yaml:10: connections.0.api_key",
        "a key is written here: it is carried nowhere",
    )
    assert KEY not in repr(found)
    assert KEY.encode() not in b"".join(tree(project.root).values())


def test_variables_that_the_image_sets_stay_behind(project: Project) -> None:
    files = older()
    (one,) = files["ticket_routing/configs/deployment_config.json"]["azure_managed_endpoint"]
    one["ENVIRONMENT_VARIABLES"] = {"PATH": "/opt"}
    found = imported(project, files)
    assert "env" not in deploy_yaml(project, "ticket-routing")["environments"]["test"]
    place = "ticket_routing/configs/deployment_config.json:14: azure_managed_endpoint.0"
    assert notes(found)[f"{place}.ENVIRONMENT_VARIABLES.PATH"] == "the image sets this itself"


def test_a_variable_whose_value_is_a_secret_is_one_whatever_its_name(project: Project) -> None:
    files = older()
    (one,) = files["ticket_routing/configs/deployment_config.json"]["azure_managed_endpoint"]
    one["ENVIRONMENT_VARIABLES"] = {"MODEL": KEY}
    found = imported(project, files)
    assert deploy_yaml(project, "ticket-routing")["environments"]["test"]["env"] == {
        "secret": ["MODEL"]
    }
    assert KEY not in repr(found)


def test_packages_of_an_evaluation_go_into_the_image(project: Project) -> None:
    files = older()
    files["ticket_routing/flows/evaluation/requirements.txt"] = (
        "promptflow\nlunr\nsympy\n--index-url https://user:password@index.example\n"
        "ours @ https://user:password@files.example/ours.whl\n"
    )
    found = imported(project, files)
    assert text(project, "ticket-routing/requirements.txt") == (
        "promptflow-core==1.18.5\nlunr==0.8.0\nsympy\npromptflow-tools==1.6.1\n"
    )
    where = "ticket_routing/flows/evaluation/requirements.txt"
    told = notes(found)
    assert told[f"{where}:3"] == "sympy is for an evaluation flow, and the image has it, too"
    by_address = "an option, or a package by its address: no lock can have it"
    assert told[f"{where}:4"] == told[f"{where}:5"] == by_address
    assert "password" not in repr(found)


def test_data_that_disagree_are_joined_under_another_name(project: Project) -> None:
    files = older()
    files["ticket_routing/data/eval_data.jsonl"] = (
        '{"text": "hardware", "team": "hardware"}\n{"text": "finance", "team": "finance"}\n'
    )
    files["ticket_routing/configs/mapping_config.json"]["evaluation"]["evaluation"]["truth"] = (
        "${data.text}"
    )
    imported(project, files)
    rows = text(project, "ticket-routing/evaluation/eval_data.jsonl").splitlines()
    assert json.loads(rows[0]) == {
        "text": "No sound.",
        "expected_text": "hardware",
        "team": "hardware",
    }
    judges = deploy_yaml(project, "ticket-routing")["evaluation"]["flows"]
    assert judges["evaluation/evaluation"]["inputs"]["truth"] == "${data.expected_text}"


def test_further_data_are_named(project: Project) -> None:
    files = older()
    datasets = files["ticket_routing/configs/data_config.json"]["datasets"]
    datasets += [
        {**datasets[0], "DATASET_NAME": "more", "DATA_PATH": "data/more.jsonl"},
        {**datasets[1], "RELATED_EXP_DATASET": "more", "DATA_PATH": "data/more_eval.jsonl"},
    ]
    told = notes(plan(project, files))
    where = "ticket_routing/configs/data_config.json"
    assert told[f"{where}:24: datasets.2.DATA_PATH"] == "these data of runs have no place here"
    assert told[f"{where}:32: datasets.3.DATA_PATH"] == "an evaluation has one file of data"


def test_older_copies_with_one_run_and_one_mapping(project: Project) -> None:
    files = older()
    del files["ticket_routing/configs/data_config.json"]["datasets"][1]["RELATED_EXP_DATASET"]
    mappings = files["ticket_routing/configs/mapping_config.json"]
    mappings["evaluation"] = mappings["evaluation"]["evaluation"]
    imported(project, files)
    judges = deploy_yaml(project, "ticket-routing")["evaluation"]["flows"]
    assert judges == {
        "evaluation/evaluation": {
            "inputs": {"truth": "${data.team}", "answer": "${run.outputs.team}"}
        }
    }


def test_half_a_surrogate_pair_is_carried_as_it_was(project: Project) -> None:
    files = older()
    files["ticket_routing/sample-request.json"] = '{"ticket": "naïve \\ud83d"}'
    files["ticket_routing/data/data.jsonl"] = '{"ticket": "\\ud83d"}\n'
    imported(project, files)
    assert text(project, "ticket-routing/sample.json") == ('{\n  "ticket": "naïve \\ud83d"\n}\n')
    rows = text(project, "ticket-routing/evaluation/eval_data.jsonl")
    assert rows.startswith('{"ticket": "\\ud83d"')


REFUSALS: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = [
    (
        lambda files: {**files, "ticket_routing/llmops_config.json": '{\n  "envs": [,]\n}'},
        "ticket_routing/llmops_config.json:2: this is not JSON: Expecting value\n"
        "  → correct it there",
    ),
    (
        lambda files: {
            **files,
            "ticket_routing/llmops_config.json": '{\n\t"envs": [{"ENV_NAME": "x"}]}',
        },
        "ticket_routing/llmops_config.json:2: envs.0: the key STANDARD_FLOW_PATH is missing\n"
        "  → add it there",
    ),
    (
        lambda files: {**files, "ticket_routing/llmops_config.json": {"envs": []}},
        "ticket_routing/llmops_config.json:1: no environment is in it\n  → add one there",
    ),
    (
        lambda files: {
            **files,
            "ticket_routing/llmops_config.json": {
                "envs": [{"ENV_NAME": "x", "STANDARD_FLOW_PATH": "../../other"}]
            },
        },
        "ticket_routing/llmops_config.json:5: envs.0.STANDARD_FLOW_PATH: ../../other leads out of "
        "ticket_routing/flows\n  → move it there, and correct the path",
    ),
    (
        lambda files: {
            **files,
            "ticket_routing/llmops_config.json": {
                "envs": [{"ENV_NAME": "x", "STANDARD_FLOW_PATH": "flows/none"}]
            },
        },
        "ticket_routing/llmops_config.json:5: envs.0.STANDARD_FLOW_PATH: there is no folder "
        "flows/none in ticket_routing\n  → correct the path",
    ),
    (
        lambda files: {**files, "ticket_routing/data/eval_data.jsonl": '{"team": "a"}\n\n{"te\n'},
        "ticket_routing/data/eval_data.jsonl:3: this is not JSON\n  → correct it there",
    ),
    (
        lambda files: {**files, "ticket_routing/flows/standard/flow.dag.yaml": "inputs: [\n"},
        "ticket_routing/flows/standard/flow.dag.yaml:2: expected the node content, but found "
        "'<stream end>'\n  → correct the YAML",
    ),
    (
        lambda files: {**files, "ticket_routing/configs/data_config.json": {"datasets": "none"}},
        "ticket_routing/configs/data_config.json:2: datasets: a list is expected\n"
        "  → correct it there",
    ),
    (
        lambda files: {**files, "ticket_routing/flows/standard/a.py": f'A = 1\nKEY = "{KEY}"\n'},
        "ticket_routing/flows/standard/a.py:2: this looks like an OpenAI key; nothing was written\n"
        "  → take it out there, and make a new one: it is in their history",
    ),
    (
        lambda files: {
            **files,
            "ticket_routing/flows/standard/flow.dag.yaml": llmops_repositories.TICKETS.replace(
                "../common/words.py", "../../../words.py"
            ),
        },
        "ticket_routing/flows/standard/flow.dag.yaml:5: additional_includes.0: ../../../words.py "
        "leads out of ticket_routing\n  → move it there",
    ),
    (
        lambda files: {
            **files,
            "ticket_routing/flows/standard/flow.dag.yaml": llmops_repositories.TICKETS.replace(
                "My screen stays dark.", KEY
            ),
        },
        "ticket_routing/flows/standard/flow.dag.yaml:9: inputs.ticket.default: this looks like an "
        "OpenAI key; secrets do not belong in files\n"
        "  → put the value into .env, name its variable here, and rotate it",
    ),
    (
        lambda files: {
            **files,
            "ticket_routing/flows/standard/evaluation/evaluation/grade.py": "A = 1\n",
        },
        "ticket_routing/flows/standard/evaluation/evaluation/grade.py: the evaluation would be "
        "written to evaluation/evaluation/grade.py, which the flow has itself\n"
        "  → rename it there",
    ),
    (
        lambda files: {**files, "ticket_routing/flows/standard/a\n\x1b[2J.txt": ""},
        "'ticket_routing/flows/standard/a\\n\\x1b[2J.txt': its name has characters that cannot be "
        "shown\n  → rename it there",
    ),
]


@pytest.mark.parametrize(("change", "expected"), REFUSALS)
def test_bad_files_are_refused_and_nothing_is_written(
    project: Project, change: Callable[[dict[str, Any]], dict[str, Any]], expected: str
) -> None:
    assert refusal(project, change(older())) == expected


def test_several_use_cases_need_a_name(project: Project) -> None:
    files = {**older(), **newer()}
    assert refusal(project, files) == (
        "--use-case: there are several use cases: order_status, ticket_routing\n"
        "  → name one of them"
    )
    assert refusal(project, files, use_case="orders_status") == (
        "--use-case: there is no use case 'orders_status'\n  → did you mean order_status?"
    )


def test_what_is_no_repository_of_the_template(project: Project, tmp_path: Path) -> None:
    with pytest.raises(DeployError) as caught:
        detection.load_use_case(project.root, None)
    assert str(caught.value) == (
        f"--from: {project.root} is no repository of the LLMOps template: no folder has "
        "experiment.yaml or llmops_config.yaml or configs/config.yaml or llmops_config.json or "
        "config.json\n  → name a copy of one, or the folder of one use case"
    )
    with pytest.raises(DeployError) as caught:
        detection.load_use_case(tmp_path / "nothing", None)
    assert str(caught.value) == (
        f"--from: there is no folder {tmp_path}/nothing\n  → name a copy of their repository"
    )


def test_a_flow_that_is_there_is_not_overwritten(project: Project) -> None:
    assert refusal(project, older(), flow="hello") == (
        "--flow: flows/hello is there already, and nothing is overwritten\n"
        "  → give the flow another name with --flow"
    )
    assert refusal(project, older(), flow="Hello!") == (
        "--flow: 'Hello!' cannot be the name of a flow\n"
        "  → --flow takes 2 to 40 lower-case letters, digits and hyphens, a letter first"
    )


@pytest.mark.parametrize(
    "link", ["flows/standard/link.py", "flows/standard", "data/data.jsonl", "data"]
)
def test_links_are_refused(project: Project, link: str) -> None:
    files = older()
    theirs = llmops_repositories.write(project.root.parent / "theirs", files)
    path = theirs / "ticket_routing" / link
    real = theirs / "real"
    if path.exists():
        path.rename(real)
    else:
        real.write_text("A = 1\n", encoding="utf-8")
    path.symlink_to(real)
    with pytest.raises(DeployError) as caught:
        conversion.convert_use_case(project, detection.load_use_case(theirs, None), None)
    problem = caught.value.problems[0]
    assert "is a link" in problem.what


def test_a_file_that_no_memory_holds(project: Project) -> None:
    theirs = llmops_repositories.write(project.root.parent / "theirs", older())
    with (theirs / "ticket_routing/flows/standard/model.bin").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DeployError) as caught:
        conversion.convert_use_case(project, detection.load_use_case(theirs, None), None)
    assert str(caught.value) == (
        "ticket_routing/flows/standard/model.bin: it is larger than 256 MB\n"
        "  → move it out: a flow loads such files from elsewhere"
    )


def test_a_failure_on_the_way_leaves_all_as_it_was(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = plan(project, older())
    before = tree(project.root)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, os.strerror(28), str(target))

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        writer.write_import(project, found)
    assert tree(project.root) == before


def test_the_command_and_the_page_that_shows_it(tmp_path: Path) -> None:
    root = copy_of_the_repository(tmp_path)
    llmops_repositories.write(tmp_path / "contoso-llmops", older())
    done = inv("import.llmops", "--from", "../contoso-llmops", cwd=root)
    assert done.stderr == ""
    shown = PAGE.read_text(encoding="utf-8").split("$ inv import.llmops --from ../contoso-llmops\n")
    assert shown[1].partition("```")[0] == done.stdout


def test_one_of_several_use_cases_looked_at_first(tmp_path: Path) -> None:
    root = copy_of_the_repository(tmp_path)
    llmops_repositories.write(tmp_path / "theirs", {**older(), **newer()})
    before = tree(root)
    chosen = ("--from", "../theirs", "--use-case", "order_status")
    done = inv("import.llmops", *chosen, "--dry-run", cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "flows/order-status/deploy.yaml" in done.stdout
    assert tree(root) == before


def test_a_dry_run_writes_nothing_and_json_has_it_all(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repository, "ROOT", project.root)
    theirs = llmops_repositories.write(project.root.parent / "theirs", newer())
    before = tree(project.root)
    import_llmops.llmops.body(Context(), from_=str(theirs), dry_run=True, json=True)
    assert tree(project.root) == before
    shown = json.loads(capsys.readouterr().out)
    assert (shown["flow"], shown["written"]) == ("order-status", False)
    assert {"file": "environments.yaml", "from": "dev"} in shown["files"]
    assert shown["environments"] == ["dev"]
    assert shown["variables"]["AOAI_API_KEY"] == "api_key of aoai (order_status/experiment.yaml:6)"
    assert set(shown["left"][0]) == {"where", "what", "then"}
    with pytest.raises(Exit) as stopped:
        import_llmops.llmops.body(Context())
    assert (
        stopped.value.message
        == "--from: it is missing\n  → name a copy of the template's repository"
    )
