"""`inv advise` as people meet it: flags, questions, mistakes, the record, the page."""

from __future__ import annotations

import inspect
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.advise import answers, environments, report
from deploy.advise.answers import QUESTIONS
from deploy.advise.environments import Environment
from deploy.advise.recommend import recommend_targets
from deploy.cli import advise as advise_tasks
from deploy.core.errors import DeployError
from tests import choosing_page
from tests.unit.advise.advise_task import Terminal, advise, given

CONTAINERAPPS = "containerapps"

ROOT = Path(__file__).parents[3]


def test_the_page_has_the_facts_and_the_printed_output() -> None:
    text = choosing_page.PAGE.read_text("utf-8")
    assert len(re.findall(r"^<!-- example: inv advise ", text, re.MULTILINE)) == 3
    assert text == choosing_page.page(text), "python -m tests.choosing_page"


def test_links_of_the_page_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+?)(?:#[\w-]+)?\)", choosing_page.PAGE.read_text("utf-8")):
        assert (choosing_page.PAGE.parent / link).exists(), link


def test_every_question_has_its_flag() -> None:
    known = inspect.signature(advise_tasks.advise.body).parameters
    others = {"c", "flow", "env", "adr", "json"}
    assert set(known) - others == {question.name for question in QUESTIONS}


def test_all_mistakes_are_reported_at_once_with_suggestions(root: Path) -> None:
    wrong = ["--longest", "soon", "--peak", "0", "--network", "privat", "--streaming", "maybe"]
    done = advise(root, "--flow", "fak", "--env", "local,prd", *wrong)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "--flow: there is no flow 'fak' under flows/\n"
        "  → did you mean faq?\n"
        "--env prd: environments.yaml has no such environment\n"
        "  → did you mean prod?\n"
        "--longest: 'soon' is not a number above 0\n"
        "  → enter s, such as 60\n"
        "--streaming: 'maybe' is not a valid answer\n"
        "  → known: yes, no\n"
        "--peak: '0' is not a number above 0\n"
        "  → enter requests/s, such as 10\n"
        "--network: 'privat' is not a valid answer\n"
        "  → did you mean private?\n"
    )


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "1e400", "ten", "1 0"])
def test_numbers_must_be_positive(text: str) -> None:
    with pytest.raises(DeployError) as caught:
        answers.collect_answers({"peak": text})
    assert str(caught.value) == (
        f"--peak: {text!r} is not a number above 0\n  → enter requests/s, such as 10"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "environments.yaml: there is no such file\n  → create it"),
        ("{}\n", "environments.yaml: it has no environments\n  → docs/configuration.md"),
        ("prod: [1]\n", "environments.yaml:1: prod: a mapping is expected"),
        (
            "a: {b\n",
            "environments.yaml:2: expected ',' or '}', but got '<stream end>'\n  → correct the YAML",
        ),
    ],
)
def test_environments_that_cannot_be_read(
    content: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content:
        (tmp_path / "environments.yaml").write_text(content, "utf-8")
    with pytest.raises(DeployError) as caught:
        environments.read_environments(tmp_path)
    assert str(caught.value) == expected


def test_environments_are_known_by_their_keys(tmp_path: Path) -> None:
    text = "local:\nbuilder: {engine: 'tcp://b:1', registry: r}\nboth: {workspace: w, app: a}\n"
    (tmp_path / "environments.yaml").write_text(text + "dev: {app: a}\n", "utf-8")
    local, builder, both, dev = environments.read_environments(tmp_path)
    assert [one.is_local for one in (local, builder, both, dev)] == [True, True, False, False]
    assert [one.configured_target for one in (both, dev)] == [None, "appservice"]
    assert [one.name for one in environments.read_environments(tmp_path, " dev, local,,dev")] == [
        "dev",
        "local",
    ]


def test_json_has_all_of_it(root: Path) -> None:
    done = advise(root, "--json", "--env", "prod", "--cost", "zero", "--cold-starts", "yes")
    data = json.loads(done.stdout)
    assert done.stderr == ""
    assert data["flow"] is None
    assert {one["answer"] for one in data["answers"] if one["by"] == "given"} == {
        "cost",
        "cold-starts",
    }
    (prod,) = data["environments"]
    assert (prod["target"], prod["by_extension"]) == (CONTAINERAPPS, True)
    assert prod["alternatives"] == [
        {"answer": "cost", "value": "instances", "target": "appservice"}
    ]
    assert prod["settings"] == {"target": CONTAINERAPPS, "app": "flow-prod", "auth": "key"}
    for reason in (*prod["reasons"], *prod["ruled_out"]):
        assert reason["fact"]["source"]["link"]


def test_alternatives_are_listed_if_no_target_fits() -> None:
    given = answers.collect_answers({"cost": "zero", "cold_starts": "no", "longest": "100"})
    (found,) = recommend_targets(given, [Environment("prod", frozenset({"infra"}))])
    text = report.render_text("faq", given, [found])
    assert "prod: no option fits\n  ruled out     azureml:" in text
    assert [report.format_alternative(way) for way in found.alternatives] == [
        "--cold-starts yes: containerapps (Azure Container Apps)",
        "--cost instances: appservice (Azure App Service)",
    ]
    assert "deploy.yaml" not in text


def test_it_is_quick_and_imports_nothing_heavy(root: Path) -> None:
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert advise(root, "--flow", "faq").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Of the processor, the best of three: the machine may be busy with something else.
    assert min(times) < 0.7
    code = (
        "import sys, pathlib; from deploy.advise import advise\n"
        f"advise(pathlib.Path({str(root)!r}), None, '', {{}})\n"
        "print(' '.join(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "ruamel" in loaded
    assert loaded.isdisjoint({"docker", "pydantic", "requests", "dotenv", "uv", "azure"})


def test_missing_answers_are_prompted_for_until_valid(root: Path) -> None:
    terminal = Terminal(root, "--env", "prod", *given("longest", "network"))
    assert terminal.until("]: ") == ("\nHow long does the longest answer take?\ns [60]: ")
    terminal.type("400\n")
    assert terminal.until("]: ") == (
        "\nWhere are the clients?\n"
        "  public     the internet\n"
        "  vnet       a virtual network; a public address is acceptable\n"
        "  private    a virtual network, without any public address\n"
        "public/vnet/private [public]: "
    )
    terminal.type("privat\n")
    assert terminal.until("]: ").startswith(
        "--network: 'privat' is not a valid answer\n  → did you mean private?\n\nWhere are"
    )
    terminal.type("\n")
    status, out, err = terminal.end()
    assert (status, err) == (0, "")
    assert "longest 400 s" in out and "network public" in out and "assumed" not in out
    assert "prod: containerapps (Azure Container Apps, with an extension)\n" in out
