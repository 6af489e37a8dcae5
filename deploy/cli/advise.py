"""The task `inv advise`."""

from __future__ import annotations

from invoke.context import Context

from deploy.cli import repository
from deploy.cli.task import task


@task(
    help={
        "flow": "the flow to advise on",
        "env": "comma-separated environments of environments.yaml (default: all)",
        "longest": "the longest response time in seconds",
        "streaming": "yes or no: responses are streamed",
        "cold-starts": "yes or no: the first request after a pause may wait for a cold start",
        "peak": "requests per second at peak load",
        "body": "the size of a request in kilobytes",
        "idle": "yes or no: there are no requests for most of the day",
        "cost": "instances or zero: what you pay for while there are no requests",
        "network": "public, vnet or private: where clients are",
        "clients": "key, services, users or anyone: how clients authenticate",
        "team": "any, ml, web or kubernetes: the platform that the team knows",
        "domain": "yes or no: a custom domain is needed",
        "zones": "yes or no: the flow must survive the loss of an availability zone",
        "rollout": "at-once, percent or mirror: how traffic moves to a new version",
        "adr": "write a decision record to docs/adr",
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
    clients: str | None = None,
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
        "clients": clients,
        "team": team,
        "domain": domain,
        "zones": zones,
        "rollout": rollout,
    }
    advise(repository.ROOT, flow, env, answers, adr, json)
