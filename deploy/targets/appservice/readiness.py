"""Wait until a container answers as the deployed version, or explain why it does not.

The service reports a site as `Running` from the first moment, so only the container's own responses
count.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import requests

from deploy.core import http_requests, interrupts
from deploy.core.errors import DeployError
from deploy.targets import log_tail
from deploy.targets.appservice import errors, naming, startup_failures, state
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.naming import DeploymentRecord
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.startup_failures import StartupFailure
from deploy.targets.appservice.state import Site
from deploy.targets.rollout import ReportProgress

# Seconds between two polls of a site, and the number of polls between two reads of its log.
POLL_SECONDS, POLLS_PER_LOG = 2.0, 5
GRACE_SECONDS = 120.0
# Instances are not all replaced at once, so this many consecutive responses must have the new
# version.
REQUIRED_MATCHES = 3
# Prefixes of a `fetch_version` result for an error status, and for a wrong key or token.
STATUS_PREFIX, UNAUTHORIZED_STATUS = "status ", "status 401"


class ReadinessCheck:
    """A wait for one site or slot. Create it before the write that starts the site."""

    def __init__(self, client: Client, spec: SiteSpec, site: Site, digest: str) -> None:
        self._client, self._spec, self._site = client, spec, site
        self._digest = digest
        self._pace = client.arm.cloud.polling_interval or POLL_SECONDS
        self._limit = spec.settings.start_time_limit
        self._log = self._read_log()

    def wait(
        self,
        record: DeploymentRecord,
        headers: Mapping[str, str],
        report: ReportProgress,
        seconds: float | None = None,
    ) -> None:
        """Wait until the site is healthy and /version returns the version in `record`.

        The default for `seconds` is the time that a container may take to start. Raise
        `DeployError`.
        """
        # Add time for the image pull, and for the front end to route to a new container.
        timeout = seconds or self._limit + GRACE_SECONDS
        start, matches, polls = time.monotonic(), 0, 0
        while True:
            version = fetch_version(self._site.url, headers)
            matches = matches + 1 if version == format_version(record) else 0
            if matches == REQUIRED_MATCHES:
                return
            elapsed = time.monotonic() - start
            if elapsed > timeout:
                raise self._to_deploy_error(self._find_failure(self.new_lines()), version, timeout)
            polls += 1
            if polls % POLLS_PER_LOG == 0 and matches == 0:
                # Use only log lines about this image: earlier starts may have failed, too.
                failure = self._find_failure(
                    startup_failures.lines_since_image(self.new_lines(), self._digest)
                )
                if failure:
                    raise self._to_deploy_error(failure, version, elapsed)
            report(f"{elapsed:.0f} s, {version or 'no response yet'}")
            interrupts.pause(self._pace)

    def require_auth(self) -> None:
        """Raise `DeployError` if a non-public site answers unauthenticated requests."""
        if self._spec.settings.auth == "public":
            return
        version = fetch_version(self._site.url, {})
        if version and not version.startswith(STATUS_PREFIX):
            location = state.describe_site(self._spec, self._site)
            message = f"it answers requests without a key or token: {version}"
            hint = f"`inv plan {self._spec.options}` shows how clients authenticate"
            raise DeployError(location, message, hint)

    def new_lines(self) -> list[str]:
        """Return the log lines since this check was created."""
        return log_tail.new_lines(self._log, self._read_log())

    def _read_log(self) -> list[str]:
        try:
            return self._client.read_log(self._site.name)
        except DeployError:
            return []

    def _find_failure(self, lines: Sequence[str]) -> StartupFailure | None:
        spec, server = self._spec, (self._spec.place.registry or "").partition("/")[0]
        identity = state.select_identity(spec, self._site)
        identity_text = (
            f"its identity {identity.client or identity.principal}" if identity else "no identity"
        )
        return startup_failures.find_failure(lines, server, identity_text, self._limit)

    def _to_deploy_error(
        self, failure: StartupFailure | None, version: str, seconds: float
    ) -> DeployError:
        location = state.describe_site(self._spec, self._site)
        if failure is None:
            message = f"it was not ready within {seconds:.0f} s ({version or 'no response'})"
            hint = "a slow flow may need a higher start_time_limit"
            if version.startswith(UNAUTHORIZED_STATUS):
                hint = errors.explain_unauthorized(self._spec)[1]
            return DeployError(location, message, hint)
        return DeployError(location, failure.what, failure.hint)


def format_version(record: DeploymentRecord) -> str:
    """Return the version in a record, in the format of `fetch_version`."""
    return f"{record.tag}, deployment {record.id}"


def fetch_version(url: str, headers: Mapping[str, str]) -> str:
    """Return the version that a site reports, or its error status; empty without a response."""
    session = http_requests.new_session()
    session.trust_env = not http_requests.is_loopback(url)
    try:
        health = session.get(f"{url}/health", headers=dict(headers), timeout=30)
        if health.status_code != 200:
            return f"{STATUS_PREFIX}{health.status_code}"
        response = session.get(f"{url}/version", headers=dict(headers), timeout=30)
        if response.status_code != 200:
            return f"{STATUS_PREFIX}{response.status_code} of /version"
        version = response.json()
        return f"{version.get('tag')}, deployment {version.get('deployment')}"
    except (requests.RequestException, ValueError, AttributeError):
        return ""


def parse_digest(fx_version: str) -> str:
    """Return the image digest in a site's configuration value."""
    return fx_version.removeprefix(naming.IMAGE_PREFIX).partition("@sha256:")[2]
