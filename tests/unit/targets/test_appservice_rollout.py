"""Deploys and rollbacks of the target appservice beside somebody else's, with a service of values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.azure.errors import AzureError
from deploy.azure.writes import WriteRejected
from deploy.core import interrupts
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.targets.appservice import (
    desired,
    diff,
    naming,
    plan,
    readiness,
    rollback,
    rollout,
    site_settings,
    writer,
)
from deploy.targets.appservice.naming import PRODUCTION, DeploymentRecord
from deploy.targets.appservice.readiness import format_version
from deploy.targets.appservice.rollout import SlotRollout
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.slot_swap import Swap, restore_site
from deploy.targets.appservice.state import ObservedState, Site
from deploy.targets.rollout import ConflictError
from tests.unit.targets.appservice_state import IMAGE, deployed, site, spec_of, world

NEW = replace(IMAGE, tag="newnewnewnew", digest="sha256:" + "e" * 64)
THIRD = replace(IMAGE, tag="thirdthirdth", digest="sha256:" + "f" * 64)
BUSY = AzureError("Conflict", "Cannot modify this site: another operation is in progress.", 409)
LOST = AzureError("", "the connection broke off")
NOTHING: Callable[[], None] = lambda: None  # noqa: E731


class Ended:
    """A swap that has ended."""

    def done(self) -> bool:
        return True

    def result(self) -> None:
        return None


class Service:
    """Two sites, what was written to them, and what happens before a swap is looked at.

    It is client and writer at once. `swaps` are what each request to swap does.
    """

    where, name = "site app-hello", "app-hello"

    def __init__(self, spec: SiteSpec, slot: Site) -> None:
        self.production = deployed(spec, world(site(), site("staging")))
        self.slot = slot
        self.spec = spec
        self.swaps: list[Callable[[], None]] = []
        self.asked = 0
        self.written: list[tuple[str, str]] = []

    class arm:
        class cloud:
            polling_interval = 0.001

        @staticmethod
        def get_principal_name() -> str:
            return "ci"

    def read_state(self) -> ObservedState:
        return world(self.production, self.slot)

    def read_log(self, name: str) -> list[str]:
        return []

    def wait(self) -> None:
        pass

    def change_places(self) -> None:
        self.production, self.slot = (
            replace(self.slot, name=PRODUCTION, host="production.test"),
            replace(self.production, name="staging", host="staging.test"),
        )

    def begin_swap(self, slot: str) -> Ended:
        self.asked += 1
        (self.swaps.pop(0) if self.swaps else self.change_places)()
        return Ended()

    def write_settings(self, name: str, settings: Mapping[str, str]) -> None:
        self.written.append(("settings", name))
        self._set(name, settings=dict(settings))

    def update_configuration(self, name: str, changes: Mapping[str, Any]) -> None:
        self.written.append(("web", name))
        self._set(name, web={**self._of(name).web, **changes})

    def start(self, name: str) -> None:
        self._set(name, state="Running")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None

    def answer(self, url: str, headers: Mapping[str, str]) -> str:
        """What the containers say: that which is configured, to who has the key."""
        found = next(one for one in (self.production, self.slot) if one.url == url)
        if not headers:
            return "status 401 of /version"
        return format_version(found.record) if found.record else ""

    def _of(self, name: str) -> Site:
        return self.production if name == PRODUCTION else self.slot

    def _set(self, name: str, **changes: Any) -> None:
        if name == PRODUCTION:
            self.production = replace(self.production, **changes)
        else:
            self.slot = replace(self.slot, **changes)


@pytest.fixture
def spec(tmp_path: Path) -> SiteSpec:
    return spec_of(tmp_path, slot="staging")


@pytest.fixture
def service(spec: SiteSpec, monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service(spec, site("staging"))
    for module in (readiness, rollout, rollback):
        monkeypatch.setattr(module, "fetch_version", made.answer)
    return made


def rolled(service: Service, image: Image = NEW) -> SlotRollout:
    """Return a deploy of `image` that was planned for what there is now."""
    decision = diff.decide(service.spec, image, service.read_state(), {})
    made = SlotRollout(
        service,  # type: ignore[arg-type]
        decision,
        service.spec,
        image,
        lambda: {"Authorization": "Bearer k"},
    )
    made.writer = service  # type: ignore[assignment]
    return made


def content_with(no_proof: object = None, *_: object) -> None:
    """Be content with every proof."""


def refuse(said: AzureError, then: Callable[[], None] = NOTHING) -> Callable[[], None]:
    def swap() -> None:
        then()
        raise WriteRejected(said)

    return swap


def record_of(found: Site) -> DeploymentRecord:
    assert found.record
    return found.record


def test_a_deploy_swaps_once(service: Service) -> None:
    rolled(service).run(content_with, wait=True)
    assert service.asked == 1
    assert record_of(service.production).tag == NEW.tag
    assert record_of(service.slot).tag == IMAGE.tag
    assert record_of(service.production).previous == record_of(service.slot).id


@pytest.mark.parametrize("said", [BUSY, LOST, AzureError("InternalServerError", "", 503)])
def test_a_swap_that_happened_though_its_answer_was_lost_is_not_taken_back(
    said: AzureError, service: Service
) -> None:
    service.swaps = [refuse(said, service.change_places)]
    rolled(service).run(content_with, wait=True)
    assert service.asked == 1
    assert record_of(service.production).tag == NEW.tag


def test_a_swap_waits_for_another_operation(service: Service) -> None:
    service.swaps = [refuse(BUSY), refuse(BUSY)]
    rolled(service).run(content_with, wait=True)
    assert service.asked == 3
    assert record_of(service.production).tag == NEW.tag


def test_another_deploy_that_came_first_stays(service: Service) -> None:
    def third() -> None:
        left = deployed(service.spec, world(service.production), image=THIRD)
        service.production = left

    service.swaps = [refuse(BUSY, third)]
    deploy = rolled(service)
    with pytest.raises(ConflictError, match="something else changed it"):
        deploy.run(content_with, wait=True)
    assert service.asked == 1
    assert record_of(service.production).tag == THIRD.tag
    assert all(name == "staging" for _, name in service.written)


def test_the_verified_version_is_the_one_swapped(service: Service) -> None:
    def prove(url: str, headers: object) -> None:
        service.slot = replace(
            deployed(service.spec, world(service.production), image=THIRD), name="staging"
        )

    deploy = rolled(service)
    with pytest.raises(ConflictError, match="slot staging of app-hello: something else"):
        deploy.run(prove, wait=True)
    assert service.asked == 0
    assert record_of(service.production).tag == IMAGE.tag


def test_a_slot_that_started_with_an_earlier_key_is_started_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolled(service).run(content_with, wait=True)
    service.written.clear()
    # It was started a moment ago, and so would be waited for.
    monkeypatch.setattr(rollout, "age_seconds", lambda at: 0.0)
    earlier = record_of(service.slot).id

    def answer(url: str, headers: Mapping[str, str]) -> str:
        old_key = url == service.slot.url and record_of(service.slot).id == earlier
        return "status 401 of /version" if old_key else service.answer(url, headers)

    for module in (readiness, rollout):
        monkeypatch.setattr(module, "fetch_version", answer)
    rolled(service, IMAGE).run(content_with, wait=True)
    assert ("settings", "staging") in service.written
    assert record_of(service.production).tag == IMAGE.tag


def test_production_that_fails_verification_is_rolled_back(service: Service) -> None:
    def prove(url: str, headers: object) -> None:
        if url == service.production.url:
            raise DeployError("sample.json", "it is answered badly")

    with pytest.raises(DeployError, match="answered badly"):
        rolled(service).run(prove, wait=True)
    assert service.asked == 2
    assert record_of(service.production).tag == IMAGE.tag


def test_a_concurrent_rollback_is_not_undone(service: Service) -> None:
    def prove(url: str, headers: object) -> None:
        if url == service.production.url and service.asked:
            service.change_places()
            raise DeployError("sample.json", "it is answered badly")

    with pytest.raises(DeployError, match="answered badly"):
        rolled(service).run(prove, wait=True)
    assert service.asked == 1
    assert record_of(service.production).tag == IMAGE.tag


def test_an_interruption_after_the_swap_takes_it_back(service: Service) -> None:
    def prove(url: str, headers: object) -> None:
        if service.asked:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rolled(service).run(prove, wait=True)
    assert record_of(service.production).tag == IMAGE.tag


def test_a_site_without_authentication_does_not_serve(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        readiness,
        "fetch_version",
        lambda url, headers: service.answer(url, {"Authorization": "whoever"}),
    )
    with pytest.raises(DeployError, match="it answers requests without a key or token"):
        rolled(service).run(content_with, wait=True)
    assert service.asked == 0


def test_half_a_swap_is_reverted(spec: SiteSpec) -> None:
    """What is left of a swap that broke off: the image of the one, the settings of the other."""
    before = deployed(spec, world(site(), site("staging")))
    coming = replace(deployed(spec, world(before), image=NEW), name="staging")
    made = Service(spec, coming)
    made.production = before

    def break_off() -> None:
        made.production = replace(before, web=coming.web)
        raise WriteRejected(AzureError("ExpectationFailed", "it broke in the middle", 417))

    made.swaps = [break_off]
    with pytest.raises(DeployError, match="it broke in the middle"):
        Swap(made, made, spec, before, coming).run(content_with)  # type: ignore[arg-type]
    assert made.written == [("settings", PRODUCTION), ("web", PRODUCTION)]
    assert (made.production.image, made.production.record) == (before.image, before.record)


def test_rollback_restores_the_version_that_served(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback, "Writer", lambda _: service)
    headers = {"Authorization": "Bearer k"}
    rolled(service).run(content_with, wait=True)
    rollback.roll_back(service, service.spec, headers)  # type: ignore[arg-type]
    assert record_of(service.production).tag == IMAGE.tag

    def bad(url: str, headers: object) -> None:
        raise DeployError("sample.json", "it is answered badly")

    # What is on the slot then has never served.
    with pytest.raises(DeployError, match="answered badly"):
        rolled(service, THIRD).run(bad, wait=True)
    with pytest.raises(DeployError, match=f"has {THIRD.tag}, which is not the previous version"):
        rollback.roll_back(service, service.spec, headers)  # type: ignore[arg-type]
    assert record_of(service.production).tag == IMAGE.tag


def test_rollback_to_a_version_with_an_earlier_key(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service reads the vault again when a setting changes."""
    monkeypatch.setattr(rollback, "Writer", lambda _: service)
    rolled(service).run(content_with, wait=True)
    service.written.clear()

    def answer(url: str, headers: Mapping[str, str]) -> str:
        stale = url == service.slot.url and not service.written
        return "status 401 of /version" if stale else service.answer(url, headers)

    for module in (readiness, rollback):
        monkeypatch.setattr(module, "fetch_version", answer)
    rollback.roll_back(service, service.spec, {"Authorization": "Bearer k"})  # type: ignore[arg-type]
    assert service.written == [("settings", "staging")]
    assert record_of(service.production).tag == IMAGE.tag


def test_sticky_settings_of_others_change_without_a_swap(tmp_path: Path) -> None:
    """A key that stays with its slot would not come to production, which would accept every client."""
    spec = spec_of(tmp_path, slot="staging")
    production = deployed(spec_of(tmp_path, slot="staging", auth="public"), world(site()))
    there = world(production, replace(production, name="staging"), "SERVE_KEY")
    found = diff.decide(spec, IMAGE, there, {})
    assert "SERVE_KEY" in found.site_updates[0].settings
    assert there.slot
    assert "SERVE_KEY" in site_settings.build_settings(spec, there, there.slot, found.desired)


def test_a_setting_that_stayed_once_converges(tmp_path: Path) -> None:
    first = spec_of(tmp_path, slot="staging", env={"clear": {"FOO": "1"}, "sticky": ["FOO"]})
    production = deployed(first, world(site(), site("staging"), "FOO"))
    second = spec_of(tmp_path, slot="staging", env={"clear": {"FOO": "2"}})
    there = world(production, replace(production, name="staging"), "FOO")
    found = diff.decide(second, IMAGE, there, {})
    assert found.site_updates[0].settings == {"FOO": "2"}
    after = deployed(second, there)
    assert not diff.decide(second, IMAGE, world(after, there.slot, "FOO"), {}).has_new_version


def test_a_setting_that_stayed_once_goes_when_the_new_version_serves(tmp_path: Path) -> None:
    first = spec_of(tmp_path, slot="staging", env={"clear": {"FOO": "1"}, "sticky": ["FOO"]})
    production = deployed(first, world(site(), site("staging"), "FOO"))
    second = spec_of(tmp_path, slot="staging")
    there = world(production, replace(production, name="staging"), "FOO")
    found = diff.decide(second, NEW, there, {})
    assert found.obsolete_settings == ("FOO",)
    # What runs still needs it.
    assert found.site_updates[0].settings == {}
    rows = plan.list_steps(second, NEW, there, found)
    assert ("remove", "setting FOO", "after the new version serves") in [
        (row.action, row.what, row.why) for row in rows
    ]


def test_a_former_secret_is_never_shown(tmp_path: Path) -> None:
    secret = spec_of(tmp_path, plain_secrets=True, env={"secret": ["TOKEN"]})
    before = deployed(secret, world(site(settings={"THEIRS": "of-somebody-else"})))
    assert before.settings["TOKEN"] == "a-token-of-a-test"
    for spec in (
        spec_of(tmp_path),
        spec_of(tmp_path, env={"clear": {"THEIRS": "2"}}),
    ):
        found = diff.decide(spec, NEW, world(before), {})
        told = json.dumps(
            [row.__dict__ for row in plan.list_steps(spec, NEW, world(before), found)]
        )
        assert "setting TOKEN" in told
        for text in ("a-token-of-a-test", "of-somebody-else"):
            assert text not in told + repr(found)


def test_in_place_the_version_before_is_one_that_ran(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    first = deployed(spec, world(site()))
    left = diff.build_record(
        spec, NEW, world(first), desired.build_desired_state(spec, NEW, world(first)), "", ""
    )
    assert (left.before, left.before_tag) == (naming.linux_fx_version(IMAGE), IMAGE.tag)
    # Killed between the settings and the image: the record is of what does not run.
    half = replace(first, settings={**first.settings, **left.settings})
    again = diff.build_record(
        spec, NEW, world(half), desired.build_desired_state(spec, NEW, world(half)), "", ""
    )
    assert (again.before, again.before_tag) == (naming.linux_fx_version(IMAGE), IMAGE.tag)
    # Only the settings change: the image before is still the one before.
    whole = replace(half, web={**half.web, "linuxFxVersion": naming.linux_fx_version(NEW)})
    third = diff.build_record(
        spec, NEW, world(whole), desired.build_desired_state(spec, NEW, world(whole)), "", ""
    )
    assert (third.before, third.before_tag) == (naming.linux_fx_version(IMAGE), IMAGE.tag)


def test_a_rollback_retries_after_an_interrupt(
    spec: SiteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.core.exceptions import HttpResponseError

    calls: list[str] = []

    class Apps:
        def __getattr__(self, name: str) -> Callable[..., None]:
            def call(*_: object) -> None:
                calls.append(name)
                if len(calls) == 1:
                    error = HttpResponseError("another operation is in progress")
                    error.status_code = 409
                    raise error

            return call

    monkeypatch.setattr(writer, "POLL_SECONDS", 0.001)
    site_writer = writer.Writer(spec)
    site_writer.__dict__["_client"] = type("Client", (), {"web_apps": Apps()})()
    interrupts.interrupt()
    try:
        with interrupts.uninterruptible():
            restore_site(site_writer, deployed(spec, world(site())))
    finally:
        interrupts._interrupted.clear()
    assert calls == ["update_application_settings"] * 2 + ["update_configuration"]
