"""The deploy.yaml settings for a recommendation, and notes on further steps."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ruamel.yaml import YAML

from deploy.advise import facts
from deploy.advise.answers import Answers
from deploy.advise.environments import ENVIRONMENTS
from deploy.advise.facts import AKS, APPSERVICE, AZUREML, CONTAINERAPPS, LOCAL
from deploy.advise.recommend import Recommendation

# The flow's name in the advice if --flow is not given.
FLOW_PLACEHOLDER = "‹flow›"
# Defaults of the container (docs/container.md): seconds for a request, bytes of a body.
SERVE_TIMEOUT, SERVE_BODY_LIMIT = 170, 10 * 1024 * 1024
# The default of the target `appservice`: seconds for a request.
REQUEST_TIMEOUT = 220
# The fewest instances with which the flow survives the loss of a zone.
ZONE_INSTANCES = 3
# The percentage of requests that is mirrored to a new version.
MIRROR_PERCENT = 10
# The maximum length of a container app's name.
MAX_APP_NAME_LENGTH = 32


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
    """Return the settings of one environment; empty if this project has no such target."""
    builders: dict[str, Callable[[str, Recommendation], dict[str, Any]]] = {
        LOCAL: lambda flow, recommendation: {},
        AZUREML: _azureml,
        APPSERVICE: _appservice,
        CONTAINERAPPS: _containerapps,
    }
    if recommendation.target not in builders:
        return {}
    settings = {
        "target": recommendation.target,
        **builders[recommendation.target](flow, recommendation),
    }
    clear = _variables(recommendation)
    return {**settings, "env": {"clear": clear}} if clear else settings


def _azureml(flow: str, recommendation: Recommendation) -> dict[str, Any]:
    answers = recommendation.answers
    settings: dict[str, Any] = {"auth": "key" if answers.callers == "key" else "entra"}
    if answers.zones:
        settings["instance_count"] = ZONE_INSTANCES
    if answers.rollout != "at-once":
        settings["rollout"] = [10, 50, 100]
    if answers.rollout == "mirror":
        settings["mirror"] = MIRROR_PERCENT
    if recommendation.environment.is_trial:
        settings["keep_previous"] = 0
    return settings


def _appservice(flow: str, recommendation: Recommendation) -> dict[str, Any]:
    answers = recommendation.answers
    auth = {"key": "key", "anyone": "public"}.get(answers.callers, "entra")
    settings: dict[str, Any] = {"auth": auth}
    if not recommendation.environment.is_trial:
        settings["slot"] = "staging"
    if answers.network == "private":
        settings["public_network"] = False
    # For a stream, the timeout covers only the time until it begins.
    if answers.longest > REQUEST_TIMEOUT and not answers.streaming:
        settings["request_timeout"] = facts.SITE_SECONDS
    return settings


def _containerapps(flow: str, recommendation: Recommendation) -> dict[str, Any]:
    name = re.sub(r"[^a-z0-9]+", "-", f"{flow}-{recommendation.environment.name}".lower())
    auth = "public" if recommendation.answers.callers == "anyone" else "key"
    settings: dict[str, Any] = {
        "app": name.strip("-")[:MAX_APP_NAME_LENGTH].rstrip("-"),
        "auth": auth,
    }
    if recommendation.answers.zones:
        settings["replicas"] = ZONE_INSTANCES
    return settings


def _variables(recommendation: Recommendation) -> dict[str, str]:
    """Return variables for the container; the target `appservice` sets the time limit itself."""
    answers, clear = recommendation.answers, {}
    exceeds_timeout = answers.longest > SERVE_TIMEOUT and not answers.streaming
    if exceeds_timeout and recommendation.target in (AZUREML, CONTAINERAPPS):
        clear["SERVE_TIMEOUT"] = str(math.ceil(answers.longest))
    if answers.body * 1000 > SERVE_BODY_LIMIT:
        clear["SERVE_BODY_LIMIT"] = str(math.ceil(answers.body * 1000))
    return clear


def list_notes(flow: str, recommendation: Recommendation) -> tuple[str, ...]:
    """Return the steps beside deploy.yaml, and what to know about the target."""
    notes_by_target: dict[str, Callable[[Recommendation], Iterator[str]]] = {
        AZUREML: _with_azureml,
        APPSERVICE: _with_appservice,
        CONTAINERAPPS: _with_containerapps,
        AKS: _with_aks,
    }
    return (
        tuple(notes_by_target[recommendation.target](recommendation))
        if recommendation.target in notes_by_target
        else ()
    )


def _note_missing_keys(recommendation: Recommendation, *keys: str) -> Iterator[str]:
    missing = [f"`{key}`" for key in keys if key not in recommendation.environment.keys]
    if missing:
        yield f"{ENVIRONMENTS} must say {' and '.join(missing)} for it"


def _network(answers: Answers, private_note: str) -> Iterator[str]:
    private = "`infra: {private: true}` (docs/infrastructure.md)"
    if answers.network == "private":
        yield f"private endpoints, and a network for them: {private}; {private_note}"
    if answers.network == "vnet":
        yield f"callers use its address in the internet, or a private endpoint by {private}"


def _with_azureml(recommendation: Recommendation) -> Iterator[str]:
    answers = recommendation.answers
    yield from _note_missing_keys(recommendation, "workspace", "registry")
    private_note = "close each new endpoint's public address once (docs/infrastructure/azureml.md)"
    yield from _network(answers, private_note)
    if answers.callers in ("users", "services"):
        yield "each caller, or a group, needs a role with onlineEndpoints/score/action"
    if answers.domain:
        yield "a domain of yours needs a gateway before the endpoint"
    open_connections = answers.peak * answers.longest
    if open_connections > facts.ML_CONNECTIONS:
        yield (
            f"if every answer took the longest time, {open_connections:.0f} connections would be "
            f"open at the peak, and an endpoint takes {facts.ML_CONNECTIONS}"
        )
    if answers.zones:
        yield "the quota must have a fifth more instances than that (docs/targets/azureml.md)"
    if recommendation.environment.is_trial:
        yield "no earlier version is kept, as it would cost: a rollback is another deploy"


def _with_appservice(recommendation: Recommendation) -> Iterator[str]:
    answers = recommendation.answers
    keys = {"key": ["key_vault"], "anyone": []}.get(answers.callers, ["auth_client"])
    yield from _note_missing_keys(recommendation, "app", "registry", *keys)
    yield from _network(answers, "the address stays known in the internet, and answers 403")
    if answers.callers == "anyone":
        yield "whoever knows the address is let in, and spends model calls"
    if answers.callers == "users":
        yield "there is no page to log in here: your front end gets the token and sends it"
    if answers.longest > REQUEST_TIMEOUT and answers.streaming:
        yield (
            f"the stream must begin within {REQUEST_TIMEOUT} s (`request_timeout`), and then "
            f"something must come every {facts.SITE_SECONDS} s"
        )
    if answers.zones:
        yield "`infra: {zone_redundant: true}`: a Premium plan with 3 instances"
    if recommendation.environment.is_trial:
        yield "without a slot, a new version means a brief restart"


def _with_containerapps(recommendation: Recommendation) -> Iterator[str]:
    answers = recommendation.answers
    yield f"install the extension ({facts.APPS_PAGE.link}) and deploy once to try it"
    vault = [] if answers.callers == "anyone" else ["key_vault"]
    yield from _note_missing_keys(
        recommendation, "managed_environment", "identity", "registry", *vault
    )
    if answers.cost == "zero":
        yield "the example keeps its replicas: let its `scale` go down to 0"
    if answers.longest > facts.APPS_SECONDS and not answers.streaming:
        yield "the managed environment needs premium ingress, with a longer idle time"
    if answers.callers in ("users", "services"):
        yield "the example lets callers in by a key: add the platform's authentication"
    if answers.network != "public":
        yield "the example is reached from the internet: make its ingress internal"
    if answers.rollout != "at-once":
        yield "the example moves all requests at once: let its rules name a share"


def _with_aks(recommendation: Recommendation) -> Iterator[str]:
    yield (
        f"there is no target for it: write one ({facts.EXTENDING.link}), or run the image as it is "
        "(docs/container.md)"
    )
