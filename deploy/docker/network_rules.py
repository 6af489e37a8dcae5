"""Block metadata services and other containers' networks in this container's network namespace.

Runs in the helper container that holds the namespace; the rest of `deploy` does not import it.
Arguments: seconds, then networks to block (as 10.1.0.0/16). It adds routing rules (ip-rule(8)) by
netlink, because images may lack the command `ip`; checks them; prints `ready`; and keeps the
namespace for that time. Usually the tool removes the container before, unless the tool was killed.

Rules, not routes: a rule can leave port 53 open. In virtual machines of Azure and Google the name
server has the address of a metadata service, and engines query it from the container's namespace.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import struct
import sys

# In this order: instance metadata of Azure, AWS, Google and others; credentials of AWS containers;
# Azure's wire server; AWS over IPv6; the first address as an IPv6 link-local address.
METADATA_ADDRESSES = (
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "fd00:ec2::254",
    "fe80::a9fe:a9fe",
)
DNS_PORT = 53
# This machine stays reachable; its address may be in a network of other containers.
HOST_NAME = "host.docker.internal"
# linux/netlink.h and linux/rtnetlink.h
RTM_NEWRULE = 32
REQUEST, ACK, EXCLUSIVE, CREATE = 0x1, 0x4, 0x200, 0x400
NLMSG_ERROR = 2
# linux/fib_rules.h
TO_TABLE, UNREACHABLE = 1, 7
DESTINATION, PRIORITY, TABLE, DESTINATION_PORTS = 1, 6, 15, 24
MAIN_TABLE = 254
# The errors from adding a rule if the kernel has no IPv6.
NO_IPV6_ERRORS = (errno.EAFNOSUPPORT, errno.EOPNOTSUPP)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def main(seconds: str, *networks: str) -> int:
    """Return 1 after a line about the first failure; otherwise stay for `seconds` and return 0."""
    hosts = _resolve_addresses(HOST_NAME)
    rules = [
        *((address, 1, TO_TABLE, 0) for address in hosts),
        *((address, 1, TO_TABLE, DNS_PORT) for address in METADATA_ADDRESSES),
        *((network, 2, UNREACHABLE, 0) for network in (*METADATA_ADDRESSES, *networks)),
    ]
    for network, priority, action, port in rules:
        try:
            _add_rule(ipaddress.ip_network(network), priority, action, port)
        except OSError as error:
            if ":" in network and error.errno in NO_IPV6_ERRORS:
                continue
            print(f"no rule for {network}: {os.strerror(error.errno or 0)}", file=sys.stderr)
            return 1
    for address in METADATA_ADDRESSES:
        if _has_route(address):
            print(f"{address} has a route in spite of its rule", file=sys.stderr)
            return 1
    print("ready", flush=True)
    # Without a handler, the first process of a container ignores the signal.
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(int(seconds))
    signal.pause()
    return 0


def _resolve_addresses(name: str) -> set[str]:
    try:
        return {str(result[4][0]) for result in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def _add_rule(network: Network, priority: int, action: int, port: int) -> None:
    """Add a rule for traffic to `network`, limited to `port` if that is not 0. Raises `OSError`."""
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    header = struct.pack("=8BI", family, network.prefixlen, 0, 0, 0, 0, 0, action, 0)
    body = header + _attribute(DESTINATION, network.network_address.packed)
    body += _attribute(PRIORITY, struct.pack("=I", priority))
    if action == TO_TABLE:
        body += _attribute(TABLE, struct.pack("=I", MAIN_TABLE))
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
    """Return whether the kernel has a route to `address`. Sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 80))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
