"""The scoring frontend of one endpoint: authentication, traffic split, mirroring, errors.

Documented: "Troubleshooting online endpoints" (the status codes, and 429 above twice what the
instances take), "Authenticate clients for online endpoints", "Perform safe rollout" (traffic split,
mirrored traffic, the header azureml-model-deployment). Recorded: the bodies of 401; that paths
other than /score reach the container unchanged (Triton's client in azureml-examples; NVIDIA NIM).
Assumed: the frontend does not forward the client's Authorization; a container that does not answer
is 424 as well; the request's timeout applies to the head of the response, and then to each piece of
its body.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import uuid
from typing import TYPE_CHECKING

import jwt

from deploy.sandbox import proxy
from deploy.sandbox.azureml.instance import Instance
from deploy.sandbox.azureml.request_bodies import add_defaults, parse_duration
from deploy.sandbox.azureml.resources import Deployment, Endpoint
from deploy.sandbox.certificates import SigningKey
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.weighted_round_robin import WeightedRoundRobin

if TYPE_CHECKING:
    from deploy.sandbox.azureml.workspace import Workspace

AUDIENCE = "https://ml.azure.com"
SCORE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action"
DEPLOYMENT = "azureml-model-deployment"
STRIPPED_HEADERS = frozenset({"authorization", "x-request-id"})


class ScoringFrontend:
    """Serves one endpoint. `server` has its recorded requests and faults."""

    def __init__(
        self,
        endpoint: Endpoint,
        workspace: Workspace,
    ) -> None:
        self._endpoint = endpoint
        self._workspace = workspace
        self._live = WeightedRoundRobin()
        self._mirrored = WeightedRoundRobin()
        authority = workspace.services.authority
        self.tokens: SigningKey = authority.signing_key(f"endpoint {endpoint.name}")
        self.server = workspace.open_host(self._serve)
        # The number of requests for which each deployment was chosen.
        self.chosen: dict[str, int] = {}

    def issue(self, lifetime: float) -> str:
        """Return a token for the authentication mode AMLToken."""
        return self.tokens.sign({"aud": self._endpoint.id}, lifetime)

    def _serve(self, exchange: Exchange) -> None:
        auth_error = self._find_auth_error(exchange)
        # Documented: always a GUID of the service, whatever the client sends.
        id = str(uuid.uuid4())
        headers = [("x-request-id", id)]
        if client_id := exchange.headers.get("x-ms-client-request-id"):
            headers.append(("x-ms-client-request-id", client_id))
        if auth_error:
            exchange.answer(401, auth_error.encode(), headers)
            return
        deployment = self._choose_deployment(exchange)
        if deployment is None:
            exchange.answer(404, b"", [*headers, ("ms-azureml-model-error-reason", "not_found")])
            return
        content = b"".join(exchange.body())
        headers.append((DEPLOYMENT, deployment.name))
        if not exchange.headers.get(DEPLOYMENT):
            self._mirror_request(exchange, content, id)
        with deployment.use() as instance:
            if instance is None:
                reason = ("ms-azureml-model-error-reason", "too_many_pending_requests")
                exchange.answer(429, b"", [*headers, reason])
            else:
                self._forward(exchange, content, deployment, instance, headers)

    def _find_auth_error(self, exchange: Exchange) -> str:
        """Return why a client is not authenticated, empty if it is."""
        token, mode = exchange.bearer_token(), self._endpoint.auth_mode
        if not token:
            return "key_auth_bad_header_forbidden" if mode == "Key" else "Jwt is missing"
        try:
            if mode == "Key":
                return "" if token in self._endpoint.keys else "key_auth_access_denied"
            if mode == "AMLToken":
                self.tokens.read(token, self._endpoint.id)
                return ""
            identity = self._workspace.directory.read(token, AUDIENCE)
        except jwt.InvalidTokenError as error:
            return f"token_auth_access_denied: {error}"
        allowed = identity.has_permission(SCORE, self._workspace.name)
        return "" if allowed else "token_auth_access_denied"

    def _choose_deployment(self, exchange: Exchange) -> Deployment | None:
        # A setting of tests: whether undocumented paths reach the container.
        if exchange.path not in ("/score", "/swagger.json") and self._workspace.only_scoring_path:
            return None
        with self._workspace.lock:
            endpoint = self._endpoint
            requested_name = exchange.headers.get(DEPLOYMENT)
            name = requested_name or self._live.choose(endpoint.traffic) or ""
            deployment = endpoint.deployments.get(name)
            if deployment is None or not deployment.has_instances:
                return None
            self.chosen[name] = self.chosen.get(name, 0) + 1
            return deployment

    def _mirror_request(self, exchange: Exchange, content: bytes, id: str) -> None:
        """Send a copy to the mirroring deployment if it is its turn; drop the response."""
        with self._workspace.lock:
            mirror = {name: share for name, share in self._endpoint.mirror.items() if share}
            name = self._mirrored.choose({**mirror, "": 100 - sum(mirror.values())})
            deployment = self._endpoint.deployments.get(name or "")
        if deployment is None or not deployment.has_instances:
            return
        mirror_deployment = deployment

        def send() -> None:
            with mirror_deployment.use() as instance:
                if instance is None:
                    return
                mirror_deployment.mirrored += 1
                with (
                    contextlib.suppress(OSError, http.client.HTTPException),
                    forward_to_instance(
                        exchange, content, mirror_deployment, instance, id
                    ) as response,
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
        start = time.monotonic()
        try:
            response = forward_to_instance(exchange, content, deployment, instance, headers[0][1])
        except TimeoutError:
            exchange.answer(408, b"", [*headers, ("ms-azureml-model-error-reason", "timeout")])
            return
        except (OSError, http.client.HTTPException):
            exchange.answer(424, b"", [*headers, *_error_headers(503)])
            return
        headers.append(("ms-azureml-model-time", str(int((time.monotonic() - start) * 1000))))
        if response.status == 200:
            del response.headers["x-request-id"]
            proxy.relay_response(exchange, response, headers)
        else:
            with proxy.reset_if_broken(exchange), response:
                body = response.read()
            kind = response.headers.get("Content-Type", "")
            exchange.answer(424, body, [*headers, *_error_headers(response.status)], kind)


def forward_to_instance(
    exchange: Exchange, content: bytes, deployment: Deployment, instance: Instance, id: str
) -> http.client.HTTPResponse:
    """Forward a request to an instance; return the response with its body unread.

    Raise `OSError`, `TimeoutError` or `http.client.HTTPException`.
    """
    settings = add_defaults(deployment.properties)["requestSettings"]
    target = exchange.target
    if exchange.path == "/score":
        target = instance.plan.routes["scoring"].path + target[len("/score") :]
    return proxy.forward_request(
        instance.scoring_port,
        exchange,
        content,
        without=STRIPPED_HEADERS,
        extra=[("x-request-id", id)],
        timeout=parse_duration(settings["requestTimeout"]),
        target=target,
    )


def _error_headers(status: int) -> list[tuple[str, str]]:
    return [
        ("ms-azureml-model-error-statuscode", str(status)),
        ("ms-azureml-model-error-reason", "model_error"),
    ]
