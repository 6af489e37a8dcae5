"""Waiting for a container to answer as what was deployed, and why it does not.

What the service says of a site is `Running` from the first moment on: only the container's own
answers count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import requests

from deploy import following, pausing, wire
from deploy.errors import DeployError
from deploy.model import Spec
from deploy.targets.appservice import causes, errors, naming, state
from deploy.targets.appservice.causes import Cause
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.naming import Record
from deploy.targets.appservice.settings import settings_of
from deploy.targets.appservice.state import Site

Say = Callable[[str], None]
"""Shows how far it is."""

# Between two looks at a site, in seconds; and at how many of them the log is read as well.
LOOK, LOG_EVERY = 2.0, 5
GRACE = 120.0
# Instances are not all replaced at once: so many answers in a row must tell the new tag.
IN_A_ROW = 3
LINES = 20
# How `asked` begins where it was not answered with a version; and where the key or token is wrong.
REFUSED, UNAUTHORIZED = "status ", "status 401"


class Warming:
    """Waits for one site, or its slot. To be made before the write that starts it."""

    def __init__(self, client: Client, spec: Spec, site: Site, digest: str) -> None:
        self._client, self._spec, self._site = client, spec, site
        self._digest = digest
        self._pace = client.arm.cloud.polling or LOOK
        self._limit = settings_of(spec).start_time_limit
        self._log = self._read()
        self._hidden: tuple[str, ...] = ()

    def until(
        self,
        record: Record,
        headers: Mapping[str, str],
        say: Say,
        seconds: float | None = None,
    ) -> None:
        """Wait until it is healthy and what /version tells is `record`. Raises `DeployError`.

        At most for `seconds`; without them, as long as a container may take to start.
        """
        self._hidden = tuple(value.rpartition(" ")[2] for value in headers.values())
        # The front needs a moment to know a container, and pulling takes its time as well.
        longest = seconds or self._limit + GRACE
        start, row, looks = time.monotonic(), 0, 0
        while True:
            told = asked(self._site.url, headers)
            row = row + 1 if told == name_of(record) else 0
            if row == IN_A_ROW:
                return
            elapsed = time.monotonic() - start
            if elapsed > longest:
                raise self._failure(self._cause(self._news()), told, longest)
            looks += 1
            if looks % LOG_EVERY == 0 and row == 0:
                # Only what the log says of this very image: other starts may have failed before.
                cause = self._cause(causes.since(self._news(), self._digest))
                if cause:
                    raise self._failure(cause, told, elapsed)
            say(f"{elapsed:.0f} s, {told or 'no answer yet'}")
            pausing.pause(self._pace)

    def closed(self) -> None:
        """Raise `DeployError` where the site answers anybody, though `auth` is not public."""
        if settings_of(self._spec).auth == "public":
            return
        told = asked(self._site.url, {})
        if told and not told.startswith(REFUSED):
            where = state.where(self._spec, self._site)
            what = f"it tells whoever asks: {told}; nobody may be let in without a key or token"
            raise DeployError(where, what, "`inv plan` shows how callers are let in")

    def _news(self) -> list[str]:
        return following.newer(self._log, self._read())

    def _read(self) -> list[str]:
        try:
            return self._client.log(self._site.name)
        except DeployError:
            return []

    def _cause(self, lines: Sequence[str]) -> Cause | None:
        spec, server = self._spec, (self._spec.place.registry or "").partition("/")[0]
        identity = state.identity_of(spec, self._site)
        who = f"its identity {identity.client or identity.principal}" if identity else "nobody"
        return causes.find(lines, server, who, self._limit)

    def _failure(self, cause: Cause | None, told: str, seconds: float) -> DeployError:
        where = state.where(self._spec, self._site)
        if cause is None:
            what = f"it was not as deployed within {seconds:.0f} s ({told or 'no answer'})"
            hint = "a slow flow may need a higher start_time_limit"
            if told.startswith(UNAUTHORIZED):
                hint = errors.unauthorized(self._spec)[1]
            return DeployError(where, self._with_lines(what), hint)
        return DeployError(where, self._with_lines(cause.what), cause.hint)

    def _with_lines(self, what: str) -> str:
        text = "\n".join(self._news()[-LINES:]).strip()
        for value in (*self._hidden, *map(self._spec.variables.get, self._spec.secrets)):
            text = text.replace(value, "***") if value else text
        return f"{what}\n  its last lines:\n{text}" if text else what


def name_of(record: Record) -> str:
    """Return the version of a record as a site tells it."""
    return f"{record.tag}, deployment {record.id}"


def asked(url: str, headers: Mapping[str, str]) -> str:
    """Return the version that a site tells; in words what is wrong, empty without an answer."""
    http = wire.session()
    http.trust_env = not wire.is_loopback(url)
    try:
        health = http.get(f"{url}/health", headers=dict(headers), timeout=30)
        if health.status_code != 200:
            return f"{REFUSED}{health.status_code}"
        answer = http.get(f"{url}/version", headers=dict(headers), timeout=30)
        if answer.status_code != 200:
            return f"{REFUSED}{answer.status_code} of /version"
        told = answer.json()
        return f"{told.get('tag')}, deployment {told.get('deployment')}"
    except (requests.RequestException, ValueError, AttributeError):
        return ""


def digest_of(fx_version: str) -> str:
    """Return the digest in what a site's configuration says of its image."""
    return fx_version.removeprefix(naming.PREFIX).partition("@sha256:")[2]
