"""Reasons why a container did not start, found in the platform's log.

Sources: logs quoted in issues, in the wording before and since 2025; "Configure a custom container
for Azure App Service" (the start limit, the port), "Use managed identity to pull image".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.server.settings import START_FAILURE, UNRESOLVED_MESSAGE

PULL, UNRESOLVED_SECRET, CONFIGURATION, CRASH, NO_ANSWER = (
    "pull",
    "secret",
    "configuration",
    "crash",
    "no answer",
)


@dataclass(frozen=True)
class StartupFailure:
    """The reason why a container did not start, and the next step."""

    # One of the constants of this module.
    category: str
    what: str
    hint: str


# Patterns for the log of one start. The first match applies: a container that has ended does not
# respond either.
_RULES = (
    (
        PULL,
        r"pull image failed|image pull failed|Pulling docker image .* failed|ImagePull\w*Fail",
    ),
    (UNRESOLVED_SECRET, rf"{START_FAILURE}(\w+) {UNRESOLVED_MESSAGE}"),
    (CONFIGURATION, rf"{START_FAILURE}(.+)"),
    (CRASH, r"has exited, failing site start|finished running with exit code: ([1-9]\d*)"),
    (
        NO_ANSWER,
        r"did not start within expected time limit|startup probe failed|"
        r"didn't respond to HTTP pings",
    ),
)


def find_failure(
    lines: Sequence[str], registry: str, identity: str, limit: int
) -> StartupFailure | None:
    """Return why the last start failed; None if the log does not contain a reason.

    `registry` and `identity` are used in messages; `limit` is the start limit in seconds.
    """
    text = "\n".join(lines)
    for category, pattern in _RULES:
        match = re.search(pattern, text, re.IGNORECASE)
        if match:
            detail = next((group for group in match.groups() if group), "")
            return StartupFailure(category, *_describe(category, detail, registry, identity, limit))
    return None


def lines_since_image(lines: Sequence[str], digest: str) -> Sequence[str]:
    """Return the lines from the first one that contains `digest`; empty if none does.

    Earlier lines may report failures of other starts.
    """
    first = next(
        (index for index, line in enumerate(lines) if digest and digest in line), len(lines)
    )
    return lines[first:]


def _describe(
    category: str, detail: str, registry: str, identity: str, limit: int
) -> tuple[str, str]:
    explanations = {
        PULL: (
            f"{identity} could not pull the image from {registry}",
            f"assign the role AcrPull on {registry} to it (this takes minutes to take effect); the "
            "registry must accept tokens for Azure Resource Manager (`az acr config "
            "authentication-as-arm show`) and be reachable from the site's network",
        ),
        UNRESOLVED_SECRET: (
            f"the Key Vault reference {detail} was not resolved",
            f"check that it exists, and that {identity} has the role Key Vault Secrets User",
        ),
        CONFIGURATION: (f"the container cannot start: {detail}", "correct it, then deploy again"),
        CRASH: (
            f"the container exited during startup{f' with code {detail}' if detail else ''}",
            "see its log lines; `inv deploy --env local` starts the same image on this machine",
        ),
        NO_ANSWER: (
            f"the container did not return 200 for /health within {limit} s",
            "allow more time (start_time_limit, at most 1800), or see its log lines",
        ),
    }
    return explanations[category]
