"""Collect the secrets of a project, which no image may contain."""

from __future__ import annotations

import re

from deploy.config import configuration, env_file, rules
from deploy.config.configuration import Project
from deploy.core import yaml_files
from deploy.core.errors import DeployError
from deploy.server import auth, connections, redaction
from deploy.supply_chain.secret_scan.secret_matcher import MAX_WORD_LENGTH, extract_secrets

# Variables of this tool, its server, and the programs that it runs: many environments share their
# values, and images contain them. A password in such a value is a secret nevertheless.
TOOL_VARIABLES = re.compile(r"(FLOW|DOCKER|PIP|UV|SERVE|PYTHON)_|SOURCE_DATE_EPOCH$")
# Fields of connections whose variable holds a secret; `secrets` holds those of custom connections.
SECRET_FIELDS = {
    "secrets",
    *(kind.secret for kind in connections.CONNECTION_TYPES.values() if kind.secret),
}
# Values that are frequent in ordinary text: true, warning, production, 8080, 2024-10-21.
_ORDINARY_TEXT = re.compile(r"[a-z]+|[A-Z]+|[A-Z][a-z]+|[0-9.:/_ -]+")


def collect_secrets(project: Project) -> dict[str, str]:
    """Return names and values of all secrets that no image of `project` may contain.

    These are the values of `.env`, and of variables that any flow's connections or env.secret name.
    Left out are values that cannot be distinguished from ordinary text, and values that a
    deploy.yaml lists under env.clear, where its author declares them public, unless the variable's
    name is that of a secret.
    """
    secret_variables, other_variables, clear_values = _collect_variables(project)
    file = env_file.read_env_file(project.root / ".env")
    secrets: dict[str, str] = {}
    for name in {*file, *secret_variables, *other_variables}:
        is_secret = name in secret_variables or bool(rules.SECRET_NAME.search(name))
        # The two values may differ because one is outdated; both are secrets.
        for suffix, value in (("", project.environ.get(name)), (" in .env", file.get(name))):
            for text in _select_secrets(name, (value or "").strip(), is_secret):
                if (is_secret or text not in clear_values) and text not in secrets.values():
                    secrets[f"{name}{suffix if name in secrets else ''}"] = text
    return secrets


def _collect_variables(project: Project) -> tuple[set[str], set[str], set[str]]:
    """Return the variables that deploy.yaml files name (secret, other), and the clear values."""
    # Variables with keys of containers count even if no file names them.
    secret: set[str] = set(auth.KEY_VARIABLES)
    other: set[str] = set()
    clear: set[str] = set()
    for name in configuration.list_flow_names(project):
        try:
            document = yaml_files.load(project.root / "flows" / name / configuration.DEPLOY_FILE)
        except DeployError:
            # This flow gets no image until its file is corrected.
            continue
        for keys, text in document.strings():
            match keys:
                case ("environments", _, "env", "secret", _):
                    secret.add(text)
                case ("environments", _, "env", "clear", _):
                    clear.add(text)
                case ("connections", _, *fields) if connections.is_variable_name(text):
                    (secret if SECRET_FIELDS & set(fields) else other).add(text)
    return secret, other, clear


def _select_secrets(name: str, value: str, is_secret: bool) -> list[str]:
    """Return `value` or its secret parts, unless ordinary text is likely to contain the same."""
    if TOOL_VARIABLES.match(name) and not is_secret:
        return extract_secrets(value)
    if len(value) < redaction.MIN_SECRET_LENGTH:
        return []
    is_ordinary = _ORDINARY_TEXT.fullmatch(value) and not (
        is_secret and len(value) > MAX_WORD_LENGTH
    )
    return [] if is_ordinary else [value]
