"""Requests to the endpoint as its clients send them, with latency, and the rollout guards."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import requests

from deploy.core import http_requests, interrupts
from deploy.core.entities import Spec
from deploy.core.errors import Problem
from deploy.targets import verification
from deploy.targets.azureml.errors import ErrorContext
from deploy.targets.azureml.settings import Guards

# Header that selects the deployment in a request, and names it in the response.
DEPLOYMENT_HEADER = "azureml-model-deployment"
# Slightly more than the longest request that the service allows.
TIMEOUT_SECONDS = 190


@dataclass(frozen=True)
class Probe:
    """The result of one request."""

    seconds: float
    # The deployment that answered; empty without a response.
    version: str
    # Empty if the response is as expected.
    problem: str
    # HTTP status; 0 without a response.
    status: int = 200


def probe(spec: Spec, url: str, headers: Mapping[str, str]) -> Probe:
    """Score the sample once and check the response."""
    body = json.loads(spec.flow.sample.read_text(encoding="utf-8"))
    session = http_requests.new_session()
    session.trust_env = not http_requests.is_loopback(url)
    start = time.monotonic()
    try:
        response = session.post(
            f"{url}/score", json=body, headers=dict(headers), timeout=TIMEOUT_SECONDS
        )
    except requests.RequestException as error:
        return Probe(time.monotonic() - start, "", f"no answer ({type(error).__name__})", 0)
    seconds = time.monotonic() - start
    version = response.headers.get(DEPLOYMENT_HEADER, "")
    return Probe(seconds, version, _find_problem(spec, url, response), response.status_code)


def fetch_content_tag(url: str, headers: Mapping[str, str]) -> str:
    """Return the content tag that the container reports; empty if it cannot be requested.

    The service in front is documented to forward /score. It also forwards other paths; this was
    observed, and is not guaranteed.
    """
    session = http_requests.new_session()
    session.trust_env = not http_requests.is_loopback(url)
    try:
        response = session.get(f"{url}/version", headers=dict(headers), timeout=30)
        return str(response.json().get("tag") or "") if response.status_code == 200 else ""
    except (requests.RequestException, ValueError, AttributeError):
        return ""


def watch_probes(
    send_probe: Callable[[], Probe], guards: Guards, seconds: float, report: Callable[[str], None]
) -> str:
    """Score the sample repeatedly for `seconds`.

    Return the reason to stop the rollout, empty if the guards hold.
    """
    probes: list[Probe] = []
    start = time.monotonic()
    for number in range(guards.probes):
        probes.append(send_probe())
        reason = check_guards(probes, guards)
        if reason:
            return reason
        report(f"{time.monotonic() - start:.0f} of {seconds:.0f} s, {len(probes)} probes well")
        # Pause after every probe, so that the step takes all of `seconds`.
        next_probe = start + seconds * (number + 1) / guards.probes
        interrupts.pause(max(0.0, next_probe - time.monotonic()))
    return ""


def check_guards(probes: Sequence[Probe], guards: Guards) -> str:
    """Return which guard the probes violate, out of `guards.probes` planned ones; empty if none."""
    failed = [probe_result for probe_result in probes if probe_result.problem]
    if len(failed) / guards.probes > guards.error_rate:
        share = f"{len(failed)} of {len(probes)} requests failed"
        return f"{share}, more than guards.error_rate {guards.error_rate:g}: {failed[-1].problem}"
    if guards.p95_ms is not None and len(probes) == guards.probes:
        measured = p95([probe_result.seconds for probe_result in probes]) * 1000
        if measured > guards.p95_ms:
            return f"p95 is {measured:.0f} ms, above guards.p95_ms {guards.p95_ms}"
    return ""


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile (nearest rank): the largest of fewer than 20 values."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def explain_response(
    location: str, status: int, headers: Mapping[str, str], context: ErrorContext
) -> Problem | None:
    """Return the problem that a status of the service in front means; None for other statuses."""
    model_status = headers.get("ms-azureml-model-error-statuscode")
    if status == 424 and model_status:
        reason = headers.get("ms-azureml-model-error-reason", "")
        hint = f"{context.command('logs')} shows the container's own lines"
        message = f"the flow answered {model_status}{f' ({reason})' if reason else ''}"
        return Problem(location, message, hint)
    explanations = {
        401: (
            "it does not accept the key or token",
            f"is `auth` the endpoint's? {context.command('plan')} tells",
        ),
        403: (
            "whoever is logged in may not score",
            "have the role AzureML Data Scientist on the endpoint assigned to it",
        ),
        404: ("no version has any traffic", f"{context.command('deploy')} gives it some"),
        408: (
            "the flow took longer than request_timeout",
            "set a longer one (180 s at most), or make the flow quicker",
        ),
        424: (
            "the container does not answer",
            f"{context.command('status')}, then {context.command('logs')}",
        ),
        429: (
            "more requests than it takes at once",
            "raise max_concurrent_requests_per_instance or instance_count, or set autoscale",
        ),
        502: (
            "the service cannot reach the container",
            f"{context.command('status')}, then {context.command('logs')}",
        ),
        503: ("the service is not available", "wait a minute, then try again"),
    }
    return Problem(location, *explanations[status]) if status in explanations else None


def _find_problem(spec: Spec, url: str, response: requests.Response) -> str:
    if response.status_code != 200:
        response_headers = {name.lower(): value for name, value in response.headers.items()}
        problem = explain_response(
            url, response.status_code, response_headers, ErrorContext(options=spec.options)
        )
        return problem.what if problem else f"status {response.status_code}"
    try:
        return "; ".join(verification.find_mismatches(response.json(), spec.flow.expect))
    except ValueError:
        return "the answer is no JSON"
