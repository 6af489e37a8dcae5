"""Roll back: with a slot by a swap, as it keeps the previous version; in place by digest."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace

from deploy.core import interrupts, progress
from deploy.core.entities import Spec
from deploy.core.errors import DeployError
from deploy.targets.appservice import authentication, errors, state
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.mutations import Writer, WriteRejected
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.readiness import (
    UNAUTHORIZED_STATUS,
    ReadinessCheck,
    fetch_version,
    parse_digest,
)
from deploy.targets.appservice.rollout import utc_timestamp
from deploy.targets.appservice.settings import settings_of
from deploy.targets.appservice.slot_swap import SWAP_TIMEOUT_SECONDS, Swap, restore_site
from deploy.targets.appservice.state import ObservedState, Site

EARLIER_COMMIT_HINT = "check the earlier commit out, then `inv deploy`"


def roll_back(client: Client, spec: Spec, headers: Mapping[str, str]) -> None:
    """Restore the previous version. Raise `DeployError`."""
    observed = client.read_state()
    if observed.slot:
        _roll_back_by_swap(client, spec, observed, observed.slot, headers)
    else:
        _roll_back_in_place(client, spec, observed.production, headers)


def _roll_back_by_swap(
    client: Client, spec: Spec, observed: ObservedState, slot: Site, headers: Mapping[str, str]
) -> None:
    record, now_serving = slot.record, observed.production.record
    if record is None or now_serving is None or not record.is_managed_by(spec):
        raise _no_previous_version(client, f"the slot {slot.name} holds no earlier version")
    if record.id != now_serving.previous:
        # The slot has a version that a failed deployment left, or that a rollback replaced.
        message = f"the slot {slot.name} holds {record.tag}, which is not what served before"
        raise DeployError(client.where, message, EARLIER_COMMIT_HINT)
    slot_auth, desired_auth = (
        authentication.auth_mode(slot.auth, slot.settings),
        settings_of(spec).auth,
    )
    if slot_auth != desired_auth:
        message = (
            f"the earlier version lets callers in by {slot_auth}, and deploy.yaml says "
            f"{desired_auth}"
        )
        raise DeployError(client.where, message, EARLIER_COMMIT_HINT)
    writer = Writer(spec)
    readiness = ReadinessCheck(client, spec, slot, parse_digest(slot.image))
    if slot.state == state.STOPPED:
        _submit(spec, lambda: writer.start(slot.name))
    elif fetch_version(slot.url, headers).startswith(UNAUTHORIZED_STATUS):
        # The version uses an earlier key: only a change makes the service read the vault again.
        updated_record = replace(record, at=utc_timestamp())
        _submit(
            spec,
            lambda: writer.write_settings(slot.name, {**slot.settings, **updated_record.settings}),
        )
        slot = replace(slot, settings={**slot.settings, **updated_record.settings})
    with progress.phase("warm-up", f"{state.describe_site(spec, slot)}: {record.tag}") as phase:
        readiness.wait(record, headers, phase.update)
    production = ReadinessCheck(client, spec, observed.production, "")
    Swap(client, writer, spec, observed.production, slot).run(
        lambda report: production.wait(record, headers, report, SWAP_TIMEOUT_SECONDS)
    )


def _roll_back_in_place(client: Client, spec: Spec, site: Site, headers: Mapping[str, str]) -> None:
    record = site.record
    if record is None or not record.is_managed_by(spec) or not record.before:
        raise _no_previous_version(client, "no earlier version is known")
    writer = Writer(spec)
    readiness = ReadinessCheck(client, spec, site, parse_digest(record.before))
    previous_record = replace(
        record,
        tag=record.before_tag,
        id=f"{record.before_tag[:12]}-{secrets.token_hex(4)}",
        digest=record.before.partition("@")[2],
        commit="",
        by=client.arm.get_principal_name(),
        at=utc_timestamp(),
        before=site.image,
        before_tag=record.tag,
    )
    settings = {**site.settings, **previous_record.settings}
    with progress.phase("production", f"back to {record.before_tag}, in place") as phase:
        try:
            _submit(spec, lambda: writer.write_settings(PRODUCTION, settings))
            _submit(
                spec,
                lambda: writer.update_configuration(PRODUCTION, {"linuxFxVersion": record.before}),
            )
            readiness.wait(previous_record, headers, phase.update)
        except BaseException:
            with interrupts.uninterruptible(), contextlib.suppress(WriteRejected):
                restore_site(writer, site)
            raise


def _submit(spec: Spec, write: Callable[[], None]) -> None:
    try:
        write()
    except WriteRejected as error:
        raise errors.to_deploy_error(spec, error.azure_error, "rollback") from None


def _no_previous_version(client: Client, reason: str) -> DeployError:
    return DeployError(client.where, f"{reason} to go back to", EARLIER_COMMIT_HINT)
