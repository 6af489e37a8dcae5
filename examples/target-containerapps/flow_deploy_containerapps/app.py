"""A container app: its observed state, and the requests that change it.

Sources: REST API of Container Apps; "Traffic splitting", "Manage secrets", "Health probes", "Log
streaming".
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from deploy.azure import clouds, container_variables
from deploy.azure.resource_manager import ResourceManager
from deploy.core import http_requests
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.server.auth import KEY_VARIABLE
from deploy.server.settings import DEPLOYMENT_VARIABLE
from deploy.targets.blue_green.platform import ObservedState, Version
from flow_deploy_containerapps.settings import AppSpec

API, IDENTITY_API = "2024-03-01", "2024-11-30"
COMMIT_VARIABLE = "FLOW_COMMIT"
# "Log streaming".
MAX_LOG_LINES = 300


class ContainerApp:
    """The container app of a spec; its versions are revisions."""

    def __init__(self, spec: AppSpec) -> None:
        place = spec.place
        self._spec, self.where = spec, f"container app {spec.settings.app}"
        self._arm = ResourceManager(clouds.resolve_cloud(place.cloud))
        self.poll_seconds = self._arm.cloud.polling_interval or 2.0
        group = f"/subscriptions/{place.subscription}/resourceGroups/{place.resource_group}"
        self._path = f"{group}/providers/Microsoft.App/containerApps/{spec.settings.app}"
        self._tags = {"flow": spec.flow.name, "environment": spec.environment}

    def read_state(self) -> ObservedState:
        app = self._read_app()
        if not app:
            return ObservedState("", ())
        # The traffic rule of a new app selects the latest revision without naming it. A rule never
        # names an unverified revision.
        ingress = app["configuration"].get("ingress") or {}
        rules = {item.get("revisionName"): item["weight"] for item in ingress.get("traffic") or ()}
        revisions = self._arm.list_all(f"{self._path}/revisions", API)
        active = [_parse_version(item, rules) for item in revisions if item["properties"]["active"]]
        return ObservedState(f"https://{ingress.get('fqdn')}", active)

    def version_prefix(self, image: Image) -> str:
        text = json.dumps(self._desired_app(image), sort_keys=True).replace(image.pinned, "")
        return f"{self._spec.settings.app}--r{image.tag}-{_short_hash(text)}"

    def start(self, name: str, image: Image) -> None:
        desired, place, app = self._desired_app(image), self._spec.place, self._read_app()
        configuration, template = desired["configuration"], desired["template"]
        template["revisionSuffix"] = suffix = name.partition("--")[2]
        variables = {DEPLOYMENT_VARIABLE: suffix, COMMIT_VARIABLE: image.commit}
        template["containers"][0]["env"] += [
            {"name": n, "value": value} for n, value in variables.items()
        ]
        identity = {"type": "UserAssigned", "userAssignedIdentities": {place.identity: {}}}
        body = {"tags": self._tags, "identity": identity, "properties": desired}
        if app:
            # Keep the secrets that earlier revisions refer to.
            secret_names = {secret["name"] for secret in configuration["secrets"]}
            existing_secrets = app["configuration"].get("secrets") or ()
            configuration["secrets"] += [
                secret for secret in existing_secrets if secret["name"] not in secret_names
            ]
        else:
            desired["environmentId"] = place.managed_environment
            configuration["ingress"]["traffic"] = [{"latestRevision": True, "weight": 100}]
            body["location"] = self._arm.require(place.managed_environment, API)["location"]
        self._arm.write_and_wait("PATCH" if app else "PUT", self._path, API, body)

    def switch_traffic(self, name: str, before: str) -> None:
        rules = [{"revisionName": name, "weight": 100}, {"revisionName": before, "weight": 0}]
        ingress = {"traffic": rules if before else rules[:1]}
        body = {"properties": {"configuration": {"ingress": ingress}}}
        self._arm.write_and_wait("PATCH", self._path, API, body)

    def exit_reason(self, name: str) -> str:
        return ""  # `start` waits for the revision, and the platform restarts it

    def stop(self, name: str) -> None:
        self._arm.post(f"{self._path}/revisions/{name}/deactivate", API)

    def read_log(self, name: str, tail: int) -> list[str]:
        for replica in self._arm.list_all(f"{self._path}/revisions/{name}/replicas", API):
            token = self._arm.post(f"{self._path}/getAuthToken", API).json()["properties"]["token"]
            url = replica["properties"]["containers"][0]["logStreamEndpoint"]
            lines = str(min(tail, MAX_LOG_LINES))
            query = {"output": "text", "follow": "false", "tailLines": lines}
            options: Any = {"headers": {"Authorization": f"Bearer {token}"}, "params": query}
            return http_requests.send(
                http_requests.new_session(), "GET", url, self.where, **options
            ).text.splitlines()
        return []

    def remove(self) -> bool:
        if exists := bool(self._read_app()):
            self._arm.write_and_wait("DELETE", self._path, API)
        return exists

    def _read_app(self) -> dict[str, Any]:
        """Return the app's properties; empty if the app does not exist.

        Raise `DeployError` if the app belongs to another flow or environment.
        """
        app = self._arm.get(self._path, API) or {"properties": {}, "tags": self._tags}
        if not self._tags.items() <= (app.get("tags") or {}).items():
            raise DeployError(self.where, f"it is not of {self._spec.name}", "set another `app`")
        properties: dict[str, Any] = app["properties"]
        return properties

    def _desired_app(self, image: Image) -> dict[str, Any]:
        settings, place = self._spec.settings, self._spec.place
        server = str(place.registry).partition("/")[0]
        configuration = {
            "activeRevisionsMode": "Multiple",
            "ingress": {"external": True, "targetPort": 8080},
            "registries": [{"server": server, "identity": place.identity}],
            "secrets": self._secrets(),
        }
        container = {
            "name": "flow",
            "image": image.pinned,
            "resources": {"cpu": settings.cpu, "memory": f"{settings.cpu * 2:g}Gi"},
            "probes": [{"type": "Readiness", "httpGet": {"path": "/health", "port": 8080}}],
            "env": self._variables(),
        }
        scale = {"minReplicas": settings.replicas, "maxReplicas": settings.replicas}
        return {
            "configuration": configuration,
            "template": {"containers": [container], "scale": scale},
        }

    def _secrets(self) -> list[dict[str, str]]:
        """Return the app's secrets, each a reference to a secret of the vault."""
        references = container_variables.collect_references(self._spec)
        identity = self._spec.place.identity
        return [
            {"name": _secret_name(url), "keyVaultUrl": url, "identity": identity}
            for _, url in sorted(references.items())
        ]

    def _variables(self) -> list[dict[str, str]]:
        """Return the container's variables: plain values, and references to secrets."""
        references = container_variables.collect_references(self._spec)
        identity = self._arm.require(self._spec.place.identity, IDENTITY_API)
        plain = {
            "AZURE_CLIENT_ID": identity["properties"]["clientId"],
            "SERVE_SECRETS": ",".join(sorted(references)),
            **container_variables.collect_plain(self._spec),
        }
        return [
            *({"name": name, "value": text} for name, text in sorted(plain.items())),
            *(
                {"name": name, "secretRef": _secret_name(url)}
                for name, url in sorted(references.items())
            ),
        ]


def _parse_version(data: dict[str, Any], rules: dict[str, int]) -> Version:
    name, properties = data["name"], data["properties"]
    container = properties["template"]["containers"][0]
    variables = {item["name"]: item.get("value", "") for item in container.get("env") or ()}
    deployment = variables.get(DEPLOYMENT_VARIABLE, "")
    repository, _, digest = container["image"].partition("@")
    image = Image(
        repository=repository,
        tag=deployment.partition("-")[0][1:],
        id=container["image"],
        platform="",
        base="",
        commit=variables.get(COMMIT_VARIABLE, ""),
        digest=digest,
    )
    return Version(
        name=name,
        deployment=deployment,
        url=f"https://{properties['fqdn']}",
        image=image,
        auth="key" if KEY_VARIABLE in variables else "public",
        created=properties["createdTime"],
        percent=rules.get(name),
    )


def _secret_name(url: str) -> str:
    return f"vault-{_short_hash(url)}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
