"""The forms of configuration in the LLMOps template, and the flow, evaluation and environments that each becomes."""

from __future__ import annotations

import json

from deploy.config.configuration import Project
from deploy.core import yaml_files
from deploy.importers.llmops import conversion, detection
from tests import llmops_repositories
from tests.llmops_repositories import newer, older
from tests.unit.importers.use_cases import deploy_yaml, imported, notes, plan, text


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
        "only evaluation flows use the connection aoai, but the container requires its variables",
        "the template has no thresholds: every result passes",
    ]


def test_the_folder_of_one_use_case_is_enough(project: Project) -> None:
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
        "model_config had its own address and key: it now names the connection aoai"
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
    reported = notes(plan(project, files))
    assert reported["order_status/llmops_config.json"] == (
        "it was not read: experiment.yaml says the same in a newer form"
    )
    assert reported["order_status"] == "these files are not imported: experiment-2.yaml"


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
    reported = notes(found)
    assert reported[f"{where}:3"] == "sympy is for an evaluation flow, and the image has it, too"
    by_address = "an option, or a package by its address: no lock can have it"
    assert reported[f"{where}:4"] == reported[f"{where}:5"] == by_address
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
    reported = notes(plan(project, files))
    where = "ticket_routing/configs/data_config.json"
    assert reported[f"{where}:24: datasets.2.DATA_PATH"] == "these data of runs are not imported"
    assert reported[f"{where}:32: datasets.3.DATA_PATH"] == "an evaluation has one data file"


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
