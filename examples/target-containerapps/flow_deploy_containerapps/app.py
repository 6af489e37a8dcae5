"""One container app: what there is of it, and the requests that change it.

REST API of Container Apps; "Traffic splitting", "Manage secrets", "Health probes", "Log streaming".
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from deploy import cloud, wire
from deploy.arm import variables
from deploy.arm.client import ResourceManager
from deploy.errors import DeployError
from deploy.model import Image, Spec
from deploy.runtime.access import KEY
from deploy.runtime.settings import DEPLOYMENT
from deploy.targets.side_by_side import Version, World

API, IDENTITY_API = "2024-03-01", "2024-11-30"
COMMIT = "FLOW_COMMIT"


class App:
    """The container app of a spec, where versions are revisions."""

    def __init__(self, spec: Spec) -> None:
        place = spec.place
        self._spec, self.where = spec, f"container app {spec.settings.app}"
        self._arm = ResourceManager(cloud.chosen(place.cloud))
        self.pause = self._arm.cloud.polling or 2.0
        group = f"/subscriptions/{place.subscription}/resourceGroups/{place.resource_group}"
        self._path = f"{group}/providers/Microsoft.App/containerApps/{spec.settings.app}"
        self._tags = {"flow": spec.flow.name, "environment": spec.environment}

    def look(self) -> World:
        app = self._app()
        if not app:
            return World("", ())
        # The rule of a new app is for the latest revision: what is not proved is never named.
        ingress = app["configuration"].get("ingress") or {}
        rules = {one.get("revisionName"): one["weight"] for one in ingress.get("traffic") or ()}
        found = self._arm.every(f"{self._path}/revisions", API)
        active = [_version(one, rules) for one in found if one["properties"]["active"]]
        return World(f"https://{ingress.get('fqdn')}", active)

    def name_of(self, image: Image) -> str:
        text = json.dumps(self._wanted(image), sort_keys=True).replace(image.pinned, "")
        return f"{self._spec.settings.app}--r{image.tag}-{_short(text)}"

    def start(self, name: str, image: Image) -> None:
        wanted, place, app = self._wanted(image), self._spec.place, self._app()
        configuration, template = wanted["configuration"], wanted["template"]
        template["revisionSuffix"] = suffix = name.partition("--")[2]
        told = {DEPLOYMENT: suffix, COMMIT: image.commit}
        template["containers"][0]["env"] += [{"name": n, "value": text} for n, text in told.items()]
        identity = {"type": "UserAssigned", "userAssignedIdentities": {place.identity: {}}}
        body = {"tags": self._tags, "identity": identity, "properties": wanted}
        if app:
            # What earlier revisions refer to stays.
            known = {one["name"] for one in configuration["secrets"]}
            present = app["configuration"].get("secrets") or ()
            configuration["secrets"] += [one for one in present if one["name"] not in known]
        else:
            wanted["environmentId"] = place.managed_environment
            configuration["ingress"]["traffic"] = [{"latestRevision": True, "weight": 100}]
            body["location"] = self._arm.need(place.managed_environment, API)["location"]
        self._arm.change("PATCH" if app else "PUT", self._path, API, body)

    def serve(self, name: str, before: str) -> None:
        rules = [{"revisionName": name, "weight": 100}, {"revisionName": before, "weight": 0}]
        ingress = {"traffic": rules if before else rules[:1]}
        body = {"properties": {"configuration": {"ingress": ingress}}}
        self._arm.change("PATCH", self._path, API, body)

    def stop(self, name: str) -> None:
        self._arm.post(f"{self._path}/revisions/{name}/deactivate", API)

    def log(self, name: str, tail: int) -> list[str]:
        for replica in self._arm.every(f"{self._path}/revisions/{name}/replicas", API):
            given = self._arm.post(f"{self._path}/getAuthToken", API).json()["properties"]["token"]
            url = replica["properties"]["containers"][0]["logStreamEndpoint"]
            query = {"output": "text", "follow": "false", "tailLines": str(tail)}
            sent: Any = {"headers": {"Authorization": f"Bearer {given}"}, "params": query}
            return wire.send(wire.session(), "GET", url, self.where, **sent).text.splitlines()
        return []

    def remove(self) -> bool:
        if there := bool(self._app()):
            self._arm.change("DELETE", self._path, API)
        return there

    def _app(self) -> dict[str, Any]:
        """Return the app's properties, none where it is not there."""
        found = self._arm.get(self._path, API) or {"properties": {}, "tags": self._tags}
        if not self._tags.items() <= (found.get("tags") or {}).items():
            raise DeployError(self.where, f"it is not of {self._spec.name}", "set another `app`")
        properties: dict[str, Any] = found["properties"]
        return properties

    def _wanted(self, image: Image) -> dict[str, Any]:
        settings, place = self._spec.settings, self._spec.place
        client = self._arm.need(place.identity, IDENTITY_API)["properties"]["clientId"]
        plain, references = variables.plain(self._spec), variables.references(self._spec)
        texts = {"AZURE_CLIENT_ID": client, "SERVE_SECRETS": ",".join(sorted(references)), **plain}
        env, secrets = [{"name": name, "value": text} for name, text in sorted(texts.items())], []
        for name, url in sorted(references.items()):
            env.append({"name": name, "secretRef": f"vault-{_short(url)}"})
            secret = {"name": f"vault-{_short(url)}", "keyVaultUrl": url}
            secrets.append({**secret, "identity": place.identity})
        server = str(place.registry).partition("/")[0]
        configuration = {
            "activeRevisionsMode": "Multiple",
            "ingress": {"external": True, "targetPort": 8080},
            "registries": [{"server": server, "identity": place.identity}],
            "secrets": secrets,
        }
        size = {"cpu": settings.cpu, "memory": f"{settings.cpu * 2:g}Gi"}
        ready = {"type": "Readiness", "httpGet": {"path": "/health", "port": 8080}}
        flow = {"name": "flow", "image": image.pinned, "resources": size, "probes": [ready]}
        scale = {"minReplicas": settings.replicas, "maxReplicas": settings.replicas}
        template = {"containers": [{**flow, "env": env}], "scale": scale}
        return {"configuration": configuration, "template": template}


def _version(data: dict[str, Any], rules: dict[str, int]) -> Version:
    name, has = data["name"], data["properties"]
    container = has["template"]["containers"][0]
    values = {one["name"]: one.get("value", "") for one in container.get("env") or ()}
    deployment = values.get(DEPLOYMENT, "")
    repository, _, digest = container["image"].partition("@")
    tag, commit = deployment.partition("-")[0][1:], values.get(COMMIT, "")
    image = Image(repository, tag, container["image"], "", "", commit, digest)
    auth, url = "key" if KEY in values else "public", f"https://{has['fqdn']}"
    return Version(name, deployment, url, image, auth, has["createdTime"], rules.get(name))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
