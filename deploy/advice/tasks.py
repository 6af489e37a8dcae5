"""The task `inv advise`; what is heavy is imported inside."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from deploy import cli

ROOT = Path(__file__).parents[2]


@task(
    help={
        "flow": "the flow that it is for",
        "env": "environments of environments.yaml, separated by commas; all of them without it",
        "longest": "seconds until all of the longest answer is there",
        "streaming": "yes or no: the answer comes in pieces",
        "cold-starts": "yes or no: the first request after a pause may wait",
        "peak": "requests a second",
        "body": "kilobytes of a request",
        "idle": "yes or no: nobody asks for most of the day",
        "cost": "instances or zero: what is paid for while nobody asks",
        "network": "public, vnet or private: from where callers come",
        "callers": "key, services, users or anyone: how they are let in",
        "team": "any, ml, web or kubernetes: what it works with",
        "domain": "yes or no: a domain of yours",
        "zones": "yes or no: survive the loss of one",
        "rollout": "at-once, percent or mirror: how a new version gets requests",
        "adr": "write a decision record into docs/adr",
        "json": "print JSON",
    }
)
@cli.sentences
def advise(
    c: Context,
    flow: str | None = None,
    env: str = "",
    longest: str | None = None,
    streaming: str | None = None,
    cold_starts: str | None = None,
    peak: str | None = None,
    body: str | None = None,
    idle: str | None = None,
    cost: str | None = None,
    network: str | None = None,
    callers: str | None = None,
    team: str | None = None,
    domain: str | None = None,
    zones: str | None = None,
    rollout: str | None = None,
    adr: bool = False,
    json: bool = False,
) -> None:
    """Advise where a flow should run in each environment, with reasons and lines to paste."""
    from deploy.advice import advise

    given = {
        "longest": longest,
        "streaming": streaming,
        "cold_starts": cold_starts,
        "peak": peak,
        "body": body,
        "idle": idle,
        "cost": cost,
        "network": network,
        "callers": callers,
        "team": team,
        "domain": domain,
        "zones": zones,
        "rollout": rollout,
    }
    advise(ROOT, flow, env, given, adr, json)
