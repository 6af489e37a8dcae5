"""Roll back: with a slot by a swap, as it keeps the previous version; in place by digest."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from deploy.azure import writes
from deploy.azure.writes import WriteRejected
from deploy.core import interrupts, progress
from deploy.core.errors import DeployError
from deploy.targets import log_tail
from deploy.targets.appservice import authentication, errors, state
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.naming import PRODUCTION, DeploymentRecord
from deploy.targets.appservice.readiness import (
    UNAUTHORIZED_STATUS,
    ReadinessCheck,
    fetch_version,
    parse_digest,
)
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.slot_swap import SWAP_TIMEOUT_SECONDS, Swap, restore_site
from deploy.targets.appservice.state import ObservedState, Site
from deploy.targets.appservice.writer import Writer
from deploy.targets.rollout import ERROR_LOG_LINES, utc_timestamp


def roll_back(client: Client, spec: SiteSpec, headers: Mapping[str, str]) -> None:
    """Restore the previous version. Raise `DeployError`."""
    observed = client.read_state()
    if observed.slot:
        _roll_back_by_swap(client, spec, observed, observed.slot, headers)
    else:
        _roll_back_in_place(client, spec, observed.production, headers)


def _roll_back_by_swap(
    client: Client,
    spec: SiteSpec,
    observed: ObservedState,
    slot: Site,
    headers: Mapping[str, str],
) -> None:
    record = _previous_record(client, spec, observed, slot)
    writer = Writer(spec)
    readiness = ReadinessCheck(client, spec, slot, parse_digest(slot.image))
    if slot.state == state.STOPPED:
        _write(spec, lambda: writer.start(slot.name))
    elif fetch_version(slot.url, headers).startswith(UNAUTHORIZED_STATUS):
        # The version uses an earlier key: only a change makes the service read the vault again.
        updated_record = replace(record, at=utc_timestamp())
        settings = {**slot.settings, **updated_record.settings}
        _write(spec, lambda: writer.write_settings(slot.name, settings))
        slot = replace(slot, settings=settings)
    with (
        progress.phase("warm-up", f"{state.describe_site(spec, slot)}: {record.tag}") as phase,
        _log_lines_on_failure(spec, readiness, headers),
    ):
        readiness.wait(record, headers, phase.update)
    production = ReadinessCheck(client, spec, observed.production, "")
    Swap(client, writer, spec, observed.production, slot).run(
        lambda report: production.wait(record, headers, report, SWAP_TIMEOUT_SECONDS)
    )


def _previous_record(
    client: Client, spec: SiteSpec, observed: ObservedState, slot: Site
) -> DeploymentRecord:
    """Return the record of the previous version, which the slot keeps. Raise `DeployError`."""
    record, serving = slot.record, observed.production.record
    if record is None or serving is None or not record.is_managed_by(spec):
        message = f"the slot {slot.name} has no previous version"
        raise _no_previous_version(client, spec, message)
    if record.id != serving.previous:
        # The slot has a version that a failed deployment left, or that a rollback replaced.
        message = f"the slot {slot.name} has {record.tag}, which is not the previous version"
        raise _no_previous_version(client, spec, message)
    slot_auth = authentication.auth_mode(slot.auth, slot.settings)
    if slot_auth != spec.settings.auth:
        message = (
            f"the previous version uses `auth: {slot_auth}`, but deploy.yaml says "
            f"`auth: {spec.settings.auth}`"
        )
        raise _no_previous_version(client, spec, message)
    return record


def _roll_back_in_place(
    client: Client, spec: SiteSpec, site: Site, headers: Mapping[str, str]
) -> None:
    record = site.record
    if record is None or not record.is_managed_by(spec) or not record.before:
        raise _no_previous_version(client, spec, "no previous version is known")
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
    image = {"linuxFxVersion": record.before}
    with progress.phase("production", f"back to {record.before_tag}, in place") as phase:
        try:
            _write(spec, lambda: writer.write_settings(PRODUCTION, settings))
            _write(spec, lambda: writer.update_configuration(PRODUCTION, image))
            with _log_lines_on_failure(spec, readiness, headers):
                readiness.wait(previous_record, headers, phase.update)
        except BaseException:
            with interrupts.uninterruptible(), contextlib.suppress(WriteRejected):
                restore_site(writer, site)
            raise


def _write(spec: SiteSpec, action: Callable[[], None]) -> None:
    with writes.explained(lambda error: errors.to_deploy_error(spec, error, "rollback")):
        action()


@contextlib.contextmanager
def _log_lines_on_failure(
    spec: SiteSpec, readiness: ReadinessCheck, headers: Mapping[str, str]
) -> Iterator[None]:
    """Add the container's last log lines, secrets masked, to a `DeployError` in the block."""
    try:
        yield
    except DeployError as error:
        lines = readiness.new_lines()[-ERROR_LOG_LINES:]
        raise error.with_lines(log_tail.mask_secrets(spec, lines, headers)) from None


def _no_previous_version(client: Client, spec: SiteSpec, reason: str) -> DeployError:
    hint = f"check out the earlier commit, then `inv deploy {spec.options}`"
    return DeployError(client.where, reason, hint)
