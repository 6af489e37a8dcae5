"""The provider Microsoft.MachineLearningServices: its workspaces, and what a region has.

Recorded (azure-ai-ml 1.35.2): which routes the SDK asks, with which version. Assumed: whoever is known
to the tenant may look at an operation, whose name nobody can guess.
"""

from __future__ import annotations

import re

from tests.emulator.arm import GROUP, LOCATION, ResourceManager
from tests.emulator.arm_errors import RefusedError, not_found, unauthorized
from tests.emulator.bodies import UnknownError
from tests.emulator.exchange import Exchange
from tests.emulator.identities import SUBSCRIPTION_SCOPE, Identity
from tests.emulator.ml import catalogue, routes
from tests.emulator.ml.region import Region
from tests.emulator.ml.resources import PROVIDER

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

OPERATIONS = ("mfeOperationsStatus", "mfeOperationResults")


class MachineLearning:
    """The provider, with the workspaces of its region."""

    def __init__(self, arm: ResourceManager) -> None:
        self._arm = arm
        self.region = Region()

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
                workspace = self.region.workspaces.get(found["name"].lower())
                if workspace is None:
                    raise not_found(f"{PROVIDER}/workspaces", found["name"], GROUP)
                routes.serve(self._arm, workspace, exchange, who, version, found["rest"] or "")
        except UnknownError as error:
            text = f"ML: {exchange.method} {exchange.path}: {error}"
            self._arm.server.unexpected.append(text)
            raise RefusedError(400, "BadRequest", str(error)) from None

    def _location(self, exchange: Exchange, rest: str, who: Identity) -> None:
        what, _, name = rest.partition("/")
        base = f"/subscriptions/{self._arm.subscription}"
        region = f"{base}/providers/{PROVIDER}/locations/{LOCATION}"
        lists = {
            "usages": lambda: self.region.usages(region),
            "quotas": lambda: self.region.quotas(region),
            "vmSizes": lambda: [size.document() for size in catalogue.SIZES.values()],
        }
        if exchange.method == "GET" and what in OPERATIONS:
            self._operation(exchange, what, name)
        elif exchange.method == "GET" and rest in lists:
            action = f"{PROVIDER}/locations/{what}/read"
            if not who.may(action, SUBSCRIPTION_SCOPE):
                raise unauthorized(who, action, base)
            exchange.answer(200, {"value": lists[rest]()})
        else:
            raise self._arm.unknown(exchange)

    def _operation(self, exchange: Exchange, what: str, name: str) -> None:
        for workspace in self.region.workspaces.values():
            operation = workspace.operations.find(name)
            if operation:
                break
        else:
            raise RefusedError(404, "NotFound", f"There is no operation {name}.")
        status = workspace.operations.look(operation, exchange.path)
        hurry = workspace.operations.hurry()
        if what == "mfeOperationsStatus":
            exchange.answer(200, status, hurry)
        elif "endTime" in status:
            exchange.answer(400 if "error" in status else 200, status)
        else:
            again = ("Location", workspace.operations.url(operation, what))
            exchange.answer(202, None, [again, *hurry])
