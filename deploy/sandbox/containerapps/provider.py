"""The provider Microsoft.App: permissions and routing of requests about container apps.

It also serves user-assigned identities, because an app's container gets their client ids.

Documented: REST API of Container Apps (2024-03-01) and of managed identities; "Azure built-in
roles" (Container Apps Contributor, Managed Identity Operator: what they are for). Recorded (tests
of azure-cli): `getAuthToken`, replicas and their `logStreamEndpoint`, with the first lines of a
stream. Assumed: the form of a line with `output=text`; the text of a conflict after its first
words.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from deploy.sandbox import managed_identities
from deploy.sandbox.arm import GROUP, LOCATION
from deploy.sandbox.arm_errors import ArmError, not_found_error, require_permission
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.containerapps import request_bodies
from deploy.sandbox.containerapps.app import App
from deploy.sandbox.containerapps.region import (
    APP_KIND,
    ENVIRONMENT_KIND,
    PROVIDER,
    Operation,
    Region,
)
from deploy.sandbox.containerapps.revision import Revision
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from deploy.sandbox.identities import Identity
from deploy.sandbox.managed_identities import IdentityNotFoundError
from deploy.sandbox.request_bodies import InvalidBodyError, read_json_object

VERSION, IDENTITY_VERSION = "2024-03-01", "2024-11-30"
IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}
IN_GROUP = rf"/resourceGroups/{GROUP}/providers"
APP = re.compile(
    rf"{IN_GROUP}/{re.escape(APP_KIND)}/(?P<name>[^/]+)(?P<subpath>/.*)?", re.IGNORECASE
)
ENVIRONMENT = re.compile(
    rf"{IN_GROUP}/{re.escape(ENVIRONMENT_KIND)}/(?P<name>[^/]+)", re.IGNORECASE
)
IDENTITY = re.compile(rf"{IN_GROUP}/{re.escape(IDENTITIES)}/(?P<name>[^/]+)", re.IGNORECASE)
OPERATION = re.compile(
    rf"/providers/{PROVIDER}/locations/{LOCATION}/containerappOperation(?P<kind>Statuses|Results)/"
    r"(?P<id>[\w-]+)"
)
REVISION = re.compile(r"/revisions/(?P<name>[^/]+)(?P<subpath>/\w+)?")
LOG = re.compile(r".*/revisions/(?P<name>[^/]+)/replicas/[^/]+/containers/[^/]+/logstream")
MAX_LOG_LINES = 300


class ContainerApps:
    """The provider, with the apps of `region`; `stream` is the server for logs."""

    def __init__(self, region: Region, authority: CertificateAuthority) -> None:
        self._region, self._arm = region, region.arm
        self._tokens: dict[str, App] = {}
        self.stream = HttpsServer(authority, self._log)

    def can_serve(self, path: str) -> bool:
        """Return whether `path` belongs to this provider or is an identity's."""
        return any(pattern.fullmatch(path) for pattern in (APP, ENVIRONMENT, IDENTITY, OPERATION))

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer the request of the identity `who`. Raise `ArmError` or `InvalidBodyError`."""
        app, environment = APP.fullmatch(path), ENVIRONMENT.fullmatch(path)
        operation, identity = OPERATION.fullmatch(path), IDENTITY.fullmatch(path)
        self._arm.version(exchange, IDENTITY_VERSION if identity else VERSION)
        if app:
            self._app(exchange, app["name"], app["subpath"] or "", who)
        elif exchange.method != "GET":
            raise self._arm.record_unknown_request(exchange)
        elif environment:
            self._environment(exchange, environment["name"], who)
        elif identity:
            self._identity(exchange, identity["name"], who)
        elif operation:
            self._operation(exchange, operation["kind"], operation["id"])

    def _app(self, exchange: Exchange, name: str, subpath: str, who: Identity) -> None:
        kind = f"{APP_KIND}{re.sub('/revisions/[^/]+', '/revisions', subpath)}"
        id = self._region.id("containerApps", name)
        require_permission(who, f"{kind}/{VERBS[exchange.method]}", name, id)
        app = self._region.apps.get(name)
        route = (exchange.method, subpath)
        if route == ("PUT", "") or (route == ("PATCH", "") and app):
            with self._region.lock:
                self._write(exchange, app, name, who)
        elif route == ("DELETE", ""):
            self._delete(exchange, app)
        elif app is None:
            raise not_found_error(APP_KIND, name, GROUP)
        elif route == ("GET", ""):
            exchange.answer(200, app.document(self._region.directory.tenant))
        elif route == ("GET", "/revisions"):
            revisions = [
                revision.document(app.traffic_weight(revision))
                for revision in app.revisions.values()
            ]
            exchange.answer(200, {"value": revisions})
        elif route == ("POST", "/getAuthToken"):
            token = uuid.uuid4().hex
            self._tokens[token] = app
            exchange.answer(200, {"name": name, "properties": {"token": token}})
        else:
            self._revision(exchange, app, subpath)

    def _write(self, exchange: Exchange, app: App | None, name: str, who: Identity) -> None:
        body = read_json_object(exchange)
        request_bodies.check_app(body)
        if app and app.operation:
            text = (
                f"Cannot modify a container app '{name}' because there is an active "
                "provisioning operation."
            )
            raise ArmError(409, "ContainerAppOperationInProgress", text)
        assigned = self._resolve_identities(body, who)
        before = app.properties if app else {}
        properties = request_bodies.merge_patch(
            before if exchange.method == "PATCH" else {}, body["properties"]
        )
        rules = properties["configuration"]["ingress"].get("traffic") or []
        if rules:
            request_bodies.check_traffic(rules, set(app.revisions) if app else set())
        self._check_secrets(app, properties)
        if app is None:
            app = self._create_app(name, body, properties, who)
        elif body.get("location", app.location) != app.location:
            raise InvalidBodyError("another location")
        template = properties["template"]
        # A new revision only if the template differs from the last one written.
        new_template = template if template != before.get("template") else None
        previous_properties = app.properties
        app.properties, app.tags = properties, {**app.tags, **(body.get("tags") or {})}
        app.managed.assigned |= assigned
        try:
            operation = self._region.begin(app, new_template)
        except ArmError:
            app.properties = previous_properties
            raise
        document = app.document(self._region.directory.tenant)
        if exchange.method == "PUT":
            status = 200 if before else 201
            exchange.answer(
                status, document, [("Azure-AsyncOperation", self._url("Statuses", operation))]
            )
        else:
            exchange.answer(202, b"", [("Location", self._url("Results", operation))])

    def _create_app(
        self, name: str, body: dict[str, Any], properties: dict[str, Any], who: Identity
    ) -> App:
        environment = str(properties.get("environmentId")).rpartition("/")[2]
        if environment not in self._region.environments or body.get("location") != LOCATION:
            raise InvalidBodyError(f"an app in {environment}, {body.get('location')}")
        if not request_bodies.NAME.fullmatch(name):
            raise ArmError(400, "ContainerAppInvalidName", f"Invalid ContainerApp name '{name}'.")
        action = f"{ENVIRONMENT_KIND}/join/action"
        require_permission(
            who, action, environment, self._region.id("managedEnvironments", environment)
        )
        return self._region.app(name, body["location"])

    def _resolve_identities(self, body: dict[str, Any], who: Identity) -> dict[str, Identity]:
        """Return the identities that a body assigns; the client needs permission for each."""
        requested = body.get("identity")
        if not requested:
            return {}
        if managed_identities.parse_identity_types(requested["type"]) != ["UserAssigned"]:
            raise InvalidBodyError(f"the identity {requested['type']}, which is not emulated")
        try:
            identities = managed_identities.resolve_assigned_identities(
                self._region.directory, requested
            )
        except IdentityNotFoundError as error:
            raise ArmError(400, "FailedIdentityOperation", f"There is no {error}.") from None
        for id, identity in identities.items():
            require_permission(who, f"{IDENTITIES}/assign/action", identity.name, id)
        return identities

    def _check_secrets(self, app: App | None, properties: dict[str, Any]) -> None:
        """Raise `ArmError` if a revision refers to a secret that is removed."""
        declared = {entry["name"] for entry in properties["configuration"].get("secrets") or ()}
        active = [entry.template for entry in app.revisions.values() if entry.active] if app else []
        for template in (*active, properties["template"]):
            for container in template["containers"]:
                used = {entry["secretRef"] for entry in container["env"] if "secretRef" in entry}
                if used - declared:
                    text = (
                        f"SecretRef '{min(used - declared)}' defined for container does not exist."
                    )
                    raise ArmError(400, "ContainerAppSecretRefNotFound", text)

    def _delete(self, exchange: Exchange, app: App | None) -> None:
        if app is None:
            exchange.answer(204)
            return
        operation = self._region.remove(app)
        exchange.answer(202, b"", [("Location", self._url("Results", operation))])

    def _revision(self, exchange: Exchange, app: App, subpath: str) -> None:
        match = REVISION.fullmatch(subpath)
        revision = app.revisions.get(match["name"]) if match else None
        if not match or (exchange.method, match["subpath"]) not in (
            ("GET", None),
            ("GET", "/replicas"),
            ("POST", "/activate"),
            ("POST", "/deactivate"),
        ):
            raise self._arm.record_unknown_request(exchange)
        if revision is None:
            raise not_found_error(f"{APP_KIND}/revisions", match["name"], GROUP)
        if match["subpath"] is None:
            exchange.answer(200, revision.document(app.traffic_weight(revision)))
        elif match["subpath"] == "/replicas":
            stream = f"{self.stream.url}{app.id}"
            exchange.answer(200, {"value": revision.replicas(stream)})
        elif match["subpath"] == "/deactivate":
            self._region.deactivate(revision)
            exchange.answer(200)
        else:
            self._region.activate(app, revision)
            exchange.answer(200)

    def _environment(self, exchange: Exchange, name: str, who: Identity) -> None:
        id = self._region.id("managedEnvironments", name)
        require_permission(who, f"{ENVIRONMENT_KIND}/read", name, id)
        if name not in self._region.environments:
            raise not_found_error(ENVIRONMENT_KIND, name, GROUP)
        properties = {"provisioningState": "Succeeded"}
        exchange.answer(
            200, {"id": id, "name": name, "location": LOCATION, "properties": properties}
        )

    def _identity(self, exchange: Exchange, name: str, who: Identity) -> None:
        id = self._arm.build_id(IDENTITIES, name)
        require_permission(who, f"{IDENTITIES}/read", name, id)
        identity = self._region.directory.find_by_name(name)
        if identity is None:
            raise not_found_error(IDENTITIES, name, GROUP)
        properties = {"clientId": identity.client_id, "principalId": identity.object_id}
        exchange.answer(200, {"id": id, "name": name, "properties": properties})

    def _operation(self, exchange: Exchange, kind: str, id: str) -> None:
        operation = self._region.operations.get(id)
        if operation is None:
            raise ArmError(404, "NotFound", f"There is no operation {id}.")
        if kind == "Statuses":
            exchange.answer(200, self._region.document(operation))
        elif not operation.done.is_set():
            exchange.answer(202, b"", [("Location", self._url(kind, operation))])
        elif operation.error:
            raise operation.error
        else:
            exchange.answer(200, operation.app.document(self._region.directory.tenant))

    def _log(self, exchange: Exchange) -> None:
        match, app = LOG.fullmatch(exchange.path), self._tokens.get(exchange.bearer_token())
        if app is None:
            exchange.answer(401)
            return
        revision = app.revisions.get(match["name"]) if match else None
        parameters = {name: values[0] for name, values in exchange.query.items()}
        tail = int(parameters.pop("tailLines", "20"))
        if (
            revision is None
            or parameters != {"output": "text", "follow": "false"}
            or tail > MAX_LOG_LINES
        ):
            self.stream.unexpected.append(f"Apps, log: {exchange.target}")
            exchange.answer(400)
            return
        exchange.answer(200, _format_log(revision, tail).encode())

    def _url(self, kind: str, operation: Operation) -> str:
        location = f"{self._arm.server.url}{self._arm.build_location_id(PROVIDER)}"
        return f"{location}/containerappOperation{kind}/{operation.id}?api-version={VERSION}"


def _format_log(revision: Revision, tail: int) -> str:
    (container,) = revision.template["containers"]
    head = [
        f"Connecting to the container '{container['name']}'...",
        f"Successfully Connected to container: '{container['name']}' [Revision: '{revision.name}']",
    ]
    return "\n".join([*head, *revision.output().splitlines()[-tail:]]) + "\n"
