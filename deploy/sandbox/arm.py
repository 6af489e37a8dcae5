"""Azure Resource Manager: authentication, and registries, which can be listed and import images.

All other resources of the subscription are added by a `Provider`.

Recorded (tests of azure-sdk-for-js, `importImage`): 202 with the body `null`, Location under
`…/locations/{l}/operationResults/registries-{id}`, 200 at the end. The real service also sends
`Retry-After: 10`, which `retry_after` enables; without it the client's own interval applies.
Documented: Azure Resource Manager, "Track asynchronous Azure operations", "Common deployment
errors".
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Protocol

import jwt

from deploy.sandbox import arm_import
from deploy.sandbox.acr import Acr
from deploy.sandbox.arm_errors import ArmError, not_found_error, require_permission
from deploy.sandbox.background import Operation, Tasks
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from deploy.sandbox.identities import READ_REGISTRY_ACTION, Directory, Identity
from deploy.sandbox.request_bodies import InvalidBodyError, read_json_object

# Used by azure-mgmt-containerregistry 15.
API_VERSION = "2025-11-01"
AUDIENCE = "https://management.azure.com"
GROUP = "rg-flows"
LOCATION = "westeurope"
REGISTRY_TYPE = "Microsoft.ContainerRegistry/registries"
PROVIDER = "/providers/Microsoft.ContainerRegistry"
IN_SUBSCRIPTION = re.compile(r"/subscriptions/(?P<subscription>[^/]+)(?P<rest>/.*)")
IMPORT_PATH = re.compile(rf"/resourceGroups/{GROUP}{PROVIDER}/registries/(?P<name>\w+)/importImage")
REGISTRY_PATH = re.compile(rf"/resourceGroups/{GROUP}{PROVIDER}/registries/(?P<name>\w+)")
RESULT_PATH = re.compile(
    rf"{PROVIDER}/locations/{LOCATION.upper()}/operationResults/(?P<id>[\w-]+)"
)
GROUP_PATH = re.compile(r"/resourceGroups/([^/]+)", re.IGNORECASE)
REGISTRY_LIST_PATHS = (f"{PROVIDER}/registries", f"/resourceGroups/{GROUP}{PROVIDER}/registries")


class Provider(Protocol):
    """Serves some of the subscription's resources."""

    def can_serve(self, path: str) -> bool:
        """Return whether `path`, which begins after the subscription's id, is one of its own."""

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer the request of the identity `who`. Raise `ArmError` or `InvalidBodyError`."""


class ResourceManager:
    """The resource manager of one subscription.

    It accepts tokens for its own address or for the public one.
    """

    def __init__(self, authority: CertificateAuthority, directory: Directory) -> None:
        self._directory = directory
        self._registries: dict[str, Acr] = {}
        # Resource groups other than `GROUP`, in lower case.
        self.groups: set[str] = set()
        self._operations: dict[str, Operation] = {}
        self.providers: list[Provider] = []
        self.subscription = str(uuid.uuid4())
        self.retry_after = 0
        # Whether an existing tag is rejected by the first response instead of during polling.
        self.conflicts_at_once = False
        self.server = HttpsServer(authority, self._serve)
        self._tasks = Tasks(self.server.failures)
        self.audiences = (AUDIENCE, self.server.url)

    def add(self, acr: Acr) -> None:
        """Add a registry."""
        self._registries[self.resource_id(acr)] = acr

    @property
    def group(self) -> str:
        """The resource id of the resource group that contains everything."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{GROUP}"

    def build_id(self, resource_type: str, name: str) -> str:
        """Return the resource id of a resource in the group."""
        return f"{self.group}/providers/{resource_type}/{name}"

    def build_location_id(self, provider: str) -> str:
        """Return the id below which a provider has data and operations of the region."""
        return f"/subscriptions/{self.subscription}/providers/{provider}/locations/{LOCATION}"

    def resource_id(self, acr: Acr) -> str:
        """Return the resource id of a registry."""
        return self.build_id(REGISTRY_TYPE, acr.name)

    def reset(self) -> None:
        """Restore the defaults, and forget operations and recorded requests."""
        self.retry_after = 0
        self.conflicts_at_once = False
        self._operations.clear()
        self.server.reset()

    def _serve(self, exchange: Exchange) -> None:
        try:
            identity = self._authenticate(exchange)
            match = IN_SUBSCRIPTION.fullmatch(exchange.path)
            if not match:
                raise self.record_unknown_request(exchange)
            if match["subscription"] != self.subscription:
                text = f"The subscription '{match['subscription']}' could not be found."
                raise ArmError(404, "SubscriptionNotFound", text)
            group = GROUP_PATH.match(match["rest"])
            if group and group[1].lower() not in {GROUP, *self.groups}:
                text = f"Resource group '{group[1]}' could not be found."
                raise ArmError(404, "ResourceGroupNotFound", text)
            self._route(exchange, match["rest"], identity)
        except InvalidBodyError as error:
            self.server.unexpected.append(f"ARM: {exchange.method} {exchange.path}: {error}")
            exchange.answer(400, ArmError(400, "BadRequest", str(error)).content)
        except ArmError as arm_error:
            headers = []
            if arm_error.status == 401:
                headers.append(("WWW-Authenticate", f'Bearer error="{arm_error.code}"'))
            exchange.answer(arm_error.status, arm_error.content, headers)

    def _authenticate(self, exchange: Exchange) -> Identity:
        for audience in self.audiences:
            try:
                return self._directory.read(exchange.bearer_token(), audience)
            except jwt.InvalidAudienceError:
                continue
            except jwt.ExpiredSignatureError:
                text = "The access token expiry UTC time is earlier than current UTC time."
                raise ArmError(401, "ExpiredAuthenticationToken", text) from None
            except jwt.InvalidTokenError:
                break
        raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")

    def version(self, exchange: Exchange, *known: str) -> str:
        """Return the request's API version. Raise `ArmError` if it is not in `known`."""
        version = exchange.query.get("api-version", [""])[0]
        if version not in known:
            self.server.unexpected.append(f"ARM: api-version {version} of {exchange.target}")
            text = f"No registered resource provider found for API version '{version}'."
            raise ArmError(400, "NoRegisteredProviderFound", text)
        return version

    def _route(self, exchange: Exchange, rest: str, identity: Identity) -> None:
        for provider in self.providers:
            if provider.can_serve(rest):
                provider.serve(exchange, rest, identity)
                return
        self.version(exchange, API_VERSION)
        registry_match, import_match = REGISTRY_PATH.fullmatch(rest), IMPORT_PATH.fullmatch(rest)
        result_match = RESULT_PATH.fullmatch(rest)
        if exchange.method == "GET" and rest in REGISTRY_LIST_PATHS:
            # Documented: a list has what the client may read; it is empty rather than rejected.
            readable = [
                acr
                for acr in self._registries.values()
                if identity.has_permission(READ_REGISTRY_ACTION, acr.name)
            ]
            exchange.answer(200, {"value": [self._resource(acr) for acr in readable]})
        elif exchange.method == "GET" and registry_match:
            acr = self._registry(registry_match["name"])
            require_permission(identity, READ_REGISTRY_ACTION, acr.name, self.resource_id(acr))
            exchange.answer(200, self._resource(acr))
        elif exchange.method == "POST" and import_match:
            self._import(exchange, self._registry(import_match["name"]), identity)
        elif exchange.method == "GET" and result_match:
            self._result(exchange, result_match["id"])
        else:
            raise self.record_unknown_request(exchange)

    def _import(self, exchange: Exchange, acr: Acr, identity: Identity) -> None:
        body = read_json_object(exchange)
        operation = arm_import.start_import(
            body, acr, self._registries, identity, self.conflicts_at_once, self._tasks
        )
        self._operations[operation.id] = operation
        self._answer_accepted(exchange, operation)

    def _result(self, exchange: Exchange, id: str) -> None:
        operation = self._operations.get(id)
        if operation is None:
            raise ArmError(404, "NotFound", f"There is no operation {id}.")
        if not operation.done.is_set():
            self._answer_accepted(exchange, operation)
            return
        if operation.error:
            raise operation.error
        exchange.answer(200, {"status": "Succeeded"})

    def _answer_accepted(self, exchange: Exchange, operation: Operation) -> None:
        locations_url = f"{self.server.url}/subscriptions/{self.subscription}{PROVIDER}/locations"
        url = (
            f"{locations_url}/{LOCATION.upper()}/operationResults/{operation.id}"
            f"?api-version={API_VERSION}"
        )
        headers = [("Location", url)]
        if self.retry_after:
            headers.append(("Retry-After", str(self.retry_after)))
        exchange.answer(202, None, headers)

    def _registry(self, name: str) -> Acr:
        for acr in self._registries.values():
            if acr.name.lower() == name.lower():
                return acr
        raise not_found_error(REGISTRY_TYPE, name, GROUP)

    def _resource(self, acr: Acr) -> dict[str, Any]:
        return {
            "id": self.resource_id(acr),
            "name": acr.name,
            "type": REGISTRY_TYPE,
            "location": LOCATION,
            "sku": {"name": "Standard", "tier": "Standard"},
            "tags": {},
            "properties": {
                "loginServer": acr.login_server,
                "provisioningState": "Succeeded",
                "adminUserEnabled": False,
            },
        }

    def record_unknown_request(self, exchange: Exchange) -> ArmError:
        """Record a request that no provider knows; return the error to answer with."""
        self.server.unexpected.append(f"ARM: {exchange.method} {exchange.target}")
        text = f"The resource type could not be found for '{exchange.path}'."
        return ArmError(404, "InvalidResourceType", text)

    def record_unknown_filter(self, text: str) -> ArmError:
        """Record a filter that is not emulated; return the error to answer with."""
        self.server.unexpected.append(f"ARM: the filter {text}")
        return ArmError(400, "UnsupportedQuery", f"The filter '{text}' is not supported.")
