"""docs/choosing.md, its parts that come from deploy/advise: tables of facts and rules, examples.

Run it to write them anew: `python -m tests.choosing_page`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.advise.answers import QUESTIONS
from deploy.advise.options import (
    Source,
    list_azure_options,
    load_options,
    load_shared_sources,
)
from deploy.advise.preferences import list_preferences
from deploy.advise.report import Citations

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/choosing.md"
COLUMNS = ("azureml", "appservice", "containerapps", "aks")
# The environments.yaml of an example: a copy of this repository has another one.
ENVIRONMENTS = """\
local: {}
dev:
  subscription: ${AZURE_SUBSCRIPTION_ID}
  resource_group: rg-flows-dev
  registry: crflowsdev.azurecr.io
  workspace: mlw-flows-dev
prod:
  subscription: ${AZURE_SUBSCRIPTION_ID}
  resource_group: rg-flows-prod
  registry: crflowsprod.azurecr.io
  app: app-{flow}-prod
  key_vault: https://kv-flows-prod.vault.azure.net
"""
GENERATED = re.compile(r"(<!-- (\w+)(?:: (.+?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str) -> str:
    """Return the page with every generated part as it should be."""
    parts: dict[str, Callable[[str], str]] = {
        "questions": lambda _: "\n".join(_questions()),
        "facts": lambda _: "\n".join(_facts()),
        "limits": lambda _: "\n".join(_limits()),
        "preferences": lambda _: "\n".join(_preferences()),
        "guides": lambda _: "\n".join(_guides()),
        "environments": lambda _: f"```yaml\n{ENVIRONMENTS}```",
        "example": lambda command: f"```console\n$ {command}\n{run(command)}```",
    }

    def written(found: re.Match[str]) -> str:
        return f"{found[1]}\n{parts[found[2]](found[3] or '')}\n\n{found[4]}"

    return GENERATED.sub(written, text)


def project(folder: Path, environments: str = ENVIRONMENTS) -> Path:
    """Make a project below `folder` that `inv advise` runs in, with the example flows' names."""
    root = folder / "project"
    root.mkdir()
    (root / "deploy").symlink_to(ROOT / "deploy")
    (root / "tasks.py").write_bytes((ROOT / "tasks.py").read_bytes())
    (root / "environments.yaml").write_text(environments, encoding="utf-8")
    for name in ("chat", "faq", "triage"):
        (root / "flows" / name).mkdir(parents=True)
    return root


def run(command: str) -> str:
    """Return what a command of the page prints."""
    with tempfile.TemporaryDirectory() as folder:
        inv, *arguments = shlex.split(command)
        done = subprocess.run(
            [str(Path(sys.executable).with_name(inv)), *arguments],
            cwd=project(Path(folder)),
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _questions() -> Iterator[str]:
    yield "| flag | question | answers | default |\n|---|---|---|---|"
    for one in QUESTIONS:
        answers = [
            f"`{name}`" + (f": {text}" if text else "") for name, text in one.choices.items()
        ]
        unit = f"a number, in {one.unit}"
        yield f"| `{one.flag}` | {one.text} | {'; '.join(answers) or unit} | {one.default} |"


def _facts() -> Iterator[str]:
    sources, shared = Citations(), load_shared_sources()
    options = [load_options()[name] for name in COLUMNS]
    heads = [
        option.name if option.is_installed else f"{option.name}, with an extension"
        for option in options
    ]
    yield f"| | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for criterion in dict.fromkeys(name for option in options for name in option.facts):
        facts = [option.facts.get(criterion) for option in options]
        cells = [f"{fact.text} {sources.cite(fact)}" if fact else "" for fact in facts]
        yield f"| {criterion} | {' | '.join(cells)} |"
    yield f"\nSources, read on {shared.read_on}, each with the date of the version that was read:\n"
    for number, source in enumerate(sources.sources, 1):
        yield f"{number}. {_link(source)}"


def _limits() -> Iterator[str]:
    yield "| option | requirement that rules it out | because |\n|---|---|---|"
    for option in list_azure_options():
        for limit in option.limits:
            yield f"| {limit.option} | {limit.requirement} | {limit.fact.text} |"


def _preferences() -> Iterator[str]:
    for number, preference in enumerate(list_preferences(), 1):
        yield f"{number}. **{preference.option}**: {preference.explanation}"


def _guides() -> Iterator[str]:
    for source in load_shared_sources().guides:
        yield f"- {_link(source)}"


def _link(source: Source) -> str:
    link = source.link
    if "://" not in link:
        link = link.removeprefix("docs/") if link.startswith("docs/") else f"../{link}"
    return f"[{source.title}]({link})" + (f", {source.dated}" if source.dated else "")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8")
