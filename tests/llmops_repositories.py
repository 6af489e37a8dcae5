"""Small repositories in the shape of Microsoft's LLMOps template, in its older and newer form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Files = dict[str, Any]

TOOL = """\
from promptflow import tool


@tool
def {name}({arguments}) -> {returns}:
    return {value}
"""


def _endpoint(environment: str, **values: Any) -> dict[str, Any]:
    """An entry as the template has it: all keys, most of them empty."""
    return {
        "ENV_NAME": environment,
        "TEST_FILE_PATH": "sample-request.json",
        "ENDPOINT_NAME": "",
        "ENDPOINT_DESC": "An endpoint.",
        "DEPLOYMENT_DESC": "A deployment.",
        "PRIOR_DEPLOYMENT_NAME": "",
        "PRIOR_DEPLOYMENT_TRAFFIC_ALLOCATION": "",
        "CURRENT_DEPLOYMENT_NAME": "",
        "CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION": "100",
        "ENVIRONMENT_VARIABLES": {"example-name": "example-value"},
        **values,
    }


TICKETS = """\
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json
environment:
  python_requirements_txt: requirements.txt
additional_includes:
- ../common/words.py
inputs:
  ticket:
    type: string
    default: My screen stays dark.
outputs:
  team:
    type: string
    reference: ${team.output}
  found:
    type: int
    reference: ${find.output}
nodes:
- name: find
  type: python
  source:
    type: code
    path: find.py
  inputs:
    ticket: ${inputs.ticket}
    search_connection: articles
- name: ask
  use_variants: true
- name: team
  type: python
  source:
    type: code
    path: team.py
  inputs:
    said: ${ask.output}
node_variants:
  ask:
    default_variant_id: variant_0
    variants:
      variant_0:
        node:
          type: llm
          source:
            type: code
            path: ask.jinja2
          inputs:
            deployment_name: gpt-35-turbo
            ticket: ${inputs.ticket}
          provider: AzureOpenAI
          connection: aoai
          api: chat
          module: promptflow.tools.aoai
      variant_1:
        node:
          type: llm
          source:
            type: code
            path: ask.jinja2
          inputs:
            deployment_name: gpt-4
            ticket: ${inputs.ticket}
          provider: AzureOpenAI
          connection: aoai
          api: chat
          module: promptflow.tools.aoai
"""

JUDGE = """\
environment:
  python_requirements_txt: requirements.txt
inputs:
  truth:
    type: string
  answer:
    type: string
outputs:
  grade:
    type: string
    reference: ${grade.output}
nodes:
- name: grade
  type: python
  source:
    type: code
    path: grade.py
  inputs:
    truth: ${inputs.truth}
    answer: ${inputs.answer}
- name: accuracy
  type: python
  aggregation: true
  source:
    type: code
    path: accuracy.py
  inputs:
    grades: ${grade.output}
"""

GRADE = TOOL.format(
    name="grade",
    arguments="truth: str, answer: str",
    returns="str",
    value='"right" if truth == answer else "wrong"',
)
ACCURACY = """\
from promptflow import log_metric, tool


@tool
def accuracy(grades: list) -> float:
    share = grades.count("right") / len(grades)
    log_metric("accuracy", share)
    return share
"""


def older() -> Files:
    """A flow with an LLM node and two connections, for Azure ML, a web app and Kubernetes."""
    case = "ticket_routing"
    flow = f"{case}/flows/standard"
    judge = f"{case}/flows/evaluation"
    envs = [
        {
            "ENV_NAME": name,
            "RUNTIME_NAME": "",
            "KEYVAULT_NAME": vault,
            "RESOURCE_GROUP_NAME": group,
            "WORKSPACE_NAME": workspace,
            "STANDARD_FLOW_PATH": "flows/standard",
            "EVALUATION_FLOW_PATH": "flows/evaluation",
        }
        for name, vault, group, workspace in (
            ("pr", "", "", ""),
            ("test", "kv-tickets", "rg-tickets-test", "mlw-tickets-test"),
            ("live", "", "", ""),
        )
    ]
    datasets = [
        {
            "PROMPT_FLOW_CONFIG_NAME": case,
            "ENV_NAME": "test",
            "DATA_PURPOSE": "training_data",
            "DATA_PATH": "data/data.jsonl",
            "DATASET_NAME": "tickets",
            "DATASET_DESC": "Tickets.",
        },
        {
            "PROMPT_FLOW_CONFIG_NAME": case,
            "ENV_NAME": "test",
            "DATA_PURPOSE": "test_data",
            "DATA_PATH": "data/eval_data.jsonl",
            "DATASET_NAME": "tickets_eval",
            "RELATED_EXP_DATASET": "tickets",
            "DATASET_DESC": "Teams.",
        },
    ]
    deployments = {
        "azure_managed_endpoint": [
            _endpoint(
                "test",
                ENDPOINT_NAME="tickets-test",
                CURRENT_DEPLOYMENT_NAME="blue",
                CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION="20",
                PRIOR_DEPLOYMENT_NAME="green",
                PRIOR_DEPLOYMENT_TRAFFIC_ALLOCATION="80",
                DEPLOYMENT_VM_SIZE="Standard_E4s_v3",
                DEPLOYMENT_INSTANCE_COUNT=2,
                ENVIRONMENT_VARIABLES={
                    "LOG_STYLE": "short",
                    "ARTICLES_KEY": "0123456789abcdef" * 2,
                },
            )
        ],
        "kubernetes_endpoint": [
            _endpoint("live", ENDPOINT_NAME="tickets-live", COMPUTE_NAME="aks-tickets")
        ],
        "webapp_endpoint": [
            {
                "ENV_NAME": "live",
                "TEST_FILE_PATH": "sample-request.json",
                "CONNECTION_NAMES": ["aoai", "articles"],
                "REGISTRY_NAME": "crtickets",
                "REGISTRY_RG_NAME": "",
                "APP_PLAN_NAME": "asp-tickets",
                "WEB_APP_NAME": "app-tickets-live",
                "WEB_APP_RG_NAME": "rg-tickets-live",
                "WEB_APP_SKU": "B3",
                "USER_MANAGED_ID": "id-tickets",
            }
        ],
    }
    return {
        f"{case}/llmops_config.json": {"envs": envs},
        f"{case}/configs/data_config.json": {"datasets": datasets},
        f"{case}/configs/deployment_config.json": deployments,
        f"{case}/configs/mapping_config.json": {
            "experiment": {"ticket": "${data.text}"},
            "evaluation": {
                "evaluation": {"truth": "${data.team}", "answer": "${run.outputs.team}"}
            },
        },
        f"{case}/data/data.jsonl": '{"text": "No sound."}\n{"text": "Who pays?"}\n',
        f"{case}/data/eval_data.jsonl": '{"team": "hardware"}\n{"team": "finance"}\n',
        f"{case}/environment/Dockerfile": "FROM scratch\n",
        f"{case}/sample-request.json": {"ticket": "No sound."},
        f"{flow}/.promptflow/flow.tools.json": "{}",
        f"{flow}/.env": "AOAI_API_KEY=0\n",
        f"{flow}/ask.jinja2": "system:\nWhich team? {{ticket}}\n",
        f"{flow}/connections/aoai.yml": "$schema: https://a/AzureOpenAIConnection.schema.json\nname: aoai\n",
        f"{flow}/find.py": (
            "from promptflow import tool\nfrom promptflow.connections import CognitiveSearchConnection\n"
            "import words\n\n\n@tool\ndef find(ticket: str, search_connection: CognitiveSearchConnection)"
            " -> int:\n    return words.count(ticket)\n"
        ),
        f"{flow}/flow.dag.yaml": TICKETS,
        f"{flow}/requirements.txt": "promptflow\npromptflow[azure]\npromptflow-tools\nlunr==0.8.0  # search\n",
        f"{flow}/team.py": TOOL.format(
            name="team", arguments="said: str", returns="str", value="said.strip().lower()"
        ),
        f"{case}/flows/common/words.py": "def count(text: str) -> int:\n    return len(text.split())\n",
        f"{judge}/accuracy.py": ACCURACY,
        f"{judge}/flow.dag.yaml": JUDGE,
        f"{judge}/grade.py": GRADE,
        f"{judge}/requirements.txt": "promptflow\npromptflow-tools\n",
    }


ORDERS = """\
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json
environment:
  python_requirements_txt: requirements.txt
inputs:
  order:
    type: string
outputs:
  status:
    type: string
    reference: ${status.output}
  text:
    type: string
    reference: ${text.output}
nodes:
- name: status
  type: python
  source:
    type: code
    path: status.py
  inputs:
    order: ${inputs.order}
- name: text
  type: prompt
  source:
    type: code
    path: text.jinja2
  inputs:
    order: ${inputs.order}
    status: ${status.output}
"""

EXPERIMENT = """\
name: order_status
flow: standard
runtime: automatic

connections:
- name: aoai
  connection_type: AzureOpenAIConnection
  api_endpoint: ${api_endpoint}
  api_version: 2023-07-01-preview
  api_key: ${api_key}
  api_type: azure

datasets:
- name: orders
  source: data/orders.jsonl
  description: "Orders."
  mappings:
    order: "${data.number}"
- name: more_orders
  source: azureml:orders:3
  mappings:
    order: "${data.number}"

evaluators:
- name: exact
  flow: flows/exact
  datasets:
  - name: orders_eval
    reference: orders
    source: data/orders_eval.jsonl
    mappings:
      truth: "${data.status}"
      answer: "${run.outputs.status}"
- name: polite
  flow: flows/polite
  datasets:
  - name: more_orders
    mappings:
      answer: "${run.outputs.text}"
"""

PR = """\
name: order_status

datasets:
- name: orders_pr
  source: data/orders.jsonl
  mappings:
    order: "${data.number}"

evaluators:
"""

POLITE = """\
---
name: polite
description: How polite is it?
model:
  api: chat
  configuration:
    type: azure_openai
    connection: aoai
    azure_deployment: gpt-35-turbo
inputs:
  answer:
    type: string
---
system:
How polite, from 1 to 5? {{answer}}
"""


def newer() -> Files:
    """A flow that asks no model, one evaluation in Python and one by a prompty."""
    case = "order_status"
    flow, exact = f"{case}/flows/standard", f"{case}/flows/exact"
    deployments = {
        "azure_managed_endpoint": [
            _endpoint("dev", DEPLOYMENT_VM_SIZE="Standard_F4s_v2", DEPLOYMENT_INSTANCE_COUNT=1)
        ],
        "kubernetes_endpoint": [_endpoint("dev", COMPUTE_NAME="", CPU_ALLOCATION="")],
        "webapp_endpoint": [
            {"ENV_NAME": "dev", "CONNECTION_NAMES": [""], "WEB_APP_NAME": "", "WEB_APP_SKU": "B3"}
        ],
    }
    return {
        f"{case}/experiment.yaml": EXPERIMENT,
        f"{case}/experiment.pr.yaml": PR,
        f"{case}/configs/deployment_config.json": deployments,
        f"{case}/data/orders.jsonl": '{"number": "A-1"}\n{"number": "B-2"}\n',
        f"{case}/data/orders_eval.jsonl": '{"number": "A-1", "status": "sent"}\n{"number": "B-2", "status": "open"}\n',
        f"{flow}/flow.dag.yaml": ORDERS,
        f"{flow}/requirements.txt": "promptflow\nlunr==0.8.0\npromptflow-tools\n",
        f"{flow}/status.py": TOOL.format(
            name="status",
            arguments="order: str",
            returns="str",
            value='"sent" if order.startswith("A") else "open"',
        ),
        f"{flow}/text.jinja2": "Your order {{order}} is {{status}}.\n",
        f"{exact}/accuracy.py": ACCURACY,
        f"{exact}/flow.dag.yaml": JUDGE,
        f"{exact}/grade.py": GRADE,
        f"{case}/flows/polite/polite.prompty": POLITE,
    }


def write(root: Path, files: Mapping[str, Any]) -> Path:
    """Write `files` below `root`: texts as they are, others as JSON, nothing for None."""
    for name, content in files.items():
        if content is None:
            continue
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=4)
        path.write_text(text, encoding="utf-8")
    return root
