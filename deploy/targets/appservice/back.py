"""The way back: a swap with the slot, which keeps the version before; in place its digest."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace

from deploy import console, pausing
from deploy.errors import DeployError
from deploy.model import Spec
from deploy.targets.appservice import access, errors, state
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.rollout import now
from deploy.targets.appservice.settings import settings_of
from deploy.targets.appservice.state import Site, World
from deploy.targets.appservice.swapping import AFTER_SWAP, Swap, put_back
from deploy.targets.appservice.warming import UNAUTHORIZED, Warming, asked, digest_of
from deploy.targets.appservice.writes import RefusedError, Writer

EARLIER = "check the earlier commit out, then `inv deploy`"


def roll_back(client: Client, spec: Spec, headers: Mapping[str, str]) -> None:
    """Let the version that served before serve again. Raises `DeployError`."""
    world = client.look()
    if world.slot:
        _swap(client, spec, world, world.slot, headers)
    else:
        _in_place(client, spec, world.production, headers)


def _swap(client: Client, spec: Spec, world: World, slot: Site, headers: Mapping[str, str]) -> None:
    found, now_serving = slot.record, world.production.record
    if found is None or now_serving is None or not found.of(spec):
        raise _nothing(client, f"the slot {slot.name} holds no earlier version")
    if found.id != now_serving.previous:
        # A deploy that failed leaves there what never served; a rollback what it took back.
        what = f"the slot {slot.name} holds {found.tag}, which is not what served before"
        raise DeployError(client.where, what, EARLIER)
    before, wanted = access.shown(slot.auth, slot.settings), settings_of(spec).auth
    if before != wanted:
        what = f"the earlier version lets callers in by {before}, and deploy.yaml says {wanted}"
        raise DeployError(client.where, what, EARLIER)
    writer = Writer(spec)
    warming = Warming(client, spec, slot, digest_of(slot.image))
    if slot.state == state.STOPPED:
        _do(spec, lambda: writer.start(slot.name))
    elif asked(slot.url, headers).startswith(UNAUTHORIZED):
        # Its key is an earlier one: only a change makes the service read the vault again.
        again = replace(found, at=now())
        _do(spec, lambda: writer.settings(slot.name, {**slot.settings, **again.settings}))
        slot = replace(slot, settings={**slot.settings, **again.settings})
    with console.phase("warm-up", f"{state.where(spec, slot)}: {found.tag}") as shown:
        warming.until(found, headers, shown.now)
    production = Warming(client, spec, world.production, "")
    Swap(client, writer, spec, world.production, slot).run(
        lambda say: production.until(found, headers, say, AFTER_SWAP)
    )


def _in_place(client: Client, spec: Spec, site: Site, headers: Mapping[str, str]) -> None:
    found = site.record
    if found is None or not found.of(spec) or not found.before:
        raise _nothing(client, "no earlier version is known")
    writer = Writer(spec)
    warming = Warming(client, spec, site, digest_of(found.before))
    back = replace(
        found,
        tag=found.before_tag,
        id=f"{found.before_tag[:12]}-{secrets.token_hex(4)}",
        digest=found.before.partition("@")[2],
        commit="",
        by=client.arm.who(),
        at=now(),
        before=site.image,
        before_tag=found.tag,
    )
    settings = {**site.settings, **back.settings}
    with console.phase("production", f"back to {found.before_tag}, in place") as shown:
        try:
            _do(spec, lambda: writer.settings(PRODUCTION, settings))
            _do(spec, lambda: writer.web(PRODUCTION, {"linuxFxVersion": found.before}))
            warming.until(back, headers, shown.now)
        except BaseException:
            with pausing.putting_right(), contextlib.suppress(RefusedError):
                put_back(writer, site)
            raise


def _do(spec: Spec, write: Callable[[], None]) -> None:
    try:
        write()
    except RefusedError as error:
        raise errors.refused(spec, error.said, "rollback") from None


def _nothing(client: Client, what: str) -> DeployError:
    return DeployError(client.where, f"{what} to go back to", EARLIER)
