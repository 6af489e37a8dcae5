"""A network bridge for the containers of one engine, apart from those of the machine's own engine."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.engines.debian_root import EngineError

# Subnets of 10.219.0.0/16 are for bridges, those of 10.220.0.0/16 for further networks of the same engine.
NUMBERS = range(1, 255)
LOCKS = Path("/run/lock")

# A table, a chain of it, and a rule of the chain.
Rule = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class Bridge:
    """A link with an address. Its number tells it from those of other engines."""

    number: int

    @property
    def name(self) -> str:
        return f"flow-engine{self.number}"

    @property
    def subnet(self) -> str:
        return f"10.219.{self.number}.0/24"

    @property
    def gateway(self) -> str:
        return f"10.219.{self.number}.1/24"

    @property
    def pool(self) -> str:
        """Addresses for further networks."""
        return f"10.220.{self.number}.0/24"


@contextlib.contextmanager
def create() -> Iterator[Bridge]:
    """Have a bridge inside of the block, whose containers reach each other and the outside."""
    with reserve() as bridge:
        _ip("address", "add", bridge.gateway, "dev", bridge.name)
        _ip("link", "set", bridge.name, "up")
        yield bridge


@contextlib.contextmanager
def reserve() -> Iterator[Bridge]:
    """Have subnets inside of the block that no other engine uses: the link without its address.

    Rules are added to the machine's and taken away again: an engine that manages them itself would
    flush the chains of the machine's own engine, which have the same names.
    """
    with _locked_number() as bridge:
        _ip("link", "add", bridge.name, "type", "bridge")
        try:
            for rule in _rules(bridge):
                _iptables("-I", rule)
            yield bridge
        finally:
            _clean(bridge)


@contextlib.contextmanager
def _locked_number() -> Iterator[Bridge]:
    """Have a number inside of the block that no other process has; the system unlocks it in any case."""
    for number in NUMBERS:
        bridge = Bridge(number)
        with (LOCKS / f"{bridge.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            # What a process that was killed has left.
            _clean(bridge)
            subnets = [ipaddress.ip_network(text) for text in (bridge.subnet, bridge.pool)]
            if not any(subnet.overlaps(route) for subnet in subnets for route in _routes()):
                yield bridge
                return
    raise EngineError("no subnet is free for another engine")


def _routes() -> list[ipaddress.IPv4Network]:
    command = ["ip", "-json", "-4", "route"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    targets = [str(route["dst"]) for route in json.loads(done.stdout or "[]")]
    return [ipaddress.IPv4Network(target) for target in targets if target != "default"]


def _rules(bridge: Bridge) -> list[Rule]:
    established = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    rules: list[Rule] = []
    for subnet in (bridge.subnet, bridge.pool):
        rules += [
            ("nat", "POSTROUTING", ("-s", subnet, "!", "-d", subnet, "-j", "MASQUERADE")),
            ("filter", "FORWARD", ("-s", subnet, "-j", "ACCEPT")),
            ("filter", "FORWARD", ("-d", subnet, *established, "-j", "ACCEPT")),
        ]
    return rules


def _clean(bridge: Bridge) -> None:
    """Delete the rules and the link as far as they exist."""
    for rule in _rules(bridge):
        with contextlib.suppress(EngineError):
            _iptables("-D", rule)
    with contextlib.suppress(EngineError):
        _ip("link", "delete", bridge.name)


def _iptables(action: str, rule: Rule) -> None:
    table, chain, condition = rule
    _run(["iptables", "--wait", "10", "-t", table, action, chain, *condition])


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{' '.join(command)}: {done.stderr.strip()}")
