"""One HTTP request to a service: what may be tried again, and what is a sentence at once."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity

from deploy.errors import DeployError

Result = TypeVar("Result")

ATTEMPTS = 5
# Seconds before the second attempt; it doubles with each.
BACK_OFF = 0.5
LONGEST_WAIT = 60.0
# To connect, and between two bytes.
TIMEOUT = (10, 120)
NO_TLS = "it does not speak TLS"
BUSY = (408, 429, 500, 502, 503, 504)
MISLED = (
    requests.exceptions.TooManyRedirects,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)
# What urllib3 calls it: a private endpoint, seen from elsewhere, is the time-out.
NEVER_CONNECTED = (
    "NewConnectionError",
    "NameResolutionError",
    "ProxyError",
    "ConnectTimeoutError",
)


class Transient(Exception):
    """A failure that the same request may not meet again; `wait` is the service's wish, in s."""

    def __init__(self, where: str, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.where = where
        self.wait = wait


class _Session(requests.Session):
    """Sends the credentials that it is given with a request, and no others.

    By itself requests puts those of a ~/.netrc in the place of a token, and sends a registry the
    password of another account.
    """

    def __init__(self) -> None:
        super().__init__()
        self.auth = _as_it_is

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop the credentials where a redirect leads to another host."""
        if self.should_strip_auth(response.request.url, prepared_request.url):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


def session() -> requests.Session:
    """Return a session that trusts the certificates which the environment names."""
    made = _Session()
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if os.environ.get(variable):
            made.verify = os.environ[variable]
            break
    return made


def send(
    http: requests.Session, method: str, url: str, where: str, **arguments: Any
) -> requests.Response:
    """Send one request. Raises `Transient`, or `DeployError` for what will not change by itself.

    `where` names the service in messages. Any other status is the caller's to judge.
    """
    # A proxy for the internet does not lead to this machine.
    http.trust_env = not is_loopback(url)
    # What is sent, such as a token in a form, is for the host that was asked and for no other.
    arguments.setdefault("allow_redirects", method in ("GET", "HEAD"))
    try:
        response = http.request(method, url, timeout=TIMEOUT, **arguments)
    except requests.exceptions.SSLError as error:
        if "EOF occurred in violation of protocol" in str(error):
            # A connection that was cut, as it looks from inside of TLS.
            raise Transient(where, "the connection broke") from None
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            raise DeployError(where, f"{NO_TLS} as expected ({_cause(error)})") from None
        hint = "if its authority is your company's, let REQUESTS_CA_BUNDLE name the file with it"
        what = f"its certificate is not trusted ({_cause(error)})"
        raise DeployError(where, what, hint) from None
    except requests.exceptions.ConnectionError as error:
        if _never_connected(error):
            what = f"it cannot be reached ({_cause(error)})"
            hint = "is its name right, and does your network (VPN, private endpoint) lead there?"
            raise DeployError(where, what, hint) from None
        raise Transient(where, f"the connection broke ({_cause(error)})") from None
    except requests.exceptions.Timeout:
        raise Transient(where, "it did not answer in time") from None
    except MISLED as error:
        what = f"it refers to an address that leads nowhere ({_cause(error)})"
        raise DeployError(where, what, "is it a registry? does a proxy answer for it?") from None
    except requests.RequestException as error:
        raise Transient(where, f"the answer broke off ({_cause(error)})") from None
    if response.status_code in BUSY:
        wait = response.headers.get("Retry-After", "")
        seconds = float(wait) if wait.isdecimal() else None
        raise Transient(where, f"it answered {response.status_code} {response.reason}", seconds)
    return response


def document(content: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object that a service answered with. Raises `DeployError` for all else."""
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        what = "it answers with something that no registry says"
        raise DeployError(where, what, "is its name right, or does a log-in page answer for it?")
    return found


def patiently(action: Callable[[], Result]) -> Result:
    """Do `action`, again after a `Transient` failure. Raises `DeployError` after `ATTEMPTS`."""
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Transient),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_wait,
        reraise=True,
    )
    try:
        return again(action)
    except Transient as error:
        what = f"{error}, {ATTEMPTS} times in a row"
        raise DeployError(error.where, what, "try again later; what was done is kept") from None


def is_loopback(url: str) -> bool:
    """Whether `url` is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, Transient) else None
    backed_off = BACK_OFF * 2.0 ** (state.attempt_number - 1)
    # A service that asks for no wait at all is given one: five attempts at once help nobody.
    return min(max(asked or 0.0, backed_off), LONGEST_WAIT)


def _never_connected(error: Exception) -> bool:
    text = repr(error)
    return any(kind in text for kind in NEVER_CONNECTED)


def _cause(error: BaseException) -> str:
    """Return the innermost reason: the outer ones name classes of libraries."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in seen.args if isinstance(a, BaseException)), None)
        if inner is None:
            break
        seen = inner
    text = str(seen)
    return text.rpartition(": ")[2][:160] or type(seen).__name__
