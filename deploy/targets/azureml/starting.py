"""Bringing a deployment up: made, waited for, explained where it fails, and removed again."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from deploy import console, pausing
from deploy.errors import DeployError
from deploy.targets.azureml import errors, scoring, survey, waiting, wanted
from deploy.targets.azureml.state import BUSY, Version
from deploy.targets.azureml.writes import RefusedError

if TYPE_CHECKING:
    from deploy.targets.azureml.rollout import Rollout

# How often a write or a start is tried again that another operation came before.
ATTEMPTS = 4
# A role that Azure gave the identity of a new endpoint takes minutes to work.
ROLE_SECONDS = 600.0
# After a deployment is ready, the service in front may take a moment to know it.
ROUTE_SECONDS = 120.0
# What that service says until then.
NOT_ROUTED = (0, 404, 424, 502, 503)
LINES = 20
AGAIN = (errors.CANCELED, errors.CONFLICT)


class BegunError(Exception):
    """A long operation has begun, and nobody wants to wait for it."""


class ChangedError(DeployError):
    """The world is not as it was when the plan was made. Nothing is taken back: it is not ours."""


def start(rollout: Rollout, fresh: bool, wait: bool) -> None:
    """Make the deployment and wait until it is ready. `fresh`: the endpoint was just made."""
    decision, name = rollout.decision, rollout.decision.name
    for broken in decision.clear:
        _drop(rollout, broken)
    coming = fresh and survey.gives_role(rollout.client, rollout.spec, rollout.look())
    until = time.monotonic() + (ROLE_SECONDS if coming else 0.0)
    attempt = 0
    while True:
        attempt += 1
        rollout.look()
        with console.phase("start", f"deployment {name}") as shown:
            tags = rollout.tags()
            put = functools.partial(
                rollout.writer.put_deployment, name, decision.wanted, decision.count, tags
            )
            accept(rollout, put, versions=rollout.versions(name, True))
            rollout.confirm()
            if not wait:
                raise BegunError
            try:
                _as_wanted(rollout, waiting.for_version(rollout.client, name, shown.now))
                return
            except waiting.FailedError as error:
                said = error.said
        kind = errors.reason(said, about(rollout)).kind
        again = (kind == errors.CANCELED and attempt < ATTEMPTS) or (
            kind == errors.ROLE and time.monotonic() < until
        )
        problem = explained(rollout, said, f"deployment {name}", lines=True)
        discard(rollout, patiently=again)
        if not again:
            raise problem
        why = "the role to pull is not there yet" if kind == errors.ROLE else "it was canceled"
        console.note("start", f"{why}: once more")
        pausing.pause(6 * (rollout.client.cloud.polling or waiting.POLLING))


def go_on(rollout: Rollout, wait: bool) -> None:
    """Wait for a deployment that an earlier run made."""
    version = rollout.client.version(rollout.decision.name)
    if version is None or version.state not in BUSY:
        return
    if not wait:
        raise BegunError
    with console.phase("start", f"deployment {version.name}: it was begun before") as shown:
        finish(rollout, shown.now, lambda _: True)


def finish(rollout: Rollout, say: waiting.Say, done: Callable[[Version], bool]) -> None:
    """Wait for the deployment that will serve. Raises `DeployError` where it fails."""
    name = rollout.decision.name
    try:
        waiting.for_version(rollout.client, name, say, done)
    except waiting.FailedError as error:
        raise explained(rollout, error.said, f"deployment {name}", lines=True) from None


def reach(
    rollout: Rollout,
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
        pausing.pause(rollout.client.cloud.polling or waiting.POLLING)
    if found.problem:
        what = f"the sample, sent to {name}, fails: {found.problem}"
        raise _with_lines(rollout, DeployError(rollout.client.where, what, "correct the flow"))
    if found.version and found.version != name:
        what = f"{found.version} answered what was sent to {name}"
        raise DeployError(rollout.client.where, what, "run this again")
    other = version()
    if other and other != rollout.image.tag:
        what = f"{name} runs {other}, and {rollout.image.tag} was deployed"
        raise DeployError(rollout.client.where, what, "push the image again, then deploy")


def discard(rollout: Rollout, patiently: bool = False) -> None:
    """Remove the new deployment, which serves nobody; its quota is needed for the next one."""
    name = rollout.decision.name
    try:
        found = rollout.client.version(name)
        if found is None or found.state == "Deleting":
            return
        rollout.writer.delete_deployment(name)
        rollout.intend(versions=rollout.versions(name, False))
        rollout.confirm()
        if patiently:
            waiting.until_gone(rollout.client, lambda: rollout.client.version(name), lambda _: None)
    except (RefusedError, DeployError) as error:
        console.note("remove", f"deployment {name} could not be removed: {error}")


def accept(rollout: Rollout, write: Callable[[], None], **changes: object) -> None:
    """Do one write, by which what is seen `changes`; again where another operation came first.

    Where the answer was lost, what the service then calls a conflict may be the write itself: it is
    done if it shows. Raises `DeployError`.
    """
    shows = rollout.intend(**changes)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            write()
            return
        except RefusedError as error:
            kind = errors.reason(error.said, about(rollout)).kind
            # Without a status nobody knows whether it was accepted: writing the same again is safe.
            lost = error.said.status == 0
            if attempt == ATTEMPTS or not (kind in AGAIN or lost):
                raise explained(rollout, error.said, rollout.client.name) from None
        pausing.pause(6 * (rollout.client.cloud.polling or waiting.POLLING))
        rollout.look()
        if shows and rollout.is_certain:
            return


def remove(rollout: Rollout, name: str) -> None:
    """Begin to remove a deployment. Raises `DeployError`."""
    write = functools.partial(rollout.writer.delete_deployment, name)
    accept(rollout, write, versions=rollout.versions(name, False))
    rollout.confirm()


def explained(rollout: Rollout, said: errors.Said, what: str, lines: bool = False) -> DeployError:
    """Return the sentences for what Azure said, with the container's last lines if asked."""
    found = errors.reason(said, about(rollout))
    error = DeployError(f"Azure, {what}", found.what, found.hint)
    return _with_lines(rollout, error) if lines else error


def about(rollout: Rollout) -> errors.About:
    """Return the names that sentences need."""
    endpoint = None
    with contextlib.suppress(DeployError):
        endpoint = rollout.client.endpoint()
    who = ", ".join(endpoint.principals) if endpoint else ""
    return errors.About(
        instance_type=rollout.decision.wanted.instance_type,
        registry=f"the registry {(rollout.spec.place.registry or '').partition('/')[0]}",
        identity=f"the endpoint's identity (object {who})" if who else "the endpoint's identity",
        workspace=f"the workspace {rollout.spec.place.workspace}",
    )


def _as_wanted(rollout: Rollout, version: Version) -> None:
    """Raise `ChangedError` if another deploy made the deployment at the same time."""
    found = wanted.differences(version, rollout.decision.wanted)
    if found:
        what = f"somebody else made {version.name}, with another {found[0].what}"
        raise ChangedError(rollout.client.where, what, "deploy again")


def _drop(rollout: Rollout, name: str) -> None:
    rollout.look()
    with console.phase("remove", f"deployment {name}: it is broken") as shown:
        remove(rollout, name)
        waiting.until_gone(rollout.client, lambda: rollout.client.version(name), shown.now)


def _with_lines(rollout: Rollout, error: DeployError) -> DeployError:
    """Add what the container said last, without secrets."""
    first = error.problems[0]
    try:
        lines = rollout.client.log(rollout.decision.name, LINES)
    except DeployError:
        return error
    text = "\n".join(lines).strip()
    for name in rollout.spec.secrets:
        value = rollout.spec.variables.get(name)
        text = text.replace(value, "***") if value else text
    if not text:
        return error
    return DeployError(first.where, f"{first.what}\n  its last lines:\n{text}", first.hint)
