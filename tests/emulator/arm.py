"""Azure Resource Manager: who asks, and registries, which are listed and import images.

What else there is in the subscription joins in as a `Provider`.

Recorded (tests of azure-sdk-for-js, `importImage`): 202 with the body `null`, Location under
`…/locations/{l}/operationResults/registries-{id}`, 200 at the end. The real one also says
`Retry-After: 10`, which `retry_after` brings back; without it the client's own interval counts.
Documented: Azure Resource Manager, "Track asynchronous Azure operations", "Common deployment errors".
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, Protocol

import jwt

from tests.emulator import arm_import
from tests.emulator.acr import Acr
from tests.emulator.arm_errors import RefusedError, not_found, unauthorized
from tests.emulator.arm_import import Operation
from tests.emulator.certificates import Authority
from tests.emulator.exchange import Exchange
from tests.emulator.identities import READ, Directory, Identity
from tests.emulator.server import Server

# Of azure-mgmt-containerregistry 15.
API_VERSION = "2025-11-01"
AUDIENCE = "https://management.azure.com"
GROUP = "rg-flows"
LOCATION = "westeurope"
PROVIDER = "/providers/Microsoft.ContainerRegistry"
IN_SUBSCRIPTION = re.compile(r"/subscriptions/(?P<subscription>[^/]+)(?P<rest>/.*)")
IMPORT_PATH = re.compile(rf"/resourceGroups/{GROUP}{PROVIDER}/registries/(?P<name>\w+)/importImage")
ONE_PATH = re.compile(rf"/resourceGroups/{GROUP}{PROVIDER}/registries/(?P<name>\w+)")
RESULT_PATH = re.compile(
    rf"{PROVIDER}/locations/{LOCATION.upper()}/operationResults/(?P<id>[\w-]+)"
)
GROUP_PATH = re.compile(r"/resourceGroups/([^/]+)", re.IGNORECASE)
LISTS = (f"{PROVIDER}/registries", f"/resourceGroups/{GROUP}{PROVIDER}/registries")


class Provider(Protocol):
    """Serves some of the resources of the subscription."""

    def serves(self, path: str) -> bool:
        """Whether `path`, which begins after the subscription's id, is one of its own."""

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer. Raises `RefusedError`."""


class ResourceManager:
    """The resource manager of one subscription. A token is for its own address or the public one's."""

    def __init__(self, authority: Authority, directory: Directory) -> None:
        self._directory = directory
        self._registries: dict[str, Acr] = {}
        # Groups beside the usual one, in lower case.
        self.groups: set[str] = set()
        self._operations: dict[str, Operation] = {}
        self.providers: list[Provider] = []
        self.subscription = str(uuid.uuid4())
        self.retry_after = 0
        # Whether a tag that exists is refused by the first answer instead of while polling.
        self.conflicts_at_once = False
        self.server = Server(authority, self._serve)
        self.audiences = (AUDIENCE, self.server.url)

    def add(self, acr: Acr) -> None:
        """Know a registry."""
        self._registries[self.resource_id(acr)] = acr

    @property
    def group(self) -> str:
        """The resource id of the resource group, in which everything is."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{GROUP}"

    def resource_id(self, acr: Acr) -> str:
        """Return the id of a registry."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{GROUP}"
        return f"{group}{PROVIDER}/registries/{acr.name}"

    def reset(self) -> None:
        """Behave well from now on, and forget what was seen."""
        self.retry_after = 0
        self.conflicts_at_once = False
        self._operations.clear()
        self.server.reset()

    def _serve(self, exchange: Exchange) -> None:
        try:
            who = self._who(exchange)
            found = IN_SUBSCRIPTION.fullmatch(exchange.path)
            if not found:
                raise self.unknown(exchange)
            if found["subscription"] != self.subscription:
                text = f"The subscription '{found['subscription']}' could not be found."
                raise RefusedError(404, "SubscriptionNotFound", text)
            group = GROUP_PATH.match(found["rest"])
            if group and group[1].lower() not in {GROUP, *self.groups}:
                text = f"Resource group '{group[1]}' could not be found."
                raise RefusedError(404, "ResourceGroupNotFound", text)
            self._route(exchange, found["rest"], who)
        except RefusedError as refused:
            headers = []
            if refused.status == 401:
                headers.append(("WWW-Authenticate", f'Bearer error="{refused.code}"'))
            exchange.answer(refused.status, refused.content, headers)

    def _who(self, exchange: Exchange) -> Identity:
        for audience in self.audiences:
            try:
                return self._directory.read(exchange.bearer(), audience)
            except jwt.InvalidAudienceError:
                continue
            except jwt.ExpiredSignatureError:
                text = "The access token expiry UTC time is earlier than current UTC time."
                raise RefusedError(401, "ExpiredAuthenticationToken", text) from None
            except jwt.InvalidTokenError:
                break
        raise RefusedError(401, "InvalidAuthenticationToken", "The access token is invalid.")

    def version(self, exchange: Exchange, *known: str) -> str:
        """Return the version of the API that is asked. Raises `RefusedError` if it is not `known`."""
        version = exchange.query.get("api-version", [""])[0]
        if version not in known:
            self.server.unexpected.append(f"ARM: api-version {version} of {exchange.target}")
            text = f"No registered resource provider found for API version '{version}'."
            raise RefusedError(400, "NoRegisteredProviderFound", text)
        return version

    def registry_at(self, id: str) -> Acr | None:
        """Return the registry of this resource id, whatever its case."""
        return next(
            (acr for key, acr in self._registries.items() if key.lower() == id.lower()), None
        )

    def _route(self, exchange: Exchange, rest: str, who: Identity) -> None:
        for provider in self.providers:
            if provider.serves(rest):
                provider.serve(exchange, rest, who)
                return
        self.version(exchange, API_VERSION)
        one, copy = ONE_PATH.fullmatch(rest), IMPORT_PATH.fullmatch(rest)
        result = RESULT_PATH.fullmatch(rest)
        if exchange.method == "GET" and rest in LISTS:
            # Documented: a list has what the caller may read, and is empty rather than refused.
            readable = [acr for acr in self._registries.values() if who.may(READ, acr.name)]
            exchange.answer(200, {"value": [self._resource(acr) for acr in readable]})
        elif exchange.method == "GET" and one:
            acr = self._registry(one["name"])
            if not who.may(READ, acr.name):
                raise unauthorized(who, READ, self.resource_id(acr))
            exchange.answer(200, self._resource(acr))
        elif exchange.method == "POST" and copy:
            self._import(exchange, self._registry(copy["name"]), who)
        elif exchange.method == "GET" and result:
            self._result(exchange, result["id"])
        else:
            raise self.unknown(exchange)

    def _import(self, exchange: Exchange, acr: Acr, who: Identity) -> None:
        try:
            body = json.loads(exchange.content())
            operation = arm_import.start(body, acr, self._registries, who, self.conflicts_at_once)
        except ValueError as error:
            self.server.unexpected.append(f"ARM: {error}")
            raise RefusedError(400, "InvalidParameters", str(error)) from None
        self._operations[operation.id] = operation
        self._accepted(exchange, operation)

    def _result(self, exchange: Exchange, id: str) -> None:
        operation = self._operations.get(id)
        if operation is None:
            raise RefusedError(404, "NotFound", f"There is no operation {id}.")
        if not operation.done.is_set():
            self._accepted(exchange, operation)
            return
        if operation.failure:
            self.server.failures.append(operation.failure)
        if operation.refused:
            raise operation.refused
        exchange.answer(200, {"status": "Succeeded"})

    def _accepted(self, exchange: Exchange, operation: Operation) -> None:
        place = f"{self.server.url}/subscriptions/{self.subscription}{PROVIDER}/locations"
        url = (
            f"{place}/{LOCATION.upper()}/operationResults/{operation.id}?api-version={API_VERSION}"
        )
        headers = [("Location", url)]
        if self.retry_after:
            headers.append(("Retry-After", str(self.retry_after)))
        exchange.answer(202, None, headers)

    def _registry(self, name: str) -> Acr:
        for acr in self._registries.values():
            if acr.name.lower() == name.lower():
                return acr
        raise not_found(f"{PROVIDER[11:]}/registries", name, GROUP)

    def _resource(self, acr: Acr) -> dict[str, Any]:
        return {
            "id": self.resource_id(acr),
            "name": acr.name,
            "type": "Microsoft.ContainerRegistry/registries",
            "location": LOCATION,
            "sku": {"name": "Standard", "tier": "Standard"},
            "tags": {},
            "properties": {
                "loginServer": acr.login_server,
                "provisioningState": "Succeeded",
                "adminUserEnabled": False,
            },
        }

    def unknown(self, exchange: Exchange) -> RefusedError:
        """Record a request that nothing here knows, and return its refusal."""
        self.server.unexpected.append(f"ARM: {exchange.method} {exchange.target}")
        text = f"The resource type could not be found for '{exchange.path}'."
        return RefusedError(404, "InvalidResourceType", text)
