"""The slot and production change places: forward in a deploy, back in a rollback.

Source: "Set up staging environments in Azure App Service", "What happens during a swap": the slot
is started anew with production's own settings first, and if that fails all stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable

from deploy import console
from deploy.errors import DeployError
from deploy.model import Spec
from deploy.targets.appservice import errors
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.state import Site
from deploy.targets.appservice.warming import Say
from deploy.targets.appservice.writes import RefusedError, Writer, end_of

# Seconds within which production must be what was on the slot: it runs already.
AFTER_SWAP = 60.0


class Swap:
    """One swap: `before` is what production runs, `coming` what the slot runs."""

    def __init__(
        self, client: Client, writer: Writer, spec: Spec, before: Site, coming: Site
    ) -> None:
        self._client, self._writer, self._spec = client, writer, spec
        self._slot, self._before, self._coming = coming.name, before, coming

    def run(self, verify: Callable[[Say], None]) -> None:
        """Swap, and swap back if `verify` is not content with production. Raises `DeployError`."""
        with console.phase("swap", f"{self._slot} and production of {self._client.name}") as shown:
            self._exchange()
            try:
                verify(shown.now)
            except DeployError as error:
                self._return(error)
                raise

    def _exchange(self) -> None:
        """Swap once. Raises `DeployError` where production is not what it should be afterwards."""
        try:
            end_of(self._writer.swap(self._slot))
            return
        except RefusedError as error:
            said = error.said
        found = self._client.look().production
        if _runs(found, self._coming):
            # An answer was lost, or what failed came after it.
            console.note("swap", "Azure says that it failed, and production has the new version")
            return
        if not _runs(found, self._before):
            put_back(self._writer, self._before)
        raise errors.refused(self._spec, said, "swap")

    def _return(self, error: DeployError) -> None:
        """Swap back, since production with the new version is not as it should be."""
        console.note("swap", f"back, since {error.problems[0].what.splitlines()[0]}")
        try:
            end_of(self._writer.swap(self._slot))
        except RefusedError as second:
            console.note("swap", f"that did not work ({second}); `inv rollback` tries again")


def put_back(writer: Writer, before: Site) -> None:
    """Let production run what it ran before. What goes wrong is told: it is the second failure."""
    web = {name: before.web.get(name) or "" for name in ("linuxFxVersion", "healthCheckPath")}
    try:
        writer.settings(before.name, before.settings)
        writer.web(before.name, web)
    except RefusedError as error:
        console.note("production", f"putting it back did not work ({error}); `inv status` shows it")


def _runs(site: Site, other: Site) -> bool:
    """Whether a site has the image and the record of another."""
    return (site.image, site.record) == (other.image, other.record)
