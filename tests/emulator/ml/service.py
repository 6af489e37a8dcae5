"""The provider Microsoft.MachineLearningServices: its workspaces, and what a region has.

Recorded (azure-ai-ml 1.35.2): which routes the SDK asks, with which version.
"""

from __future__ import annotations

import re

from tests.emulator.arm import GROUP, LOCATION, ResourceManager
from tests.emulator.arm_errors import RefusedError, not_found, unauthorized
from tests.emulator.exchange import Exchange
from tests.emulator.identities import SUBSCRIPTION_SCOPE, Identity
from tests.emulator.ml import bodies, catalogue
from tests.emulator.ml.operations import Operation
from tests.emulator.ml.resources import PROVIDER
from tests.emulator.ml.routes import Request
from tests.emulator.ml.workspace import CORES, Workspace

# Those that azure-ai-ml 1.35.2 sends, and the newest stable ones.
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


class MachineLearning:
    """The provider, with its workspaces."""

    def __init__(self, arm: ResourceManager) -> None:
        self._arm = arm
        self.workspaces: dict[str, Workspace] = {}

    def serves(self, path: str) -> bool:
        """Whether `path` is of this provider."""
        return bool(IN_WORKSPACE.fullmatch(path) or IN_LOCATION.fullmatch(path))

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer. Raises `RefusedError`."""
        version = self._arm.version(exchange, *VERSIONS)
        location, found = IN_LOCATION.fullmatch(path), IN_WORKSPACE.fullmatch(path)
        try:
            if location:
                self._location(exchange, location["rest"], who)
            elif found:
                workspace = self.workspaces.get(found["name"].lower())
                if workspace is None:
                    raise not_found(f"{PROVIDER}/workspaces", found["name"], GROUP)
                Request(self._arm, workspace, exchange, who, version).serve(found["rest"] or "")
        except bodies.UnknownError as error:
            text = f"ML: {exchange.method} {exchange.path}: {error}"
            self._arm.server.unexpected.append(text)
            raise RefusedError(400, "BadRequest", str(error)) from None

    def _location(self, exchange: Exchange, rest: str, who: Identity) -> None:
        what, _, name = rest.partition("/")
        if exchange.method != "GET":
            raise self._arm.unknown(exchange)
        if what in ("mfeOperationsStatus", "mfeOperationResults"):
            for workspace in self.workspaces.values():
                if operation := workspace.operations.find(name):
                    self._operation(exchange, workspace, operation, what)
                    return
            raise RefusedError(404, "NotFound", f"There is no operation {name}.")
        action = f"{PROVIDER}/locations/{what}/read"
        base = f"/subscriptions/{self._arm.subscription}"
        if not who.may(action, SUBSCRIPTION_SCOPE):
            raise unauthorized(who, action, base)
        used: dict[str, int] = {}
        limits = dict.fromkeys(catalogue.FAMILIES, CORES)
        for workspace in self.workspaces.values():
            for family, cores in workspace.used().items():
                used[family] = used.get(family, 0) + cores
            limits = {key: min(limits[key], value) for key, value in workspace.limits.items()}
        base += f"/providers/{PROVIDER}/locations/{LOCATION}"
        lists = {
            "usages": lambda: catalogue.usages(base, used, limits),
            "quotas": lambda: catalogue.quotas(base, limits),
            "vmSizes": lambda: [size.document() for size in catalogue.SIZES.values()],
        }
        if rest not in lists:
            raise self._arm.unknown(exchange)
        exchange.answer(200, {"value": lists[rest]()})

    def _operation(
        self, exchange: Exchange, workspace: Workspace, operation: Operation, what: str
    ) -> None:
        hurry = workspace.operations.hurry()
        if what == "mfeOperationsStatus":
            exchange.answer(200, operation.document(exchange.path), hurry)
        elif operation.done.is_set():
            exchange.answer(200 if not operation.error else 400, operation.document(exchange.path))
        else:
            again = ("Location", workspace.operations.url(operation, what))
            exchange.answer(202, None, [again, *hurry])
