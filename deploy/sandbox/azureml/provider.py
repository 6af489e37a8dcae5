"""The provider Microsoft.MachineLearningServices: routing to workspaces, and data of a region.

Recorded (azure-ai-ml 1.35.2): the routes that the SDK uses, and their API versions. Assumed: every
identity of the tenant may read an operation, whose name cannot be guessed.
"""

from __future__ import annotations

import re

from deploy.sandbox.arm import GROUP, LOCATION, ResourceManager
from deploy.sandbox.arm_errors import ArmError, not_found_error, require_permission
from deploy.sandbox.azureml import routes, vm_sizes
from deploy.sandbox.azureml.region import Region
from deploy.sandbox.azureml.resources import PROVIDER
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import SUBSCRIPTION_SCOPE, Identity

# The versions that azure-ai-ml 1.35.2 sends, and the newest stable ones.
VERSIONS = (
    "2022-02-01-preview",
    "2022-05-01",
    "2023-04-01-preview",
    "2023-08-01-preview",
    "2024-04-01",
    "2024-10-01",
    "2024-10-01-preview",
    "2025-12-01",
)
IN_WORKSPACE = re.compile(
    rf"/resourceGroups/{GROUP}/providers/{PROVIDER}/workspaces/(?P<name>[^/]+)(?P<rest>/.*)?"
)
IN_LOCATION = re.compile(rf"/providers/{PROVIDER}/locations/{LOCATION}/(?P<rest>.*)")

OPERATIONS = ("mfeOperationsStatus", "mfeOperationResults")


class MachineLearning:
    """The provider, with the workspaces of its region."""

    def __init__(self, arm: ResourceManager) -> None:
        self._arm = arm
        self.region = Region()

    def can_serve(self, path: str) -> bool:
        """Return whether `path` belongs to this provider."""
        return bool(IN_WORKSPACE.fullmatch(path) or IN_LOCATION.fullmatch(path))

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer the request of the identity `who`. Raise `ArmError` or `InvalidBodyError`."""
        version = self._arm.version(exchange, *VERSIONS)
        location_match, match = IN_LOCATION.fullmatch(path), IN_WORKSPACE.fullmatch(path)
        if location_match:
            self._serve_location(exchange, location_match["rest"], who)
        elif match:
            workspace = self.region.workspaces.get(match["name"].lower())
            if workspace is None:
                raise not_found_error(f"{PROVIDER}/workspaces", match["name"], GROUP)
            routes.serve(self._arm, workspace, exchange, who, version, match["rest"] or "")

    def _serve_location(self, exchange: Exchange, rest: str, who: Identity) -> None:
        collection, _, name = rest.partition("/")
        region = self._arm.build_location_id(PROVIDER)
        lists = {
            "usages": lambda: vm_sizes.list_usages(
                region, self.region.count_used_cores(), self.region.limits
            ),
            "quotas": lambda: vm_sizes.list_quotas(region, self.region.limits),
            "vmSizes": lambda: [size.document() for size in vm_sizes.SIZES.values()],
        }
        if exchange.method == "GET" and collection in OPERATIONS:
            self._operation(exchange, collection, name)
        elif exchange.method == "GET" and rest in lists:
            action = f"{PROVIDER}/locations/{collection}/read"
            subscription = f"/subscriptions/{self._arm.subscription}"
            require_permission(who, action, SUBSCRIPTION_SCOPE, subscription)
            exchange.answer(200, {"value": lists[rest]()})
        else:
            raise self._arm.record_unknown_request(exchange)

    def _operation(self, exchange: Exchange, kind: str, name: str) -> None:
        for workspace in self.region.workspaces.values():
            operation = workspace.operations.find(name)
            if operation:
                break
        else:
            raise ArmError(404, "NotFound", f"There is no operation {name}.")
        status = workspace.operations.poll(operation, exchange.path)
        retry_headers = workspace.operations.retry_headers()
        if kind == "mfeOperationsStatus":
            exchange.answer(200, status, retry_headers)
        elif "endTime" in status:
            exchange.answer(400 if "error" in status else 200, status)
        else:
            location_header = ("Location", workspace.operations.url(operation, kind))
            exchange.answer(202, None, [location_header, *retry_headers])
