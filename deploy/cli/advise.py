"""The task `inv advise`."""

from __future__ import annotations

from invoke.context import Context

from deploy.cli import options, repository
from deploy.cli.task import task


@task(
    help={
        "flow": "the flow to advise on",
        "env": "environments of environments.yaml, separated by commas (default: all)",
        "longest": "seconds that the longest answer takes",
        "streaming": "yes or no: the answer comes in pieces",
        "cold-starts": "yes or no: the first request after a pause may wait",
        "peak": "requests a second",
        "body": "kilobytes of a request",
        "idle": "yes or no: no requests for most of the day",
        "cost": "instances or zero: what you pay for while there are no requests",
        "network": "public, vnet or private: where clients are",
        "callers": "key, services, users or anyone: how clients authenticate",
        "team": "any, ml, web or kubernetes: what the team works with",
        "domain": "yes or no: a custom domain",
        "zones": "yes or no: survive the loss of an availability zone",
        "rollout": "at-once, percent or mirror: how traffic moves to a new version",
        "adr": "write a decision record into docs/adr",
        "json": options.JSON,
    }
)
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
    from deploy.advise import advise

    answers = {
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
    advise(repository.ROOT, flow, env, answers, adr, json)
