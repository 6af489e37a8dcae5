"""Prove that what runs is what was meant, and that it answers well."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from deploy import pausing, wire
from deploy.documents import show
from deploy.errors import DeployError, Problem
from deploy.model import Image, Spec

POLL_SECONDS = 0.05
SCORE_SECONDS = 120

Alive = Callable[[], str]
"""Returns an empty text while what was started still runs, and the reason once it does not."""

Refusal = Callable[[int, Mapping[str, str]], Problem | None]
"""Returns what a status and headers say that are not the flow's (`Target.refusal`)."""


def ready(
    url: str,
    image: Image,
    seconds: float,
    alive: Alive,
    headers: Mapping[str, str] | None = None,
    deployment: str = "",
    pause: float = POLL_SECONDS,
) -> None:
    """Wait until `url` is healthy and runs `image`, as `deployment` where that has a name.

    Raises `DeployError` after `seconds`, or once it is not alive.
    """
    deadline = time.monotonic() + seconds
    expected = _named(image.tag, deployment)
    last = "nothing answered"
    while time.monotonic() < deadline:
        reason = alive()
        if reason:
            raise DeployError(image.reference, reason)
        try:
            health = _get(url, "/health", headers)
            if health.status_code == 200:
                told = _get(url, "/version", headers).json()
                found = _named(told.get("tag"), told.get("deployment") if deployment else "")
                if found == expected:
                    return
                last = f"the tag {found} answered, {expected} was expected"
            else:
                last = f"status {health.status_code}"
        except (requests.RequestException, ValueError, AttributeError) as error:
            last = type(error).__name__
        pausing.pause(pause)
    what = f"not healthy after {seconds:.0f} s ({last})"
    raise DeployError(image.reference, what, "a slow flow may need a higher start_timeout")


def healthy(url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Tell whether `url` says that it can score."""
    try:
        return _get(url, "/health", headers).status_code == 200
    except requests.RequestException:
        return False


def score_sample(
    spec: Spec,
    url: str,
    headers: Mapping[str, str] | None = None,
    refusal: Refusal | None = None,
) -> Any:
    """Score the flow's sample and return the answer.

    Raises `DeployError` where it is rejected, or not as expected.
    """
    sample = json.loads(spec.flow.sample.read_text(encoding="utf-8"))
    hint = f"`inv logs --flow {spec.flow.name} --env {spec.environment}`"
    answer = score(url, sample, show(spec.flow.sample), headers, hint, refusal)
    problems = judge(answer, spec.flow.expect)
    if problems:
        found = "; ".join(problems)
        what = f"the answer to {show(spec.flow.sample)} is not as expected: {found}"
        raise DeployError(spec.name, what, "correct the flow, or `expect` in its deploy.yaml")
    return answer


def score(
    url: str,
    body: Any,
    source: str,
    headers: Mapping[str, str] | None = None,
    hint: str = "",
    refusal: Refusal | None = None,
) -> Any:
    """POST `body` to `url`/score and return the answer.

    `source` says in messages where the body is from.
    """
    try:
        response = _session(url).post(
            f"{url}/score",
            json=body,
            headers={"Accept": "application/json", **(headers or {})},
            timeout=SCORE_SECONDS,
        )
    except requests.RequestException as error:
        what = f"no answer to {source} ({type(error).__name__})"
        raise DeployError(f"{url}/score", what) from None
    if response.status_code != 200:
        given = {name.lower(): value for name, value in response.headers.items()}
        problem = refusal(response.status_code, given) if refusal else None
        if problem:
            raise DeployError.of([problem])
        text = _message(response)
        if response.status_code < 500:
            raise DeployError(
                source, f"the flow rejects it: {text}", "correct the sample, or the flow's inputs"
            )
        raise DeployError(f"{url}/score", f"status {response.status_code}: {text}", hint)
    return response.json()


def judge(answer: Any, expect: Any) -> list[str]:
    """Return how `answer` differs from the shape `expect`: nothing for a good answer."""
    if isinstance(expect, str):
        return [] if _is(answer, expect) else [f"{expect} expected, not {_type(answer)}"]
    if not isinstance(answer, dict):
        return [f"an object with {', '.join(expect)} expected, not {_type(answer)}"]
    problems = []
    for name, wanted in expect.items():
        if name not in answer:
            problems.append(f"{name} is missing")
        elif not _is(answer[name], wanted):
            problems.append(f"{name}: {wanted} expected, not {_type(answer[name])}")
    return problems


def curl(url: str, spec: Spec, auth: str = "none") -> str:
    """Return a command line that scores the sample by hand; whoever uses it has the key."""
    secret = "KEY" if auth == "key" else "TOKEN"
    login = "" if auth == "none" else f' -H "Authorization: Bearer ${secret}"'
    sample = shlex.quote(show(spec.flow.sample))
    return f"curl -s {url}/score -H 'Content-Type: application/json'{login} -d @{sample}"


def _named(tag: object, deployment: object) -> str:
    return f"{tag}, deployment {deployment}" if deployment else str(tag)


def _is(value: Any, wanted: str) -> bool:
    # An empty text is no answer.
    return (_type(value) == wanted and value != "") or (
        wanted == "number" and _type(value) == "integer"
    )


def _type(value: Any) -> str:
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


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _get(url: str, path: str, headers: Mapping[str, str] | None) -> requests.Response:
    return _session(url).get(url + path, headers=dict(headers or {}), timeout=5)


def _session(url: str) -> requests.Session:
    session = wire.session()
    # A proxy for the internet does not lead to this machine.
    session.trust_env = not wire.is_loopback(url)
    return session
