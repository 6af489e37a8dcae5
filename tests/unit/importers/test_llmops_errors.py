"""Use cases of the LLMOps template that are rejected, and imports that fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.config.configuration import Project
from deploy.core.errors import DeployError
from deploy.importers.llmops import conversion, detection, writer
from tests import llmops_repositories
from tests.llmops_repositories import newer, older
from tests.unit.importers.use_cases import KEY, imported, plan, text, tree


def refusal(project: Project, files: dict[str, Any], **options: str) -> str:
    before = tree(project.root)
    with pytest.raises(DeployError) as caught:
        writer.write_import(project, plan(project, files, **options))
    assert tree(project.root) == before
    return str(caught.value)


def test_an_environments_file_that_cannot_be_added_to(project: Project) -> None:
    (project.root / "environments.yaml").write_text("{local: {}}\n", encoding="utf-8")
    assert refusal(project, older()) == (
        "environments.yaml: test, live cannot be added at its end\n"
        "  → write one environment after the other, each on lines of its own"
    )


def test_half_a_surrogate_pair_is_kept(project: Project) -> None:
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
        "ticket_routing/llmops_config.json:1: it has no environments\n  → add one there",
    ),
    (
        lambda files: {
            **files,
            "ticket_routing/llmops_config.json": {
                "envs": [{"ENV_NAME": "x", "STANDARD_FLOW_PATH": "../../other"}]
            },
        },
        "ticket_routing/llmops_config.json:5: envs.0.STANDARD_FLOW_PATH: ../../other is outside of "
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
        "  → remove it there, and create a new one: it is in that repository's history",
    ),
    (
        lambda files: {
            **files,
            "ticket_routing/flows/standard/flow.dag.yaml": llmops_repositories.TICKETS.replace(
                "../common/words.py", "../../../words.py"
            ),
        },
        "ticket_routing/flows/standard/flow.dag.yaml:5: additional_includes.0: ../../../words.py "
        "is outside of ticket_routing\n  → move it there",
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
        "ticket_routing/flows/standard/evaluation/evaluation/grade.py: the evaluation would "
        "overwrite the flow's file evaluation/evaluation/grade.py\n"
        "  → rename it there",
    ),
    (
        lambda files: {**files, "ticket_routing/flows/standard/a\n\x1b[2J.txt": ""},
        "'ticket_routing/flows/standard/a\\n\\x1b[2J.txt': its name has characters that cannot be "
        "shown\n  → rename it there",
    ),
]


@pytest.mark.parametrize(("change", "expected"), REFUSALS)
def test_bad_files_are_rejected_and_nothing_is_written(
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


def test_a_repository_of_another_kind_is_rejected(project: Project, tmp_path: Path) -> None:
    with pytest.raises(DeployError) as caught:
        detection.load_use_case(project.root, None)
    assert str(caught.value) == (
        f"--from: {project.root} is not a repository of the LLMOps template: no folder has "
        "experiment.yaml or llmops_config.yaml or configs/config.yaml or llmops_config.json or "
        "config.json\n  → name a copy of one, or the folder of one use case"
    )
    with pytest.raises(DeployError) as caught:
        detection.load_use_case(tmp_path / "nothing", None)
    assert str(caught.value) == (
        f"--from: there is no folder {tmp_path}/nothing\n  → name a copy of their repository"
    )


def test_an_existing_flow_is_not_overwritten(project: Project) -> None:
    assert refusal(project, older(), flow="hello") == (
        "--flow: flows/hello already exists, and nothing is overwritten\n"
        "  → give the flow another name with --flow"
    )
    assert refusal(project, older(), flow="Hello!") == (
        "--flow: 'Hello!' cannot be the name of a flow\n"
        "  → --flow takes 2 to 40 lower-case letters, digits and hyphens, a letter first"
    )


@pytest.mark.parametrize(
    "link", ["flows/standard/link.py", "flows/standard", "data/data.jsonl", "data"]
)
def test_links_are_rejected(project: Project, link: str) -> None:
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
    assert "is a symbolic link" in problem.what


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


def test_a_failed_import_changes_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(project, older())
    before = tree(project.root)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, os.strerror(28), str(target))

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        writer.write_import(project, found)
    assert tree(project.root) == before
