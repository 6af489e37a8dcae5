"""Why a container did not start, by what the platform wrote into its log.

Sources: logs as issues quote them, in the words of before 2025 and of since; "Configure a custom
container for Azure App Service" (the start limit, the port), "Use managed identity to pull image".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PULL, UNRESOLVED_SECRET, CONFIGURATION, CRASH, NO_ANSWER = (
    "pull",
    "secret",
    "configuration",
    "crash",
    "no answer",
)


@dataclass(frozen=True)
class Cause:
    """What went wrong, in words, and what to do next. `kind` is one of the constants here."""

    kind: str
    what: str
    hint: str


# The first that fits: a container that ended does not answer either. In the log of one start.
_RULES = (
    (
        PULL,
        r"pull image failed|image pull failed|Pulling docker image .* failed|ImagePull\w*Fail",
    ),
    (UNRESOLVED_SECRET, r"cannot start: (\w+) is a reference to a vault"),
    (CONFIGURATION, r"cannot start: (.+)"),
    (CRASH, r"has exited, failing site start|finished running with exit code: ([1-9]\d*)"),
    (
        NO_ANSWER,
        r"did not start within expected time limit|startup probe failed|"
        r"didn't respond to HTTP pings",
    ),
)


def find(lines: Sequence[str], registry: str, identity: str, limit: int) -> Cause | None:
    """Return why the last start failed; None where the log does not say so.

    `registry` and `identity` are for the sentences, `limit` is the start limit in seconds.
    """
    text = "\n".join(lines)
    for kind, pattern in _RULES:
        found = re.search(pattern, text, re.IGNORECASE)
        if found:
            said = next((part for part in found.groups() if part), "")
            return Cause(kind, *_words(kind, said, registry, identity, limit))
    return None


def since(lines: Sequence[str], digest: str) -> Sequence[str]:
    """Return the lines from the first on that names the image `digest`; none if none does.

    Before it, other starts may have failed that are none of ours.
    """
    first = next((at for at, line in enumerate(lines) if digest and digest in line), len(lines))
    return lines[first:]


def _words(kind: str, said: str, registry: str, identity: str, limit: int) -> tuple[str, str]:
    known = {
        PULL: (
            f"{identity} could not pull the image from {registry}",
            f"have the role AcrPull on {registry} assigned to it (it takes minutes to work); the "
            "registry must take tokens for Azure Resource Manager (`az acr config "
            "authentication-as-arm show`) and be reachable from the site's network",
        ),
        UNRESOLVED_SECRET: (
            f"the Key Vault reference {said} was not resolved",
            f"does the secret exist, and has {identity} the role Key Vault Secrets User?",
        ),
        CONFIGURATION: (f"the container cannot start: {said}", "correct it, then deploy again"),
        CRASH: (
            f"the container ended while it started{f', with status {said}' if said else ''}",
            "its own lines tell why; `inv deploy --env local` starts the same image here",
        ),
        NO_ANSWER: (
            f"the container did not answer /health on its port with 200 within {limit} s",
            "give it more time (start_time_limit, 1800 at most), or see its own lines",
        ),
    }
    return known[kind]
