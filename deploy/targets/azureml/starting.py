"""Bringing a deployment up: made, waited for, explained where it fails, and removed again."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from deploy import console, pausing
from deploy.errors import DeployError
from deploy.targets.azureml import errors, scoring, survey, waiting, wanted
from deploy.targets.azureml.attempt import Attempt, ChangedError
from deploy.targets.azureml.state import BUSY, Version
from deploy.targets.azureml.writes import RefusedError

# How often a start is tried again that another operation came before.
ATTEMPTS = 4
# A role that Azure gave the identity of a new endpoint takes minutes to work.
ROLE_SECONDS = 600.0
# After a deployment is ready, the service in front may take a moment to know it.
ROUTE_SECONDS = 120.0
# What that service says until then.
NOT_ROUTED = (0, 404, 424, 502, 503)


class BegunError(Exception):
    """A long operation has begun, and nobody wants to wait for it."""


def start(attempt: Attempt, fresh: bool, wait: bool) -> None:
    """Make the deployment and wait until it is ready. `fresh`: the endpoint was just made."""
    decision, name = attempt.decision, attempt.decision.name
    for broken in decision.clear:
        _drop(attempt, broken)
    coming = fresh and survey.gives_role(attempt.client, attempt.spec, attempt.look())
    until = time.monotonic() + (ROLE_SECONDS if coming else 0.0)
    tries = 0
    while True:
        tries += 1
        attempt.look()
        with console.phase("start", f"deployment {name}") as shown:
            tags = attempt.tags()
            put = functools.partial(
                attempt.writer.put_deployment, name, decision.wanted, decision.count, tags
            )
            attempt.accept(put, versions=attempt.versions(name, True))
            attempt.confirm()
            if not wait:
                raise BegunError
            try:
                _as_wanted(attempt, waiting.for_version(attempt.client, name, shown.now))
                return
            except waiting.FailedError as error:
                said = error.said
        kind = errors.reason(said, attempt.about()).kind
        again = (kind == errors.CANCELED and tries < ATTEMPTS) or (
            kind == errors.ROLE and time.monotonic() < until
        )
        problem = attempt.explained(said, f"deployment {name}", lines=True)
        discard(attempt, patiently=again)
        if not again:
            raise problem
        why = "the role to pull is not there yet" if kind == errors.ROLE else "it was canceled"
        console.note("start", f"{why}: once more")
        pausing.pause(6 * (attempt.client.arm.cloud.polling or waiting.POLLING))


def go_on(attempt: Attempt, wait: bool) -> None:
    """Wait for a deployment that an earlier run made."""
    version = attempt.client.version(attempt.decision.name)
    if version is None or version.state not in BUSY:
        return
    if not wait:
        raise BegunError
    with console.phase("start", f"deployment {version.name}: it was begun before") as shown:
        finish(attempt, shown.now, lambda _: True)


def finish(attempt: Attempt, say: waiting.Say, done: Callable[[Version], bool]) -> None:
    """Wait for the deployment that will serve. Raises `DeployError` where it fails."""
    name = attempt.decision.name
    try:
        waiting.for_version(attempt.client, name, say, done)
    except waiting.FailedError as error:
        raise attempt.explained(error.said, f"deployment {name}", lines=True) from None


def reach(
    attempt: Attempt,
    shot: Callable[[], scoring.Shot],
    version: Callable[[], str],
    name: str,
    say: waiting.Say,
) -> None:
    """Score until the service in front knows the new deployment, and it is that which answers.

    `version` tells which content it says that it runs, empty where it cannot be asked.
    """
    start = time.monotonic()
    while True:
        found = shot()
        elapsed = time.monotonic() - start
        if not found.problem:
            break
        if found.status not in NOT_ROUTED or elapsed > ROUTE_SECONDS:
            break
        say(f"{elapsed:.0f} s, {found.problem}")
        pausing.pause(attempt.client.arm.cloud.polling or waiting.POLLING)
    if found.problem:
        what = f"the sample, sent to {name}, fails: {found.problem}"
        hint = (
            "its lines tell why; what its connections use must let the endpoint's identity in, and "
            "a new role takes minutes to work"
        )
        raise attempt.with_lines(DeployError(attempt.client.where, what, hint))
    if found.version and found.version != name:
        what = f"{found.version} answered what was sent to {name}"
        raise DeployError(attempt.client.where, what, "run this again")
    other = version()
    if other and other != attempt.image.tag:
        what = f"{name} runs {other}, and {attempt.image.tag} was deployed"
        raise DeployError(attempt.client.where, what, "push the image again, then deploy")


def discard(attempt: Attempt, patiently: bool = False) -> None:
    """Remove the new deployment, which serves nobody; its quota is needed for the next one."""
    name = attempt.decision.name
    try:
        found = attempt.client.version(name)
        if found is None or found.state == "Deleting":
            return
        attempt.writer.delete_deployment(name)
        attempt.intend(versions=attempt.versions(name, False))
        attempt.confirm()
        if patiently:
            waiting.until_gone(attempt.client, lambda: attempt.client.version(name), lambda _: None)
    except (RefusedError, DeployError) as error:
        console.note("remove", f"deployment {name} could not be removed: {error}")


def _as_wanted(attempt: Attempt, version: Version) -> None:
    """Raise `ChangedError` if another deploy made the deployment at the same time."""
    found = wanted.differences(version, attempt.decision.wanted)
    if found:
        what = f"somebody else made {version.name}, with another {found[0].what}"
        raise ChangedError(attempt.client.where, what, "deploy again")


def _drop(attempt: Attempt, name: str) -> None:
    attempt.look()
    with console.phase("remove", f"deployment {name}: it is broken") as shown:
        attempt.remove(name)
        waiting.until_gone(attempt.client, lambda: attempt.client.version(name), shown.now)
