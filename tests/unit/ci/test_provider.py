"""Output for a CI system: commands, outputs, summaries, and escaping."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from deploy.ci import provider
from deploy.ci.provider import github
from deploy.ci.provider.annotations import SourceLocation, find_location
from deploy.core import ci_system, markdown, output, progress
from deploy.core.errors import Problem
from tests.projects import FIXTURE
from tests.unit.cli.test_tasks import copy_of_the_repository, inv

AWKWARD = Problem("flows/faq/deploy.yaml:3: a, b", "50 % off\r\nand: more, too", "do this;\nthen]")


@pytest.fixture(autouse=True)
def fixture_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let problems be about files of the fixture."""
    monkeypatch.setattr("deploy.ci.provider.annotations.ROOT", FIXTURE)


def connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report to the CI system that the variables name, until the test ends."""
    monkeypatch.setattr(ci_system, "_ci_system", provider.detect_ci_system(os.environ))


@pytest.fixture
def on_github(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Be a step of GitHub Actions whose files are in the folder that is returned."""
    # What others in this process left.
    output.send_summary("")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(FIXTURE))
    for name in ("OUTPUT", "STEP_SUMMARY"):
        path = tmp_path / name.lower()
        path.touch()
        monkeypatch.setenv(f"GITHUB_{name}", str(path))
    connect(monkeypatch)
    return tmp_path


@pytest.fixture
def on_azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Be a step of Azure Pipelines whose folder is returned."""
    monkeypatch.setenv("TF_BUILD", "True")
    monkeypatch.setenv("AGENT_TEMPDIRECTORY", str(tmp_path))
    monkeypatch.setenv("BUILD_SOURCESDIRECTORY", str(FIXTURE.parent))
    connect(monkeypatch)
    return tmp_path


def tell_all() -> None:
    ci_system.set_output("digests", "one\ntwo")
    ci_system.annotate("error", AWKWARD)
    ci_system.append_summary("# Title", "more")
    with ci_system.group("a\ngroup"):
        print("inside")


def test_no_ci_output_outside_of_ci(capsys: pytest.CaptureFixture[str]) -> None:
    tell_all()
    assert capsys.readouterr() == ("inside\n", "")


def test_github_output_uses_workflow_commands_and_files(
    on_github: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_all()
    out, err = capsys.readouterr()
    assert out == "::group::a%0Agroup\ninside\n::endgroup::\n"
    assert err == (
        "::error file=flows/faq/deploy.yaml,line=3,title=flows/faq/deploy.yaml%3A3%3A a%2C b::"
        "50 %25 off%0D%0Aand: more, too%0A→ do this;%0Athen]\n"
    )
    assert (on_github / "step_summary").read_text() == "# Title\n\nmore\n\n"
    written = (on_github / "output").read_text()
    assert re.fullmatch(r"digests<<(end_[0-9a-f]{32})\none\ntwo\n\1\n", written)


def test_azure_pipelines_output_uses_logging_commands(
    on_azure: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_all()
    out, err = capsys.readouterr()
    (summary,) = on_azure.glob("inv-*.md")
    assert summary.read_text() == "# Title\n\nmore\n"
    assert out == "##[group]a group\ninside\n##[endgroup]\n"
    assert err.splitlines() == [
        "##vso[task.setvariable variable=digests;isOutput=true;]one%0Atwo",
        f"##vso[task.logissue type=error;sourcepath={FIXTURE.name}/flows/faq/deploy.yaml;"
        "linenumber=3;]flows/faq/deploy.yaml:3: a, b: 50 %AZP25 off%0D%0Aand: more, too → do this;"
        "%0Athen]",
        f"##vso[task.uploadsummary]{summary}",
    ]


def test_properties_of_azure_commands_end_where_they_should(
    on_azure: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ci_system.set_output("a;b]c", "x")
    assert capsys.readouterr().err == (
        "##vso[task.setvariable variable=a%3Bb%5Dc;isOutput=true;]x\n"
    )


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("flows/faq/deploy.yaml:12: sample", SourceLocation("flows/faq/deploy.yaml", 12)),
        ("flows/faq/deploy.yaml", SourceLocation("flows/faq/deploy.yaml", None)),
        ("flows/faq/deploy.yaml: sample", SourceLocation("flows/faq/deploy.yaml", None)),
        ("flows/faq/no-such.yaml:12", None),
        ("flows/faq", None),
        ("/etc/hosts:1", None),
        ("../" * 20 + "etc/hosts:1", None),
        ("x" * 300, None),
        ("registry crdev.azurecr.io", None),
        ("--env prod", None),
        ("", None),
    ],
)
def test_a_problem_is_shown_beside_its_line(where: str, expected: SourceLocation | None) -> None:
    assert find_location(where, None) == expected


def test_a_summary_stays_under_the_limit_and_lists_omissions(on_github: Path) -> None:
    file = on_github / "step_summary"
    piece = "é" * (200 * 1024)
    for _ in range(4):
        ci_system.append_summary(piece)
    ci_system.append_summary("short")
    assert file.stat().st_size <= github.MAX_SUMMARY_BYTES
    text = file.read_text()
    assert text.count("é") == 2 * 200 * 1024
    assert text.count(github.TRUNCATION_NOTE.strip()) == 2
    assert text.endswith("short\n\n")


def test_a_full_summary_is_not_extended(on_github: Path) -> None:
    file = on_github / "step_summary"
    file.write_bytes(b"x" * (github.MAX_SUMMARY_BYTES - 3))
    ci_system.append_summary("more")
    assert file.stat().st_size == github.MAX_SUMMARY_BYTES - 3


def test_a_summary_that_cannot_be_written_stops_nothing(
    on_github: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = on_github / "no-such-folder" / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    ci_system.append_summary("# Title")
    assert capsys.readouterr().err == (
        f"summary   not written: [Errno 2] No such file or directory: '{path}'\n"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a|b", r"a\|b"),
        ("`code`", r"\`code\`"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_ENDPOINT"),
        ("_so_ *and* [so](x)", r"\_so\_ \*and\* \[so\](x)"),
        ("one\r\n two\n", "one<br>two"),
        ("rg_flows\\x $1 ~y~", r"rg_flows\\x \$1 \~y\~"),
        ("a&lt;b", "a&amp;lt;b"),
    ],
)
def test_values_are_no_markup(value: str, expected: str) -> None:
    assert markdown.escape_text(value) == expected


def test_a_table_is_printed_and_summarized(
    on_github: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"flow": "faq", "what": "a|b", "more": 1}, {"flow": "triage", "what": "", "more": 2}]
    output.show(rows, ("flow", "what"), title="Plan for dev")
    output.show([], title="Nothing")
    output.show([], title="Drift", empty="none")
    output.send_summary("plan")
    assert capsys.readouterr().out == "flow    what\nfaq     a|b\ntriage  -\nnone\n"
    assert (on_github / "step_summary").read_text() == (
        "### Plan for dev\n\n| flow | what |\n| --- | --- |\n| faq | a\\|b |\n| triage | - |\n\n"
        "### Drift\n\nnone\n\n"
    )


def test_json_is_the_same_and_no_command(
    on_azure: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = {"answer": "###vso[task.setvariable variable=PATH]/tmp", "plain": "## a heading"}
    output.print_json(value)
    out = capsys.readouterr().out
    assert "##vso[" not in out
    assert json.loads(out) == value


@pytest.mark.parametrize(
    ("said", "github_shows", "azure_shows"),
    [
        ("  ::add-mask::x\n::error::y", "  : :add-mask::x\n: :error::y", None),
        ("a\r::error::b\r\n::c", "a\r: :error::b\r\n: :c", None),
        ("a ##[error]b", "a # #[error]b", "a # #[error]b"),
        ("a ##vso[task.complete]b", None, "a # #vso[task.complete]b"),
        ("std::string and # [x]", None, None),
    ],
)
def test_foreign_text_is_escaped_in_ci_commands(
    said: str,
    github_shows: str | None,
    azure_shows: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ci_system.escape_commands(said) == said
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    connect(monkeypatch)
    assert ci_system.escape_commands(said) == (github_shows or said)
    monkeypatch.delenv("GITHUB_ACTIONS")
    monkeypatch.setenv("TF_BUILD", "True")
    connect(monkeypatch)
    assert ci_system.escape_commands(said) == (azure_shows or said)


def test_phases_are_timed_also_those_that_fail(on_github: Path) -> None:
    with progress.log_prefix("faq"), progress.phase("build", "image"):
        pass
    with pytest.raises(ValueError, match="no"), progress.phase("push", "layers"):
        raise ValueError("no")
    output.send_summary("deploy")
    output.send_summary("deploy")
    assert re.fullmatch(
        r"<details><summary>inv deploy: phases</summary>\n\n"
        r"\| flow \| phase \| what \| took \|\n\| --- \| --- \| --- \| --- \|\n"
        r"\| faq \| build \| image \| 0\.\d s \|\n"
        r"\|  \| push \| layers \| failed after 0\.\d s \|\n\n</details>\n\n",
        (on_github / "step_summary").read_text(),
    )


def test_a_failing_task_annotates_each_problem_and_prints_its_errors(tmp_path: Path) -> None:
    root = copy_of_the_repository(tmp_path)
    wrong = "sampel: x\nenvironments:\n  local: {target: lokal}\n"
    (root / "flows/faq/deploy.yaml").write_text(wrong, encoding="utf-8")
    summary = tmp_path / "summary"
    message = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}
    done = inv("plan", "--json", cwd=root, GITHUB_STEP_SUMMARY=str(summary), **message)
    assert done.returncode == 1
    assert done.stdout == ""
    plain = inv("plan", "--json", cwd=root)
    commands = [line for line in done.stderr.splitlines() if line.startswith("::")]
    assert [line for line in done.stderr.splitlines() if line not in commands] == (
        plain.stderr.splitlines()
    )
    assert commands[0] == (
        "::error file=copy/flows/faq/deploy.yaml,line=1,title=flows/faq/deploy.yaml%3A1%3A "
        "sampel::unknown key%0A→ did you mean sample?"
    )
    assert summary.read_text() == (
        "### inv plan failed\n\n"
        "- **flows/faq/deploy.yaml:1: sampel**: unknown key<br>→ did you mean sample?\n"
        "- **flows/faq/deploy.yaml:3: environments.local.target**: unknown target 'lokal'"
        "<br>→ did you mean local?\n\n"
    )


@pytest.mark.parametrize("name", ["plan", "infra.plan"])
def test_a_failure_is_annotated_with_its_task(name: str, tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    done = inv(
        name,
        "--env",
        "nowhere",
        GITHUB_STEP_SUMMARY=str(summary),
        TF_BUILD="True",
        AGENT_TEMPDIRECTORY=str(tmp_path),
    )
    assert done.returncode == 1
    (file,) = tmp_path.glob("inv-*.md")
    assert file.read_text("utf-8").startswith(f"### inv {name} failed\n\n- **")
    assert f"##vso[task.uploadsummary]{file}" in done.stderr.splitlines()
    assert not summary.exists()
