"""The scoring front of one endpoint: who may ask, which deployment answers, and what becomes of it.

Documented: "Troubleshooting online endpoints" (the status codes, and 429 above twice what the
instances take), "Authenticate clients for online endpoints", "Perform safe rollout" (shares, mirrored
traffic, the header azureml-model-deployment). Recorded: the bodies of 401; that paths other than
/score reach the container as they are (Triton's client in azureml-examples; NVIDIA NIM). Assumed: the
front keeps the caller's Authorization to itself; a container that does not answer is 424 as well; the
request's timeout is that of the answer's head, and then of each piece of its body.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import uuid
from typing import TYPE_CHECKING

import jwt

from tests.emulator import proxy
from tests.emulator.certificates import Authority, SigningKey
from tests.emulator.exchange import Exchange
from tests.emulator.identities import Directory
from tests.emulator.ml.bodies import seconds, with_defaults
from tests.emulator.ml.instance import Instance
from tests.emulator.ml.resources import Deployment, Endpoint
from tests.emulator.ml.shares import Shares
from tests.emulator.server import HOST, Server

if TYPE_CHECKING:
    from tests.emulator.ml.workspace import Workspace

AUDIENCE = "https://ml.azure.com"
SCORE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action"
DEPLOYMENT = "azureml-model-deployment"
OWN_HEADERS = {"authorization", "host", "content-length", "x-request-id", *proxy.HOP_BY_HOP}


class Front:
    """Serves one endpoint. `server` is its record and its faults."""

    def __init__(
        self, endpoint: Endpoint, workspace: Workspace, authority: Authority, directory: Directory
    ) -> None:
        self._endpoint = endpoint
        self._workspace = workspace
        self._directory = directory
        self._live = Shares()
        self._mirrored = Shares()
        self.tokens: SigningKey = authority.signing_key(f"endpoint {endpoint.name}")
        self.server = Server(authority, self._serve)
        # How many requests each deployment was chosen for.
        self.chosen: dict[str, int] = {}

    def issue(self, lifetime: float) -> str:
        """Return an aml_token."""
        return self.tokens.sign({"aud": self._endpoint.id}, lifetime)

    def _serve(self, exchange: Exchange) -> None:
        refused = self._refused(exchange)
        # Documented: whatever the caller says, it is a GUID of the service's.
        id = str(uuid.uuid4())
        headers = [("x-request-id", id)]
        if client_id := exchange.headers.get("x-ms-client-request-id"):
            headers.append(("x-ms-client-request-id", client_id))
        if refused:
            exchange.answer(401, refused.encode(), headers)
            return
        deployment = self._choose(exchange)
        if deployment is None:
            exchange.answer(404, b"", [*headers, ("ms-azureml-model-error-reason", "not_found")])
            return
        content = b"".join(exchange.body())
        headers.append((DEPLOYMENT, deployment.name))
        if not exchange.headers.get(DEPLOYMENT):
            self._copy(exchange, content, id)
        with deployment.use() as instance:
            if instance is None:
                reason = ("ms-azureml-model-error-reason", "too_many_pending_requests")
                exchange.answer(429, b"", [*headers, reason])
            else:
                self._forward(exchange, content, deployment, instance, headers)

    def _refused(self, exchange: Exchange) -> str:
        """Return why a caller is refused, nothing if it may ask."""
        token, mode = exchange.bearer(), self._endpoint.auth_mode
        if not token:
            return "key_auth_bad_header_forbidden" if mode == "Key" else "Jwt is missing"
        try:
            if mode == "Key":
                return "" if token in self._endpoint.keys else "key_auth_access_denied"
            if mode == "AMLToken":
                self.tokens.read(token, self._endpoint.id)
                return ""
            who = self._directory.read(token, AUDIENCE)
        except jwt.InvalidTokenError as error:
            return f"token_auth_access_denied: {error}"
        allowed = who.may(SCORE, self._workspace.name)
        return "" if allowed else "token_auth_access_denied"

    def _choose(self, exchange: Exchange) -> Deployment | None:
        # A knob: whether paths beside those that the service names lead anywhere.
        if exchange.path not in ("/score", "/swagger.json") and self._workspace.only_scoring_path:
            return None
        with self._workspace.lock:
            endpoint = self._endpoint
            named = exchange.headers.get(DEPLOYMENT)
            name = named or self._live.choose(endpoint.traffic) or ""
            deployment = endpoint.deployments.get(name)
            if deployment is None or not deployment.serves:
                return None
            self.chosen[name] = self.chosen.get(name, 0) + 1
            return deployment

    def _copy(self, exchange: Exchange, content: bytes, id: str) -> None:
        """Send a copy to the deployment that mirrors, if it is its turn; its answer is dropped."""
        with self._workspace.lock:
            mirror = {name: share for name, share in self._endpoint.mirror.items() if share}
            name = self._mirrored.choose({**mirror, "": 100 - sum(mirror.values())})
            deployment = self._endpoint.deployments.get(name or "")
        if deployment is None or not deployment.serves:
            return
        copied = deployment

        def send() -> None:
            with copied.use() as instance:
                if instance is None:
                    return
                copied.mirrored += 1
                with (
                    contextlib.suppress(OSError, http.client.HTTPException),
                    ask(exchange, content, copied, instance, id) as response,
                ):
                    response.read()

        threading.Thread(target=send, daemon=True).start()

    def _forward(
        self,
        exchange: Exchange,
        content: bytes,
        deployment: Deployment,
        instance: Instance,
        headers: list[tuple[str, str]],
    ) -> None:
        began = time.monotonic()
        try:
            response = ask(exchange, content, deployment, instance, headers[0][1])
        except TimeoutError:
            exchange.answer(408, b"", [*headers, ("ms-azureml-model-error-reason", "timeout")])
            return
        except (OSError, http.client.HTTPException):
            exchange.answer(424, b"", [*headers, *_error_headers(503)])
            return
        headers.append(("ms-azureml-model-time", str(int((time.monotonic() - began) * 1000))))
        try:
            if response.status == 200:
                del response.headers["x-request-id"]
                proxy.relay(exchange, response, headers)
            else:
                with response:
                    body = response.read()
                kind = response.headers.get("Content-Type", "")
                exchange.answer(424, body, [*headers, *_error_headers(response.status)], kind)
        except (OSError, http.client.HTTPException):
            # The container is gone in the middle of its answer.
            exchange.reset()


def ask(
    exchange: Exchange, content: bytes, deployment: Deployment, instance: Instance, id: str
) -> http.client.HTTPResponse:
    """Send a request on to an instance; return the answer with its body unread.

    Raises `OSError`, `TimeoutError`, `http.client.HTTPException`.
    """
    settings = with_defaults(deployment.properties)["requestSettings"]
    timeout = seconds(settings["requestTimeout"])
    connection = http.client.HTTPConnection(HOST, instance.port("scoring"), timeout=timeout)
    target = exchange.target
    if exchange.path == "/score":
        target = instance.plan.routes["scoring"].path + target[len("/score") :]
    passed = {k: v for k, v in exchange.headers.items() if k.lower() not in OWN_HEADERS}
    passed["x-request-id"] = id
    try:
        connection.request(
            exchange.method, target, content or None, {**passed, "Connection": "close"}
        )
        return connection.getresponse()
    except BaseException:
        connection.close()
        raise


def _error_headers(status: int) -> list[tuple[str, str]]:
    return [
        ("ms-azureml-model-error-statuscode", str(status)),
        ("ms-azureml-model-error-reason", "model_error"),
    ]
