"""Runs in the container that holds a network namespace: nothing in it reaches a metadata service.

Not imported by the rest of `deploy`. Adds rules for routing (ip-rule(8)) by netlink, since images
need not have the command `ip`; checks them; prints `ready`; stays, and the namespace with it, for
as many seconds as its argument says: the tool removes the container before, unless it was killed.

Rules, not routes: a rule can leave port 53 alone. In virtual machines of Azure and Google the name
server has the address of a metadata service, and engines ask it from the container's namespace.
"""

from __future__ import annotations

import errno
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


def main(seconds: str) -> int:
    """Return 1 after a line about what does not work; otherwise stay for `seconds`."""
    for address in ADDRESSES:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            _add_rule(family, address, priority=1, action=TO_TABLE, port=DNS)
            _add_rule(family, address, priority=2, action=UNREACHABLE)
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in ABSENT:
                continue
            print(f"no rule for {address}: {os.strerror(error.errno or 0)}", file=sys.stderr)
            return 1
        if _has_route(family, address):
            print(f"{address} has a route in spite of its rule", file=sys.stderr)
            return 1
    print("ready", flush=True)
    # A handler, since the first process of a container has no other signals.
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(int(seconds))
    signal.pause()
    return 0


def _add_rule(
    family: socket.AddressFamily, address: str, priority: int, action: int, port: int = 0
) -> None:
    """Add a rule for what goes to `address`, at `port` alone if that is set. Raises `OSError`."""
    destination = socket.inet_pton(family, address)
    header = struct.pack("=8BI", family, 8 * len(destination), 0, 0, 0, 0, 0, action, 0)
    body = header + _attribute(DESTINATION, destination)
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


def _has_route(family: socket.AddressFamily, address: str) -> bool:
    """Return whether the kernel would send something to `address`. Nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 80))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
