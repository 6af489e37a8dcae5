"""HTTP requests to services: retries for transient failures, readable errors for all others."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity

from deploy.core.errors import DeployError

Result = TypeVar("Result")

MAX_ATTEMPTS = 5
# Seconds before the second attempt; doubled before each later one.
BACK_OFF = 0.5
MAX_WAIT_SECONDS = 60.0
# Seconds to connect, and between two bytes of a response.
TIMEOUT = (10, 120)
NO_TLS = "it does not speak TLS"
RETRY_STATUSES = (408, 429, 500, 502, 503, 504)
ADDRESS_ERRORS = (
    requests.exceptions.TooManyRedirects,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)
# Names of urllib3's exceptions. A private endpoint, seen from another network, times out.
CONNECT_ERRORS = (
    "NewConnectionError",
    "NameResolutionError",
    "ProxyError",
    "ConnectTimeoutError",
)


class TransientError(Exception):
    """A failure that may not happen again if the same request is repeated."""

    def __init__(self, where: str, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.where = where
        # Seconds that the service asks to wait; None if it does not say.
        self.wait = wait


class _Session(requests.Session):
    """A session that sends only the credentials passed with a request.

    By default requests replaces a token by credentials from ~/.netrc, and so sends a registry the
    password of another account.
    """

    def __init__(self) -> None:
        super().__init__()
        self.auth = _no_auth

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop the credentials if a redirect leads to another host."""
        if self.should_strip_auth(response.request.url, prepared_request.url):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


def new_session() -> requests.Session:
    """Return a session that trusts the certificate authorities named by environment variables."""
    session = _Session()
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if os.environ.get(variable):
            session.verify = os.environ[variable]
            break
    return session


def send(
    http: requests.Session, method: str, url: str, where: str, **arguments: Any
) -> requests.Response:
    """Send one request and return the response.

    `where` names the service in messages. Error statuses that are not in `RETRY_STATUSES` are
    returned, too. Raises `TransientError` for failures that are worth a retry, and `DeployError`
    for those that a retry cannot fix.
    """
    # A proxy for the internet does not forward to this machine.
    http.trust_env = not is_loopback(url)
    # A request body, such as a form with a token, must not follow a redirect to another host.
    arguments.setdefault("allow_redirects", method in ("GET", "HEAD"))
    try:
        response = http.request(method, url, timeout=TIMEOUT, **arguments)
    except requests.exceptions.SSLError as error:
        if "EOF occurred in violation of protocol" in str(error):
            # This is how TLS reports a connection that was cut.
            raise TransientError(where, "the connection broke") from None
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            raise DeployError(where, f"{NO_TLS} as expected ({_root_cause(error)})") from None
        hint = "if your company signed it, set REQUESTS_CA_BUNDLE to the file of its authority"
        message = f"its certificate is not trusted ({_root_cause(error)})"
        raise DeployError(where, message, hint) from None
    except requests.exceptions.ConnectionError as error:
        if _is_connect_error(error):
            message = f"it cannot be reached ({_root_cause(error)})"
            hint = "check its name, and whether your network (VPN, private endpoint) reaches it"
            raise DeployError(where, message, hint) from None
        raise TransientError(where, f"the connection broke ({_root_cause(error)})") from None
    except requests.exceptions.Timeout:
        raise TransientError(where, "it did not answer in time") from None
    except ADDRESS_ERRORS as error:
        message = f"it redirects to no valid address ({_root_cause(error)})"
        raise DeployError(
            where, message, "check whether it is a registry, and whether a proxy answers instead"
        ) from None
    except requests.RequestException as error:
        raise TransientError(where, f"the response was cut off ({_root_cause(error)})") from None
    if response.status_code in RETRY_STATUSES:
        retry_after = response.headers.get("Retry-After", "")
        seconds = float(retry_after) if retry_after.isdecimal() else None
        raise TransientError(
            where, f"it answered {response.status_code} {response.reason}", seconds
        )
    return response


def parse_json_object(content: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in a response body. Raises `DeployError` if it is anything else."""
    try:
        data = json.loads(content)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        message = "its answer is not that of a registry"
        raise DeployError(
            where, message, "check its name, and whether a sign-in page answers instead"
        )
    return data


def with_retries(action: Callable[[], Result]) -> Result:
    """Return the result of `action`, repeating it after a `TransientError`.

    Raises `DeployError` after `MAX_ATTEMPTS` attempts.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_attempt(MAX_ATTEMPTS),
        wait=_wait_seconds,
        reraise=True,
    )
    try:
        return retrying(action)
    except TransientError as error:
        message = f"{error}, {MAX_ATTEMPTS} times in a row"
        raise DeployError(error.where, message, "try again later; completed work is kept") from None


def is_loopback(url: str) -> bool:
    """Return whether `url` points to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    requested = error.wait if isinstance(error, TransientError) else None
    back_off = BACK_OFF * 2.0 ** (state.attempt_number - 1)
    # Also waits if the service asks for no wait: five attempts at once would be of no use.
    return min(max(requested or 0.0, back_off), MAX_WAIT_SECONDS)


def _is_connect_error(error: Exception) -> bool:
    text = repr(error)
    return any(kind in text for kind in CONNECT_ERRORS)


def _root_cause(error: BaseException) -> str:
    """Return the text of the innermost cause: the outer ones name classes of libraries."""
    cause: BaseException = error
    while True:
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in cause.args if isinstance(a, BaseException)), None)
        if inner is None:
            break
        cause = inner
    text = str(cause)
    return text.rpartition(": ")[2][:160] or type(cause).__name__
