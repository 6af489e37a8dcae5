"""What deploy.yaml says for a recommendation, and what else must be done or known."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ruamel.yaml import YAML

from deploy.advice import facts
from deploy.advice.answers import Answers
from deploy.advice.facts import AKS, APPSERVICE, AZUREML, CONTAINERAPPS, LOCAL
from deploy.advice.judge import Recommendation
from deploy.advice.places import ENVIRONMENTS

# What stands for a flow that nobody named.
PLACEHOLDER = "‹flow›"
# Of the container (docs/container.md): seconds for a request, bytes of a body.
SERVE_TIMEOUT, SERVE_BODY_LIMIT = 170, 10 * 1024 * 1024
# Of the target appservice: seconds for a request.
REQUEST_TIMEOUT = 220
# Instances that a zone may take one of.
ACROSS_ZONES = 3
# Per cent of requests that a new version gets a copy of.
MIRROR = 10
# The longest name of a container app.
APP = 32


def lines(flow: str, found: Iterable[Recommendation]) -> str:
    """Return the part of a flow's deploy.yaml, empty where nothing is to be written."""
    every = {one.environment.name: of(flow, one) for one in found}
    environments = {name: settings for name, settings in every.items() if settings}
    if not environments:
        return ""
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None  # an environment with nothing nested is one line
    yaml.width = 100
    yaml.dump({"environments": environments}, text)
    return text.getvalue()


def of(flow: str, found: Recommendation) -> dict[str, Any]:
    """Return the settings of one environment; none where no target of that name is there."""
    wanted: dict[str, Callable[[str, Recommendation], dict[str, Any]]] = {
        LOCAL: lambda flow, found: {},
        AZUREML: _azureml,
        APPSERVICE: _appservice,
        CONTAINERAPPS: _containerapps,
    }
    if found.target not in wanted:
        return {}
    settings = {"target": found.target, **wanted[found.target](flow, found)}
    clear = _variables(found)
    return {**settings, "env": {"clear": clear}} if clear else settings


def _azureml(flow: str, found: Recommendation) -> dict[str, Any]:
    answers = found.answers
    settings: dict[str, Any] = {"auth": "key" if answers.callers == "key" else "entra"}
    if answers.zones:
        settings["instance_count"] = ACROSS_ZONES
    if answers.rollout != "at-once":
        settings["rollout"] = [10, 50, 100]
    if answers.rollout == "mirror":
        settings["mirror"] = MIRROR
    if found.environment.trial:
        settings["keep_previous"] = 0
    return settings


def _appservice(flow: str, found: Recommendation) -> dict[str, Any]:
    answers = found.answers
    auth = {"key": "key", "anyone": "public"}.get(answers.callers, "entra")
    settings: dict[str, Any] = {"auth": auth}
    if not found.environment.trial:
        settings["slot"] = "staging"
    if answers.network == "private":
        settings["public_network"] = False
    # Of a stream it is the time until it begins.
    if answers.longest > REQUEST_TIMEOUT and not answers.streaming:
        settings["request_timeout"] = facts.SITE_SECONDS
    return settings


def _containerapps(flow: str, found: Recommendation) -> dict[str, Any]:
    name = re.sub(r"[^a-z0-9]+", "-", f"{flow}-{found.environment.name}".lower())
    auth = "public" if found.answers.callers == "anyone" else "key"
    settings: dict[str, Any] = {"app": name.strip("-")[:APP].rstrip("-"), "auth": auth}
    if found.answers.zones:
        settings["replicas"] = ACROSS_ZONES
    return settings


def _variables(found: Recommendation) -> dict[str, str]:
    """Return what the container must be told; the target appservice tells the time limit itself."""
    answers, clear = found.answers, {}
    late = answers.longest > SERVE_TIMEOUT and not answers.streaming
    if late and found.target in (AZUREML, CONTAINERAPPS):
        clear["SERVE_TIMEOUT"] = str(math.ceil(answers.longest))
    if answers.body * 1000 > SERVE_BODY_LIMIT:
        clear["SERVE_BODY_LIMIT"] = str(math.ceil(answers.body * 1000))
    return clear


def notes(flow: str, found: Recommendation) -> tuple[str, ...]:
    """Return what must be done beside deploy.yaml, and what one should know."""
    every: dict[str, Callable[[Recommendation], Iterator[str]]] = {
        AZUREML: _with_azureml,
        APPSERVICE: _with_appservice,
        CONTAINERAPPS: _with_containerapps,
        AKS: _with_aks,
    }
    return tuple(every[found.target](found)) if found.target in every else ()


def _lacks(found: Recommendation, *keys: str) -> Iterator[str]:
    missing = [f"`{key}`" for key in keys if key not in found.environment.has]
    if missing:
        yield f"{ENVIRONMENTS} must say {' and '.join(missing)} for it"


def _network(answers: Answers, also: str) -> Iterator[str]:
    private = "`infra: {private: true}` (docs/infrastructure.md)"
    if answers.network == "private":
        yield f"private endpoints, and a network for them: {private}; {also}"
    if answers.network == "vnet":
        yield f"callers use its address in the internet, or a private endpoint by {private}"


def _with_azureml(found: Recommendation) -> Iterator[str]:
    answers = found.answers
    yield from _lacks(found, "workspace", "registry")
    closed = "close each new endpoint's public address once (docs/infrastructure/azureml.md)"
    yield from _network(answers, closed)
    if answers.callers in ("users", "services"):
        yield "each caller, or a group, needs a role with onlineEndpoints/score/action"
    if answers.domain:
        yield "a domain of yours needs a gateway before the endpoint"
    at_once = answers.peak * answers.longest
    if at_once > facts.ML_CONNECTIONS:
        yield (
            f"if every answer took the longest time, {at_once:.0f} connections would be open at "
            f"the peak, and an endpoint takes {facts.ML_CONNECTIONS}"
        )
    if answers.zones:
        yield "the quota must have a fifth more instances than that (docs/targets/azureml.md)"
    if found.environment.trial:
        yield "no earlier version is kept, as it would cost: a rollback is another deploy"


def _with_appservice(found: Recommendation) -> Iterator[str]:
    answers = found.answers
    keys = {"key": ["key_vault"], "anyone": []}.get(answers.callers, ["auth_client"])
    yield from _lacks(found, "app", "registry", *keys)
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
    if found.environment.trial:
        yield "without a slot, a new version means a brief restart"


def _with_containerapps(found: Recommendation) -> Iterator[str]:
    answers = found.answers
    yield f"install the extension ({facts.APPS_PAGE.link}) and deploy once to try it"
    vault = [] if answers.callers == "anyone" else ["key_vault"]
    yield from _lacks(found, "managed_environment", "identity", "registry", *vault)
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


def _with_aks(found: Recommendation) -> Iterator[str]:
    yield (
        f"there is no target for it: write one ({facts.EXTENDING.link}), or run the image as it is "
        "(docs/container.md)"
    )
