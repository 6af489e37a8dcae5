"""The Infrastructure Request: a golden document for each option, and the same in every format."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import docx
import pytest

from deploy.core.errors import DeployError
from deploy.infra import desired, request
from deploy.infra.desired import DesiredState
from deploy.infra.request import content, html, markdown, word
from deploy.infra.request.document import Checklist, Document, Heading, Paragraph, Table
from deploy.infra.requirements import collect_requirements
from tests import environments
from tests.environments import APPSERVICE, AZUREML

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "azureml": environments.large(AZUREML),
    "appservice": environments.large(APPSERVICE),
    "both-small": environments.small(AZUREML, APPSERVICE),
}


def request_of(asked: DesiredState) -> Document:
    return content.build_document(collect_requirements(asked))


@pytest.mark.parametrize("name", CASES)
def test_golden_document(name: str) -> None:
    text = markdown.render(request_of(CASES[name]))
    golden = GOLDEN / f"request-{name}.md"
    assert golden.read_text("utf-8") == text, f"python -m tests.unit.infra.{Path(__file__).stem}"


def test_a_request_names_only_the_selected_option() -> None:
    machine_learning, web = (
        markdown.render(request_of(CASES[name])) for name in CASES if "-" not in name
    )
    assert "MachineLearning" not in web
    assert "Microsoft.Web" not in machine_learning


def test_moving_the_environment_is_one_line_and_changes_both() -> None:
    before, after = (
        collect_requirements(environments.small(option)) for option in (AZUREML, APPSERVICE)
    )
    gone = {one.kind for one in before.resources} - {one.kind for one in after.resources}
    new = {one.kind for one in after.resources} - {one.kind for one in before.resources}
    assert gone == {
        "Microsoft.MachineLearningServices/workspaces",
        "Microsoft.Storage/storageAccounts",
    }
    assert {kind.partition("/")[0] for kind in new} == {"Microsoft.Web", "Microsoft.Insights"}


def test_missing_values_are_questions() -> None:
    asked = collect_requirements(environments.small(AZUREML)).questions
    assert [text.partition("?")[0] for text in asked] == [
        "Who owns the environment",
        "Which cost center pays",
        "Who receives alerts, also about the budget",
        "What is the monthly budget",
        "Where does CI run",
        "Which Azure OpenAI account do chat use",
    ]
    assert collect_requirements(environments.large(AZUREML)).questions == ()


def test_a_web_app_requests_its_unset_settings() -> None:
    web = {"auth": "entra", "public_network": True}
    made = desired.build_desired_state(environments.outline(APPSERVICE, web=web, private=True))
    asked = collect_requirements(made).questions
    assert asked[-2:] == (
        "For which app registration do clients of faq request tokens? (auth_client)",
        "The environment is private: should faq not have `public_network: false` in deploy.yaml?",
    )
    given = {"auth_client": "0"}
    web = {"auth": "entra", "public_network": False}
    made = desired.build_desired_state(
        environments.outline(APPSERVICE, web=web, given=given, private=True)
    )
    assert collect_requirements(made).questions == asked[:-2]


def test_a_request_contains_no_secret_value() -> None:
    secrets = collect_requirements(environments.large(AZUREML, APPSERVICE)).secrets
    assert [(one.name, one.reader) for one in secrets] == [
        ("SERP_API_KEY", "chat"),
        ("MY_TOKEN", "faq"),
        ("faq-prod-key", "faq"),
    ]


def test_quotas_cover_rollouts_and_upgrades() -> None:
    (cores, tokens) = collect_requirements(environments.large(AZUREML)).quotas
    # 5 instances, 3 versions at once, a fifth more, 2 cores each.
    assert (cores.amount, cores.unit) == (36, "cores")
    assert cores.name == "Azure Machine Learning: Standard DASv4 Family Cluster Dedicated vCPUs"
    assert tokens.amount == 10000


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "code":
            self.handle_data("`")
        elif tag in ("td", "th", "h2", "p", "li"):
            self.found.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self.handle_data("`")
        self._inside = self._inside and tag not in ("td", "th", "h2", "p", "li")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data


@pytest.mark.parametrize("name", CASES)
def test_html_has_the_same_content(name: str) -> None:
    document = request_of(CASES[name])
    parser = _Cells()
    parser.feed(html.render(document))
    assert [text.strip() for text in parser.found] == texts(document)


@pytest.mark.parametrize("name", CASES)
def test_word_has_the_same_content(name: str) -> None:
    document = request_of(CASES[name])
    made = docx.Document(io.BytesIO(word.render(document)))
    tables = [
        [tuple(cell.text for cell in row.cells) for row in table.rows] for table in made.tables
    ]
    expected = [
        [*([block.heads] if any(block.heads) else []), *block.rows]
        for block in document.blocks
        if isinstance(block, Table)
    ]
    plain = [[tuple(cell.replace("`", "") for cell in row) for row in table] for table in expected]
    assert tables == plain
    headings = [p.text for p in made.paragraphs if p.style and p.style.name == "Heading 1"]
    assert headings == [block.text for block in document.blocks if isinstance(block, Heading)]


@pytest.mark.parametrize("format", request.FORMATS)
def test_every_format_is_written(tmp_path: Path, format: str) -> None:
    path = tmp_path / "some/where" / f"request.{format}"
    request.write(CASES["azureml"], format, path)
    head = {"md": b"# Infra", "html": b"<!doctype", "docx": b"PK"}[format]
    assert path.read_bytes().startswith(head)


def test_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(DeployError) as raised:
        request.write(CASES["azureml"], "pdf", tmp_path / "request.pdf")
    assert str(raised.value) == "--format: unknown format 'pdf'\n  → known: md, html, docx"


def test_html_is_escaped() -> None:
    text = html.render(Document("<script>", (Paragraph("<b>"), Checklist(("<i>",)))))
    assert not re.search("<script>|<b>|<i>", text)


def texts(document: Document) -> list[str]:
    found: list[str] = []
    for block in document.blocks:
        if isinstance(block, Table):
            rows = [*([block.heads] if any(block.heads) else []), *block.rows]
            found += [cell for row in rows for cell in row]
        elif isinstance(block, Checklist):
            found += block.items
        else:
            found.append(block.text)
    return found


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case, asked in CASES.items():
        (GOLDEN / f"request-{case}.md").write_text(markdown.render(request_of(asked)), "utf-8")
