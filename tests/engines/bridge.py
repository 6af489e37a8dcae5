"""A network bridge for the containers of one engine, apart from those of the machine's own engine."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.engines.debian_root import EngineError

# Subnets of 10.219.0.0/16 are for bridges, those of 10.220.0.0/16 for further networks of the same engine.
NUMBERS = range(1, 255)


@dataclass(frozen=True)
class Bridge:
    """A link with an address. Its number tells it from those of other engines."""

    number: int

    @property
    def name(self) -> str:
        return f"flowengine{self.number}"

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
    bridge = _add_link()
    try:
        with contextlib.ExitStack() as stack:
            for subnet in (bridge.subnet, bridge.pool):
                stack.enter_context(_forwarding(subnet))
            yield bridge
    finally:
        _ip("link", "delete", bridge.name)


def _add_link() -> Bridge:
    taken = [ipaddress.ip_network(route) for route in _routes()]
    for number in NUMBERS:
        bridge = Bridge(number)
        subnets = [ipaddress.ip_network(bridge.subnet), ipaddress.ip_network(bridge.pool)]
        if any(subnet.overlaps(route) for subnet in subnets for route in taken):
            continue
        command = ["ip", "link", "add", bridge.name, "type", "bridge"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            return bridge
        if "File exists" not in done.stderr:
            raise EngineError(f"{' '.join(command)}: {done.stderr.strip()}")
    raise EngineError("no subnet is free for another engine")


def _routes() -> list[str]:
    done = subprocess.run(
        ["ip", "-json", "-4", "route"], capture_output=True, text=True, check=True
    )
    routes = [str(route["dst"]) for route in json.loads(done.stdout or "[]")]
    return [route for route in routes if route != "default"]


@contextlib.contextmanager
def _forwarding(subnet: str) -> Iterator[None]:
    established = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"]
    rules = [
        ("nat", "POSTROUTING", ["-s", subnet, "!", "-d", subnet, "-j", "MASQUERADE"]),
        ("filter", "FORWARD", ["-s", subnet, "-j", "ACCEPT"]),
        ("filter", "FORWARD", ["-d", subnet, *established, "-j", "ACCEPT"]),
    ]
    with contextlib.ExitStack() as stack:
        for table, chain, rule in rules:
            _iptables(table, "-I", chain, rule)
            stack.callback(_iptables, table, "-D", chain, rule)
        yield


def _iptables(table: str, action: str, chain: str, rule: list[str]) -> None:
    _run(["iptables", "--wait", "10", "-t", table, action, chain, *rule])


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{' '.join(command)}: {done.stderr.strip()}")
