"""Health check, version check and smoke test of a running deployment."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from deploy.core import http_requests, interrupts
from deploy.core.entities import Image, Spec
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import display_path

POLL_SECONDS = 0.05
SCORE_TIMEOUT_SECONDS = 120

ExitReason = Callable[[], str]
"""Returns why the container ended, or an empty string while it runs."""

ResponseExplainer = Callable[[int, Mapping[str, str]], Problem | None]
"""Returns the problem that an HTTP status and headers mean (`Target.explain_response`)."""


def wait_until_ready(
    url: str,
    image: Image,
    seconds: float,
    alive: ExitReason,
    headers: Mapping[str, str] | None = None,
    deployment: str = "",
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Wait until `url` is healthy and runs `image`.

    With `deployment`, /version must return this ID, too. `alive` returns why the container ended,
    or an empty string while it runs. Raise `DeployError` after `seconds`, or when the container has
    ended.
    """
    deadline = time.monotonic() + seconds
    expected = _format_version(image.tag, deployment)
    last_result = "no response"
    while time.monotonic() < deadline:
        reason = alive()
        if reason:
            raise DeployError(image.reference, reason)
        try:
            health = _get(url, "/health", headers)
            if health.status_code == 200:
                version = _get(url, "/version", headers).json()
                actual = _format_version(
                    version.get("tag"), version.get("deployment") if deployment else ""
                )
                if actual == expected:
                    return
                last_result = f"the tag {actual} answered, {expected} was expected"
            else:
                last_result = f"status {health.status_code}"
        except (requests.RequestException, ValueError, AttributeError) as error:
            last_result = type(error).__name__
        interrupts.pause(poll_seconds)
    message = f"not healthy after {seconds:.0f} s ({last_result})"
    raise DeployError(image.reference, message, "a slow flow may need a higher start_timeout")


def is_healthy(url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Return whether /health of `url` answers 200."""
    try:
        return _get(url, "/health", headers).status_code == 200
    except requests.RequestException:
        return False


def score_sample(
    spec: Spec,
    url: str,
    headers: Mapping[str, str] | None = None,
    explain: ResponseExplainer | None = None,
) -> Any:
    """Score the flow's sample and return the answer.

    Raise `DeployError` if the request fails or the answer does not match `expect` in deploy.yaml.
    """
    sample = json.loads(spec.flow.sample.read_text(encoding="utf-8"))
    hint = f"`inv logs --flow {spec.flow.name} --env {spec.environment}`"
    answer = score(url, sample, display_path(spec.flow.sample), headers, hint, explain)
    problems = find_mismatches(answer, spec.flow.expect)
    if problems:
        mismatches = "; ".join(problems)
        message = f"the answer to {display_path(spec.flow.sample)} is not as expected: {mismatches}"
        raise DeployError(spec.name, message, "correct the flow, or `expect` in its deploy.yaml")
    return answer


def score(
    url: str,
    body: Any,
    source: str,
    headers: Mapping[str, str] | None = None,
    hint: str = "",
    explain: ResponseExplainer | None = None,
) -> Any:
    """POST `body` to `url`/score and return the answer. Raise `DeployError` if the request fails.

    `source` names the origin of the body in messages.
    """
    try:
        response = _session(url).post(
            f"{url}/score",
            json=body,
            headers={"Accept": "application/json", **(headers or {})},
            timeout=SCORE_TIMEOUT_SECONDS,
        )
    except requests.RequestException as error:
        message = f"no response to {source} ({type(error).__name__})"
        raise DeployError(f"{url}/score", message) from None
    if response.status_code != 200:
        response_headers = {name.lower(): value for name, value in response.headers.items()}
        problem = explain(response.status_code, response_headers) if explain else None
        if problem:
            raise DeployError.from_problems([problem])
        text = _error_message(response)
        if response.status_code < 500:
            raise DeployError(
                source, f"the flow rejects it: {text}", "correct the sample, or the flow's inputs"
            )
        raise DeployError(f"{url}/score", f"status {response.status_code}: {text}", hint)
    return response.json()


def find_mismatches(answer: Any, expect: Any) -> list[str]:
    """Return how `answer` differs from the shape `expect`: an empty list if it matches."""
    if isinstance(expect, str):
        return [] if _is_type(answer, expect) else [f"{expect} expected, not {_type_name(answer)}"]
    if not isinstance(answer, dict):
        return [f"an object with {', '.join(expect)} expected, not {_type_name(answer)}"]
    mismatches = []
    for name, expected_type in expect.items():
        if name not in answer:
            mismatches.append(f"{name} is missing")
        elif not _is_type(answer[name], expected_type):
            mismatches.append(f"{name}: {expected_type} expected, not {_type_name(answer[name])}")
    return mismatches


def find_differences(answer: Any, equals: Mapping[str, Any]) -> list[str]:
    """Return a message for each output whose value differs from its value in `equals`."""
    outputs = answer if isinstance(answer, dict) else {}
    return [
        f"{name}: {json.dumps(value)} expected, not {json.dumps(outputs.get(name))}"
        for name, value in equals.items()
        if outputs.get(name) != value
    ]


def curl_command(url: str, spec: Spec, auth: str = "none") -> str:
    """Return a curl command that scores the sample; the user provides the key or token."""
    placeholder = "KEY" if auth == "key" else "TOKEN"
    auth_header = "" if auth == "none" else f' -H "Authorization: Bearer ${placeholder}"'
    sample = shlex.quote(display_path(spec.flow.sample))
    return f"curl -s {url}/score -H 'Content-Type: application/json'{auth_header} -d @{sample}"


def _format_version(tag: object, deployment: object) -> str:
    return f"{tag}, deployment {deployment}" if deployment else str(tag)


def _is_type(value: Any, expected_type: str) -> bool:
    # An empty string does not count as an answer.
    return (_type_name(value) == expected_type and value != "") or (
        expected_type == "number" and _type_name(value) == "integer"
    )


def _type_name(value: Any) -> str:
    names = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        list: "list",
        dict: "object",
    }
    if value == "":
        return "an empty string"
    return names.get(type(value), "null")


def _error_message(response: requests.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _get(url: str, path: str, headers: Mapping[str, str] | None) -> requests.Response:
    return _session(url).get(url + path, headers=dict(headers or {}), timeout=5)


def _session(url: str) -> requests.Session:
    session = http_requests.new_session()
    # A proxy for the internet cannot reach this machine.
    session.trust_env = not http_requests.is_loopback(url)
    return session
