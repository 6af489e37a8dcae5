"""A request about a resource in a workspace, and the response to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.arm import GROUP
from deploy.sandbox.arm_errors import ArmError, not_found_error
from deploy.sandbox.azureml.operations import Operation, OperationWork
from deploy.sandbox.azureml.resources import PROVIDER, Deployment, Endpoint
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.http_exchange import Headers
from deploy.sandbox.identities import Identity


@dataclass(frozen=True)
class Response:
    """A response to a request."""

    status: int
    content: Any = b""
    headers: Headers = ()


@dataclass(frozen=True)
class Request:
    """A request about a resource in a workspace; `names` are the names in its path."""

    workspace: Workspace
    who: Identity
    version: str
    names: Mapping[str, str]
    body: dict[str, Any]

    def endpoint(self) -> Endpoint:
        """Return the requested endpoint. Raise `ArmError` if there is none."""
        endpoint = self.find_endpoint()
        if endpoint is None:
            kind = f"{PROVIDER}/workspaces/{self.workspace.name}/onlineEndpoints"
            raise not_found_error(kind, self.names["endpoint"], GROUP)
        return endpoint

    def find_endpoint(self) -> Endpoint | None:
        """Return the requested endpoint, None if there is none."""
        return self.workspace.endpoints.get(self.names["endpoint"].lower())

    def deployment(self) -> Deployment:
        """Return the requested deployment. Raise `ArmError` if there is none."""
        endpoint, name = self.endpoint(), self.names["deployment"]
        deployment = endpoint.deployments.get(name)
        if deployment is None:
            kind = f"{PROVIDER}/workspaces/{self.workspace.name}/onlineEndpoints/{endpoint.name}"
            raise not_found_error(f"{kind}/deployments", name, GROUP)
        return deployment

    def begin(self, resource: Endpoint | Deployment, state: str, work: OperationWork) -> Operation:
        """Start an operation on a resource, whose state is `state` until it ends."""

        def end(error: ArmError | None) -> None:
            resource.state = "Deleted" if state == "Deleting" else "Succeeded"
            if error:
                resource.state = "Failed"

        operations = self.workspace.operations
        operation = operations.start(resource.kind, self.version, work, end)
        resource.begin(operation, operations.url(operation), state)
        return operation

    def write_response(
        self, status: int, resource: Endpoint | Deployment, operation: Operation
    ) -> Response:
        """Return the response that starts an operation on a resource that stays."""
        url = f"{self.workspace.arm.server.url}{resource.id}?api-version={self.version}"
        headers = self.workspace.operations.headers(operation, url)
        return Response(status, resource.document(), headers)

    def operation_response(self, operation: Operation) -> Response:
        """Return the response that starts any other operation."""
        return Response(202, None, self.workspace.operations.headers(operation, ""))
