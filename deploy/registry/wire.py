"""One HTTP request to a service: what may be tried again, and what is a sentence at once."""

from __future__ import annotations

import ipaddress
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


class Transient(Exception):
    """A failure that the same request may not meet again; `wait` is the service's wish, in s."""

    def __init__(self, where: str, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.where = where
        self.wait = wait


def session() -> requests.Session:
    """Return a session that trusts the certificates which the environment names."""
    made = requests.Session()
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
    except requests.RequestException as error:
        raise Transient(where, f"the answer broke off ({_cause(error)})") from None
    if response.status_code in BUSY:
        wait = response.headers.get("Retry-After", "")
        seconds = float(wait) if wait.isdecimal() else None
        raise Transient(where, f"it answered {response.status_code} {response.reason}", seconds)
    return response


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


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, Transient) else None
    backed_off = BACK_OFF * 2.0 ** (state.attempt_number - 1)
    # A service that asks for no wait at all is given one: five attempts at once help nobody.
    return min(max(asked or 0.0, backed_off), LONGEST_WAIT)


def _never_connected(error: Exception) -> bool:
    text = repr(error)
    return "NewConnectionError" in text or "NameResolutionError" in text or "ProxyError" in text


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
