"""Probes: requests to the endpoint as its clients send them, and the guards that judge them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import requests

from deploy.core import http_requests, interrupts
from deploy.targets import verification
from deploy.targets.azureml.errors import ErrorContext, explain_response
from deploy.targets.azureml.settings import EndpointSpec, Guards

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


def probe(spec: EndpointSpec, url: str, headers: Mapping[str, str]) -> Probe:
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
        return Probe(time.monotonic() - start, "", f"no response ({type(error).__name__})", 0)
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


def watch(
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
        report(f"{time.monotonic() - start:.0f} of {seconds:.0f} s, {len(probes)} probes succeeded")
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


def _find_problem(spec: EndpointSpec, url: str, response: requests.Response) -> str:
    if response.status_code != 200:
        response_headers = {name.lower(): value for name, value in response.headers.items()}
        problem = explain_response(
            url, response.status_code, response_headers, ErrorContext(options=spec.options)
        )
        return problem.what if problem else f"status {response.status_code}"
    try:
        return "; ".join(verification.find_mismatches(response.json(), spec.flow.expect))
    except ValueError:
        return "the answer is not JSON"
