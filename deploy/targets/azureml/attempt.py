"""One deploy on its way: what the world must look like before a write, and the single writes.

Whoever else writes there is noticed, and a write whose answer was lost may have been done or not.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace

from deploy import pausing
from deploy.arm.errors import Said
from deploy.errors import DeployError
from deploy.model import Image, Spec
from deploy.targets.azureml import decide, errors, naming, waiting, wanted
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.decide import Decision, Seen
from deploy.targets.azureml.state import Endpoint, World
from deploy.targets.azureml.writes import RefusedError, Writer

# How often a write is tried again that another operation came before.
ATTEMPTS = 4
AGAIN = (errors.CANCELED, errors.CONFLICT)
LINES = 20


class ChangedError(DeployError):
    """The world is not as it was when the plan was made. Nothing is taken back: it is not ours."""


class Attempt:
    """One deploy of one spec; `expected` is what the world must look like before a write."""

    def __init__(self, client: Client, spec: Spec, image: Image, decision: Decision) -> None:
        self.client, self.writer = client, Writer(spec)
        self.spec, self.image, self.decision = spec, image, decision
        self._by = client.arm.who()
        # As planned, and with our own writes. The last of them may have been done or not: then it
        # may look like either.
        self.expected: Seen = decision.seen
        self._possible: Seen | None = None

    def aim(self, endpoint: Endpoint) -> None:
        """Know what only an endpoint that is there tells: the client id of its identity."""
        aim = wanted.of(self.spec, self.image, endpoint)
        self.decision = replace(self.decision, wanted=aim)

    def look(self) -> World:
        """Look again, once nothing is under way. Raises `ChangedError` if somebody changed it."""
        world = self.client.look()
        if not decide.settled(world):
            waiting.until_settled(self.client)
            world = self.client.look()
        now = decide.seen(world.endpoint, world.versions)
        if now == self._possible:
            self.confirm()
        what = decide.changed(self.expected, now)
        if what:
            hint = f"`inv plan {self.spec.options}` shows what is there; then deploy again"
            raise ChangedError(self.client.where, f"somebody else changed it: {what}", hint)
        return world

    def intend(self, **changes: object) -> bool:
        """Know of a write of our own that comes now; whether one can see that it was done."""
        possible = replace(self.expected, **changes)  # type: ignore[arg-type]
        self._possible = possible if possible != self.expected else None
        return self._possible is not None

    def confirm(self) -> None:
        """Know that the write that was intended was done."""
        self.expected, self._possible = self._possible or self.expected, None

    @property
    def is_certain(self) -> bool:
        """Whether the last write is known to have been done."""
        return self._possible is None

    def versions(self, name: str, present: bool) -> tuple[tuple[str, str, str], ...]:
        """Return what is expected once we have made or removed the deployment `name`."""
        rest = [one for one in self.expected.versions if one[0] != name]
        aim = self.decision.wanted
        own = [(name, str(aim.image), aim.instance_type.lower())] if present else []
        return tuple(sorted([*rest, *own]))

    def tags(self) -> dict[str, str]:
        """Return the tags of a new deployment."""
        return naming.tags_of(self.spec, self.image, self._by, naming.now())

    @property
    def outcomes(self) -> list[Seen]:
        """How it may be: as expected, or with a write that nobody knows to have been done."""
        return [self.expected, *([self._possible] if self._possible else [])]

    def accept(self, write: Callable[[], None], **changes: object) -> None:
        """Do one write, by which what is seen `changes`; again where another operation came first.

        Where the answer was lost, what the service then calls a conflict may be the write itself:
        it is done if it shows. Raises `DeployError`.
        """
        shows = self.intend(**changes)
        for number in range(1, ATTEMPTS + 1):
            try:
                write()
                return
            except RefusedError as error:
                kind = errors.reason(error.said, self.about()).kind
                # Without a status nobody knows whether it was accepted; the same again is safe.
                lost = error.said.status == 0
                if number == ATTEMPTS or not (kind in AGAIN or lost):
                    raise self.explained(error.said, self.client.name) from None
            pausing.pause(6 * (self.client.arm.cloud.polling or waiting.POLLING))
            self.look()
            if shows and self.is_certain:
                return

    def remove(self, name: str) -> None:
        """Begin to remove a deployment. Raises `DeployError`."""
        write = functools.partial(self.writer.delete_deployment, name)
        self.accept(write, versions=self.versions(name, False))
        self.confirm()

    def explained(self, said: Said, what: str, lines: bool = False) -> DeployError:
        """Return the sentences for what Azure said, with the container's last lines if asked."""
        found = errors.reason(said, self.about())
        error = DeployError(f"Azure, {what}", found.what, found.hint)
        return self.with_lines(error) if lines else error

    def about(self) -> errors.About:
        """Return the names that sentences need."""
        endpoint = None
        with contextlib.suppress(DeployError):
            endpoint = self.client.endpoint()
        object_ids = ", ".join(endpoint.principals) if endpoint else ""
        who = f" (object {object_ids})" if object_ids else ""
        return errors.About(
            instance_type=self.decision.wanted.instance_type,
            registry=f"the registry {(self.spec.place.registry or '').partition('/')[0]}",
            identity=f"the endpoint's identity{who}",
            workspace=f"the workspace {self.spec.place.workspace}",
            options=self.spec.options,
        )

    def with_lines(self, error: DeployError) -> DeployError:
        """Add what the container said last, without secrets."""
        first = error.problems[0]
        try:
            lines = self.client.log(self.decision.name, LINES)
        except DeployError:
            return error
        text = "\n".join(lines).strip()
        for name in self.spec.secrets:
            value = self.spec.variables.get(name)
            text = text.replace(value, "***") if value else text
        if not text:
            return error
        return DeployError(first.where, f"{first.what}\n  its last lines:\n{text}", first.hint)
