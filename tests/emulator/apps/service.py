"""The provider Microsoft.App: who may ask for what of container apps, and where it is answered.

It also tells of user-assigned identities, whose client ids an app's container is given.

Documented: REST API of Container Apps (2024-03-01) and of managed identities; "Azure built-in roles"
(Container Apps Contributor, Managed Identity Operator: what they are for). Recorded (tests of azure-cli):
`getAuthToken`, replicas and their `logStreamEndpoint`, with the lines that a stream begins with. Assumed:
the form of a line with `output=text`; the text of a conflict after its first words.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from tests.emulator import managed_identities
from tests.emulator.apps import bodies
from tests.emulator.apps.app import App
from tests.emulator.apps.region import PROVIDER, Operation, Region
from tests.emulator.apps.revision import Revision
from tests.emulator.arm import GROUP, LOCATION
from tests.emulator.arm_errors import RefusedError, not_found, unauthorized
from tests.emulator.bodies import UnknownError, read
from tests.emulator.certificates import Authority
from tests.emulator.exchange import Exchange
from tests.emulator.identities import Identity
from tests.emulator.managed_identities import MissingError
from tests.emulator.server import Server

VERSION, IDENTITY_VERSION = "2024-03-01", "2024-11-30"
IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
APP_KIND, ENVIRONMENT_KIND = f"{PROVIDER}/containerApps", f"{PROVIDER}/managedEnvironments"
IN_GROUP = rf"/resourceGroups/{GROUP}/providers"
APP = re.compile(rf"{IN_GROUP}/{re.escape(APP_KIND)}/(?P<name>[^/]+)(?P<what>/.*)?", re.IGNORECASE)
ENVIRONMENT = re.compile(
    rf"{IN_GROUP}/{re.escape(ENVIRONMENT_KIND)}/(?P<name>[^/]+)", re.IGNORECASE
)
IDENTITY = re.compile(rf"{IN_GROUP}/{re.escape(IDENTITIES)}/(?P<name>[^/]+)", re.IGNORECASE)
OPERATION = re.compile(
    rf"/providers/{PROVIDER}/locations/{LOCATION}/containerappOperation(?P<kind>Statuses|Results)/"
    r"(?P<id>[\w-]+)"
)
REVISION = re.compile(r"/revisions/(?P<name>[^/]+)(?P<what>/\w+)?")
LOG = re.compile(r".*/revisions/(?P<name>[^/]+)/replicas/[^/]+/containers/[^/]+/logstream")
MOST_LINES = 300


class ContainerApps:
    """The provider, with what there is in `region`; `stream` is where logs are read."""

    def __init__(self, region: Region, authority: Authority) -> None:
        self._region, self._arm = region, region.arm
        self._tokens: dict[str, App] = {}
        self.stream = Server(authority, self._log)

    def serves(self, path: str) -> bool:
        """Whether `path` is of this provider, or an identity's."""
        return any(one.fullmatch(path) for one in (APP, ENVIRONMENT, IDENTITY, OPERATION))

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer. Raises `RefusedError`."""
        app, environment = APP.fullmatch(path), ENVIRONMENT.fullmatch(path)
        operation, identity = OPERATION.fullmatch(path), IDENTITY.fullmatch(path)
        self._arm.version(exchange, IDENTITY_VERSION if identity else VERSION)
        try:
            if app:
                self._app(exchange, app["name"], app["what"] or "", who)
            elif exchange.method != "GET":
                raise self._arm.unknown(exchange)
            elif environment:
                self._environment(exchange, environment["name"], who)
            elif identity:
                self._identity(exchange, identity["name"], who)
            elif operation:
                self._operation(exchange, operation["kind"], operation["id"])
        except UnknownError as error:
            self._arm.server.unexpected.append(f"Apps: {exchange.method} {exchange.path}: {error}")
            raise RefusedError(400, "BadRequest", str(error)) from None

    def _app(self, exchange: Exchange, name: str, what: str, who: Identity) -> None:
        verbs = {
            "GET": "read",
            "PUT": "write",
            "PATCH": "write",
            "DELETE": "delete",
            "POST": "action",
        }
        kind = f"{APP_KIND}{re.sub('/revisions/[^/]+', '/revisions', what)}"
        self._may(
            who, f"{kind}/{verbs[exchange.method]}", name, self._region.id("containerApps", name)
        )
        app = self._region.apps.get(name)
        asked = (exchange.method, what)
        if asked == ("PUT", "") or (asked == ("PATCH", "") and app):
            with self._region.lock:
                self._write(exchange, app, name, who)
        elif asked == ("DELETE", ""):
            self._delete(exchange, app)
        elif app is None:
            raise not_found(APP_KIND, name, GROUP)
        elif asked == ("GET", ""):
            exchange.answer(200, app.document(self._region.directory.tenant))
        elif asked == ("GET", "/revisions"):
            every = app.revisions.values()
            exchange.answer(200, {"value": [one.document(app.weight(one)) for one in every]})
        elif asked == ("POST", "/getAuthToken"):
            token = uuid.uuid4().hex
            self._tokens[token] = app
            exchange.answer(200, {"name": name, "properties": {"token": token}})
        else:
            self._revision(exchange, app, what)

    def _write(self, exchange: Exchange, app: App | None, name: str, who: Identity) -> None:
        body = read(exchange)
        bodies.check(body)
        if app and app.operation:
            text = f"Cannot modify a container app '{name}' because there is an active provisioning operation."
            raise RefusedError(409, "ContainerAppOperationInProgress", text)
        assigned = self._assigned(body, who)
        before = app.properties if app else {}
        properties = bodies.merged(before if exchange.method == "PATCH" else {}, body["properties"])
        rules = properties["configuration"]["ingress"].get("traffic") or []
        if rules:
            bodies.check_traffic(rules, set(app.revisions) if app else set())
        self._check_secrets(app, properties)
        if app is None:
            app = self._new(name, body, properties, who)
        elif body.get("location", app.location) != app.location:
            raise UnknownError("another location")
        template = properties["template"]
        # The template as it was last told: without a change of it there is no new revision.
        fresh = template if template != before.get("template") else None
        earlier = app.properties
        app.properties, app.tags = properties, {**app.tags, **(body.get("tags") or {})}
        app.managed.assigned |= assigned
        try:
            operation = self._region.begin(app, fresh)
        except RefusedError:
            app.properties = earlier
            raise
        document = app.document(self._region.directory.tenant)
        if exchange.method == "PUT":
            status = 200 if before else 201
            exchange.answer(
                status, document, [("Azure-AsyncOperation", self._url("Statuses", operation))]
            )
        else:
            exchange.answer(202, b"", [("Location", self._url("Results", operation))])

    def _new(
        self, name: str, body: dict[str, Any], properties: dict[str, Any], who: Identity
    ) -> App:
        environment = str(properties.get("environmentId")).rpartition("/")[2]
        if environment not in self._region.environments or body.get("location") != LOCATION:
            raise UnknownError(f"an app in {environment}, {body.get('location')}")
        if not bodies.NAME.fullmatch(name):
            raise RefusedError(
                400, "ContainerAppInvalidName", f"Invalid ContainerApp name '{name}'."
            )
        action = f"{ENVIRONMENT_KIND}/join/action"
        self._may(who, action, environment, self._region.id("managedEnvironments", environment))
        return self._region.app(name, body["location"])

    def _assigned(self, body: dict[str, Any], who: Identity) -> dict[str, Identity]:
        """Return the identities that a body assigns, which whoever asks must be allowed to."""
        given = body.get("identity")
        if not given:
            return {}
        if managed_identities.kinds(given["type"]) != ["UserAssigned"]:
            raise UnknownError(f"the identity {given['type']}, which is not emulated")
        try:
            found = managed_identities.assigned(self._region.directory, given)
        except MissingError as error:
            raise RefusedError(400, "FailedIdentityOperation", f"There is no {error}.") from None
        for id, identity in found.items():
            self._may(who, f"{IDENTITIES}/assign/action", identity.name, id)
        return found

    def _check_secrets(self, app: App | None, properties: dict[str, Any]) -> None:
        """Raise for a secret that is gone while a revision refers to it."""
        known = {one["name"] for one in properties["configuration"].get("secrets") or ()}
        active = [one.template for one in app.revisions.values() if one.active] if app else []
        for template in (*active, properties["template"]):
            for container in template["containers"]:
                used = {one["secretRef"] for one in container["env"] if "secretRef" in one}
                if used - known:
                    text = f"SecretRef '{min(used - known)}' defined for container does not exist."
                    raise RefusedError(400, "ContainerAppSecretRefNotFound", text)

    def _delete(self, exchange: Exchange, app: App | None) -> None:
        if app is None:
            exchange.answer(204)
            return
        operation = self._region.remove(app)
        exchange.answer(202, b"", [("Location", self._url("Results", operation))])

    def _revision(self, exchange: Exchange, app: App, what: str) -> None:
        found = REVISION.fullmatch(what)
        revision = app.revisions.get(found["name"]) if found else None
        if not found or (exchange.method, found["what"]) not in (
            ("GET", None),
            ("GET", "/replicas"),
            ("POST", "/activate"),
            ("POST", "/deactivate"),
        ):
            raise self._arm.unknown(exchange)
        if revision is None:
            raise not_found(f"{APP_KIND}/revisions", found["name"], GROUP)
        if found["what"] is None:
            exchange.answer(200, revision.document(app.weight(revision)))
        elif found["what"] == "/replicas":
            stream = f"{self.stream.url}{app.id}"
            exchange.answer(200, {"value": revision.replicas(stream)})
        elif found["what"] == "/deactivate":
            self._region.deactivate(revision)
            exchange.answer(200)
        else:
            self._region.activate(app, revision)
            exchange.answer(200)

    def _environment(self, exchange: Exchange, name: str, who: Identity) -> None:
        id = self._region.id("managedEnvironments", name)
        self._may(who, f"{ENVIRONMENT_KIND}/read", name, id)
        if name not in self._region.environments:
            raise not_found(ENVIRONMENT_KIND, name, GROUP)
        properties = {"provisioningState": "Succeeded"}
        exchange.answer(
            200, {"id": id, "name": name, "location": LOCATION, "properties": properties}
        )

    def _identity(self, exchange: Exchange, name: str, who: Identity) -> None:
        id = f"{self._arm.group}/providers/{IDENTITIES}/{name}"
        self._may(who, f"{IDENTITIES}/read", name, id)
        everybody = self._region.directory.everybody()
        found = next((one for one in everybody if one.name == name), None)
        if found is None:
            raise not_found(IDENTITIES, name, GROUP)
        properties = {"clientId": found.client_id, "principalId": found.object_id}
        exchange.answer(200, {"id": id, "name": name, "properties": properties})

    def _operation(self, exchange: Exchange, kind: str, id: str) -> None:
        operation = self._region.operations.get(id)
        if operation is None:
            raise RefusedError(404, "NotFound", f"There is no operation {id}.")
        if kind == "Statuses":
            exchange.answer(200, self._region.document(operation))
        elif not operation.done:
            exchange.answer(202, b"", [("Location", self._url(kind, operation))])
        elif operation.error:
            raise RefusedError(400, operation.error["code"], operation.error["message"])
        else:
            exchange.answer(200, operation.app.document(self._region.directory.tenant))

    def _log(self, exchange: Exchange) -> None:
        found, app = LOG.fullmatch(exchange.path), self._tokens.get(exchange.bearer())
        if app is None:
            exchange.answer(401)
            return
        revision = app.revisions.get(found["name"]) if found else None
        asked = {name: values[0] for name, values in exchange.query.items()}
        tail = int(asked.pop("tailLines", "20"))
        if revision is None or asked != {"output": "text", "follow": "false"} or tail > MOST_LINES:
            self.stream.unexpected.append(f"Apps, log: {exchange.target}")
            exchange.answer(400)
            return
        exchange.answer(200, _text(revision, tail).encode())

    def _may(self, who: Identity, action: str, name: str, id: str) -> None:
        if not who.may(action, name):
            raise unauthorized(who, action, id)

    def _url(self, kind: str, operation: Operation) -> str:
        place = (
            f"{self._arm.server.url}/subscriptions/{self._arm.subscription}/providers/{PROVIDER}"
        )
        name = f"containerappOperation{kind}/{operation.id}"
        return f"{place}/locations/{LOCATION}/{name}?api-version={VERSION}"


def _text(revision: Revision, tail: int) -> str:
    (container,) = revision.template["containers"]
    head = [
        f"Connecting to the container '{container['name']}'...",
        f"Successfully Connected to container: '{container['name']}' [Revision: '{revision.name}']",
    ]
    return "\n".join([*head, *revision.output().splitlines()[-tail:]]) + "\n"
