"""Requests to the endpoint as its callers send them, timed, and what a rollout thinks of them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import requests

from deploy import pausing, verify, wire
from deploy.errors import Problem
from deploy.model import Spec
from deploy.targets.azureml.errors import About
from deploy.targets.azureml.settings import Guards

# Names the deployment that is meant, in a request and in its answer.
HEADER = "azureml-model-deployment"
# The longest that the service itself lets a request take, and a little.
TIMEOUT = 190


@dataclass(frozen=True)
class Shot:
    """One request: how long it took, who answered, and what was wrong; empty where nothing was."""

    seconds: float
    version: str
    problem: str
    status: int = 200


def shoot(spec: Spec, url: str, headers: Mapping[str, str]) -> Shot:
    """Score the sample once, and judge the answer."""
    body = json.loads(spec.flow.sample.read_text(encoding="utf-8"))
    http = wire.session()
    http.trust_env = not wire.is_loopback(url)
    start = time.monotonic()
    try:
        answer = http.post(f"{url}/score", json=body, headers=dict(headers), timeout=TIMEOUT)
    except requests.RequestException as error:
        return Shot(time.monotonic() - start, "", f"no answer ({type(error).__name__})", 0)
    seconds = time.monotonic() - start
    version = answer.headers.get(HEADER, "")
    return Shot(seconds, version, _problem(spec, url, answer), answer.status_code)


def version(url: str, headers: Mapping[str, str]) -> str:
    """Return the content tag that the container tells, empty where it cannot be asked.

    The service in front is documented to pass /score on; that it passes other paths, too, was seen,
    and is not promised.
    """
    http = wire.session()
    http.trust_env = not wire.is_loopback(url)
    try:
        answer = http.get(f"{url}/version", headers=dict(headers), timeout=30)
        return str(answer.json().get("tag") or "") if answer.status_code == 200 else ""
    except (requests.RequestException, ValueError, AttributeError):
        return ""


def watch(
    shots: Callable[[], Shot], guards: Guards, seconds: float, say: Callable[[str], None]
) -> str:
    """Score the sample again and again for `seconds`; return why to stop, empty for all is well."""
    seen: list[Shot] = []
    start = time.monotonic()
    for number in range(guards.probes):
        seen.append(shots())
        reason = verdict(seen, guards)
        if reason:
            return reason
        say(f"{time.monotonic() - start:.0f} of {seconds:.0f} s, {len(seen)} probes well")
        # As many pauses as probes, so that the last stands at the end of the step.
        due = start + seconds * (number + 1) / guards.probes
        pausing.pause(max(0.0, due - time.monotonic()))
    return ""


def verdict(shots: Sequence[Shot], guards: Guards) -> str:
    """Return why `shots`, of `guards.probes`, are too bad to go on; empty while they are not."""
    failed = [shot for shot in shots if shot.problem]
    if len(failed) / guards.probes > guards.error_rate:
        share = f"{len(failed)} of {len(shots)} requests failed"
        return f"{share}, more than guards.error_rate {guards.error_rate:g}: {failed[-1].problem}"
    if guards.p95_ms is not None and len(shots) == guards.probes:
        measured = p95([shot.seconds for shot in shots]) * 1000
        if measured > guards.p95_ms:
            return f"p95 is {measured:.0f} ms, above guards.p95_ms {guards.p95_ms}"
    return ""


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile (nearest rank): of fewer than 20 values, the largest."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def refusal(where: str, status: int, headers: Mapping[str, str], about: About) -> Problem | None:
    """Return what the service in front of the container says by a status; None for other ones."""
    model = headers.get("ms-azureml-model-error-statuscode")
    if status == 424 and model:
        why = headers.get("ms-azureml-model-error-reason", "")
        hint = f"{about.inv('logs')} shows the container's own lines"
        what = f"the flow answered {model}{f' ({why})' if why else ''}"
        return Problem(where, what, hint)
    known = {
        401: (
            "it does not accept the key or token",
            f"is `auth` the endpoint's? {about.inv('plan')} tells",
        ),
        403: (
            "whoever is logged in may not score",
            "have the role AzureML Data Scientist on the endpoint assigned to it",
        ),
        404: ("no version has any traffic", f"{about.inv('deploy')} gives it some"),
        408: (
            "the flow took longer than request_timeout",
            "set a longer one (180 s at most), or make the flow quicker",
        ),
        424: ("the container does not answer", f"{about.inv('status')}, then {about.inv('logs')}"),
        429: (
            "more requests than it takes at once",
            "raise max_concurrent_requests_per_instance or instance_count, or set autoscale",
        ),
        502: (
            "the service cannot reach the container",
            f"{about.inv('status')}, then {about.inv('logs')}",
        ),
        503: ("the service is not available", "wait a minute, then try again"),
    }
    return Problem(where, *known[status]) if status in known else None


def _problem(spec: Spec, url: str, answer: requests.Response) -> str:
    if answer.status_code != 200:
        given = {name.lower(): value for name, value in answer.headers.items()}
        said = refusal(url, answer.status_code, given, About(options=spec.options))
        return said.what if said else f"status {answer.status_code}"
    try:
        return "; ".join(verify.judge(answer.json(), spec.flow.expect))
    except ValueError:
        return "the answer is no JSON"
