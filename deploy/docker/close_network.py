"""Runs in the container that holds a network namespace: what is in it reaches no metadata service.

Nor the networks of other containers. Not imported by the rest of `deploy`. Arguments: seconds, and
those networks (10.1.0.0/16). Adds rules for routing (ip-rule(8)) by netlink, since images need not
have the command `ip`; checks them; prints `ready`; stays, and the namespace with it, for that time:
the tool removes the container before, unless it was killed.

Rules, not routes: a rule can leave port 53 alone. In virtual machines of Azure and Google the name
server has the address of a metadata service, and engines ask it from the container's namespace.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import struct
import sys

# Instance metadata of Azure, AWS, Google and others (the first); credentials of AWS's containers;
# Azure's wire server; AWS by IPv6; the first by IPv6, on the link.
ADDRESSES = (
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "fd00:ec2::254",
    "fe80::a9fe:a9fe",
)
DNS = 53
# This machine, whose address may be in the network of other containers.
HOST = "host.docker.internal"
# linux/netlink.h and linux/rtnetlink.h
RTM_NEWRULE = 32
REQUEST, ACK, EXCLUSIVE, CREATE = 0x1, 0x4, 0x200, 0x400
NLMSG_ERROR = 2
# linux/fib_rules.h
TO_TABLE, UNREACHABLE = 1, 7
DESTINATION, PRIORITY, TABLE, DESTINATION_PORTS = 1, 6, 15, 24
MAIN = 254
# What adding says where the kernel has no IPv6.
ABSENT = (errno.EAFNOSUPPORT, errno.EOPNOTSUPP)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def main(seconds: str, *networks: str) -> int:
    """Return 1 after a line about what does not work; otherwise stay for `seconds`."""
    hosts = _addresses(HOST)
    rules = [
        *((address, 1, TO_TABLE, 0) for address in hosts),
        *((address, 1, TO_TABLE, DNS) for address in ADDRESSES),
        *((network, 2, UNREACHABLE, 0) for network in (*ADDRESSES, *networks)),
    ]
    for network, priority, action, port in rules:
        try:
            _add_rule(ipaddress.ip_network(network), priority, action, port)
        except OSError as error:
            if ":" in network and error.errno in ABSENT:
                continue
            print(f"no rule for {network}: {os.strerror(error.errno or 0)}", file=sys.stderr)
            return 1
    for address in ADDRESSES:
        if _has_route(address):
            print(f"{address} has a route in spite of its rule", file=sys.stderr)
            return 1
    print("ready", flush=True)
    # A handler, since the first process of a container has no other signals.
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(int(seconds))
    signal.pause()
    return 0


def _addresses(name: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def _add_rule(network: Network, priority: int, action: int, port: int) -> None:
    """Add a rule for what goes to `network`, at `port` alone if that is set. Raises `OSError`."""
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    header = struct.pack("=8BI", family, network.prefixlen, 0, 0, 0, 0, 0, action, 0)
    body = header + _attribute(DESTINATION, network.network_address.packed)
    body += _attribute(PRIORITY, struct.pack("=I", priority))
    if action == TO_TABLE:
        body += _attribute(TABLE, struct.pack("=I", MAIN))
    if port:
        body += _attribute(DESTINATION_PORTS, struct.pack("=HH", port, port))
    flags = REQUEST | ACK | EXCLUSIVE | CREATE
    message = struct.pack("=IHHII", 16 + len(body), RTM_NEWRULE, flags, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(message)
        answer = kernel.recv(4096)
    kind, code = struct.unpack_from("=4xH10xi", answer)
    if kind == NLMSG_ERROR and code not in (0, -errno.EEXIST):
        raise OSError(-code, os.strerror(-code))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _has_route(address: str) -> bool:
    """Return whether the kernel would send something to `address`. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 80))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
