"""The deploy.yaml settings for a recommendation, and notes on further steps."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator
from string import Template
from typing import Any

from ruamel.yaml import YAML

from deploy.advise.environments import ENVIRONMENTS
from deploy.advise.options import Rule
from deploy.advise.recommend import Recommendation, build_context

# The flow's name in the advice if --flow is not given.
FLOW_PLACEHOLDER = "‹flow›"
# The container's default (docs/container.md): bytes of a request's body.
SERVE_BODY_LIMIT = 10 * 1024 * 1024
# The maximum length of `$name` in advice files; every platform accepts such a name.
MAX_NAME_LENGTH = 32


def render_yaml(flow: str, recommendations: Iterable[Recommendation]) -> str:
    """Return the environments of a flow's deploy.yaml as YAML; empty if no settings are needed."""
    settings_by_environment = {
        recommendation.environment.name: build_settings(flow, recommendation)
        for recommendation in recommendations
    }
    environments = {
        name: settings for name, settings in settings_by_environment.items() if settings
    }
    if not environments:
        return ""
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None  # a mapping without nested values fits on one line
    yaml.width = 100
    yaml.dump({"environments": environments}, text)
    return text.getvalue()


def build_settings(flow: str, recommendation: Recommendation) -> dict[str, Any]:
    """Return the settings of one environment; empty if there is no such target."""
    option = recommendation.option
    if option is None or not option.has_target:
        return {}
    values = _build_template_values(flow, recommendation)
    settings: dict[str, Any] = {"target": option.name}
    for rule in _select(option.settings, recommendation):
        _merge(settings, _fill(rule.value, values))
    body = recommendation.answers.body * 1000
    if body > SERVE_BODY_LIMIT:
        _merge(settings, {"env": {"clear": {"SERVE_BODY_LIMIT": str(math.ceil(body))}}})
    return settings


def list_notes(flow: str, recommendation: Recommendation) -> tuple[str, ...]:
    """Return the steps beside deploy.yaml, and important facts about the target."""
    option = recommendation.option
    if option is None:
        return ()
    values = _build_template_values(flow, recommendation)
    missing = [
        f"`{rule.value}`"
        for rule in _select(option.environment_keys, recommendation)
        if rule.value not in recommendation.environment.keys
    ]
    notes = (
        [f"{ENVIRONMENTS} needs {' and '.join(missing)} for this environment"] if missing else []
    )
    notes += [_fill(rule.value, values) for rule in _select(option.notes, recommendation)]
    return tuple(notes)


def _select(rules: Iterable[Rule], recommendation: Recommendation) -> Iterator[Rule]:
    """Yield the rules whose conditions hold."""
    context = {
        **build_context(recommendation.answers, recommendation.environment),
        "installed": not recommendation.is_extension,
    }
    return (rule for rule in rules if rule.when.holds(context))


def _build_template_values(flow: str, recommendation: Recommendation) -> dict[str, str]:
    """Return the values of the names that texts and settings can contain."""
    answers, environment = recommendation.answers, recommendation.environment
    name = re.sub(r"[^a-z0-9]+", "-", f"{flow}-{environment.name}".lower())
    return {
        "name": name.strip("-")[:MAX_NAME_LENGTH].rstrip("-"),
        "longest_seconds": str(math.ceil(answers.longest)),
        "connections": f"{answers.peak * answers.longest:.0f}",
    }


def _fill(value: Any, values: dict[str, str]) -> Any:
    """Return `value` with each name after a dollar sign replaced."""
    if isinstance(value, str):
        return Template(value).safe_substitute(values)
    if isinstance(value, dict):
        return {key: _fill(item, values) for key, item in value.items()}
    return value


def _merge(settings: dict[str, Any], more: dict[str, Any]) -> None:
    """Add `more` to `settings`, also inside nested mappings."""
    for key, value in more.items():
        if isinstance(value, dict):
            _merge(settings.setdefault(key, {}), value)
        else:
            settings[key] = value
