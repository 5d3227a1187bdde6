"""The part of multiaddresses that a TCP node dials and listens on, parsed strictly.

Addresses come from peers too, so everything that is not exactly understood is refused.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from multiaddr.utils import get_network_addrs

from p2pfed.errors import LocalError
from p2pfed.identity import PeerId, format_peer_id, parse_peer_id
from p2pfed.limits import ADDRESS_BYTES_MAX, ADDRESSES_MAX

_DNS_PROTOCOLS: Final = frozenset({"dns", "dns4", "dns6"})
_DNS_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """Where a peer listens.

    Attributes:
        protocol: `ip4`, `ip6`, `dns`, `dns4` or `dns6`.
        host: IP address or name, without brackets.
        port: TCP port; 0 means any, when listening.
        peer: Who is expected there, if the address says so.
    """

    protocol: str
    host: str
    port: int
    peer: PeerId | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.protocol in _DNS_PROTOCOLS:
            return self.host.rstrip(".").lower() == "localhost"
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all interfaces."""
        is_name = self.protocol in _DNS_PROTOCOLS
        return not is_name and ipaddress.ip_address(self.host).is_unspecified

    def format(self, peer: PeerId | None = None) -> str:
        """Return the multiaddress, ending in `/p2p/<PeerID>` if a peer is given."""
        text = f"/{self.protocol}/{self.host}/tcp/{self.port}"
        return text if peer is None else f"{text}/p2p/{format_peer_id(peer)}"


def parse_address(text: str) -> TcpAddress:
    """Read `/ip4/…/tcp/…` (or ip6, dns, dns4, dns6), with or without `/p2p/<PeerID>`.

    Raises:
        LocalError: If the text is anything else.
    """
    parts = text.split("/")
    if len(text) > ADDRESS_BYTES_MAX or len(parts) not in (5, 7) or parts[0] or parts[3] != "tcp":
        raise LocalError(f"{text[:ADDRESS_BYTES_MAX]!r} is not /ip4/…/tcp/… or the like")
    protocol, host, port_text = parts[1], parts[2], parts[4]
    if not (port_text.isascii() and port_text.isdigit()) or int(port_text) > 65_535:
        raise LocalError(f"{text!r} has no TCP port from 0 to 65535")
    if protocol in _DNS_PROTOCOLS:
        if not _DNS_NAME.fullmatch(host):
            raise LocalError(f"{text!r} has no valid host name")
    else:
        _check_ip(text, protocol, host)
    peer = None
    if len(parts) == 7:
        if parts[5] != "p2p":
            raise LocalError(f"{text!r} does not end in /p2p/<PeerID>")
        peer = parse_peer_id(parts[6])
    return TcpAddress(protocol=protocol, host=host, port=int(port_text), peer=peer)


def is_loopback(text: str) -> bool:
    """Whether a multiaddress is of this machine only; one that cannot be read is not."""
    try:
        return parse_address(text).is_loopback
    except LocalError:
        return False


def format_socket_address(host: str, port: int) -> str:
    """Return the multiaddress of an IP address and port, as a socket reports them."""
    host = host.split("%")[0]  # an IPv6 scope is a matter of this machine
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"


def expand_wildcard(address: TcpAddress) -> list[TcpAddress]:
    """Return one address per interface for an address of all: public ones first, loopback last."""
    if not address.is_wildcard:
        return [address]
    hosts = {*get_network_addrs(4 if address.protocol == "ip4" else 6)}
    hosts.add("127.0.0.1" if address.protocol == "ip4" else "::1")
    return sorted(
        (replace(address, host=host) for host in hosts),
        key=lambda a: (a.is_loopback, not ipaddress.ip_address(a.host).is_global, a.host),
    )


def choose_targets(peer: PeerId, texts: Sequence[str]) -> tuple[list[TcpAddress], list[str]]:
    """Return the addresses at which a peer can be dialed, and why the others cannot be used."""
    targets, failures = [], []
    for text in texts[:ADDRESSES_MAX]:
        try:
            address = parse_address(text)
        except LocalError as error:
            failures.append(str(error))
            continue
        if address.peer not in (None, peer):
            failures.append(f"{text} is another peer's")
        elif address.is_wildcard or address.port == 0:
            failures.append(f"{text} is no place to dial")
        else:
            targets.append(address)
    return targets, failures


def _check_ip(text: str, protocol: str, host: str) -> None:
    versions = {"ip4": 4, "ip6": 6}
    try:
        version = ipaddress.ip_address(host).version
    except ValueError as error:
        raise LocalError(f"{text!r} has no valid IP address") from error
    if "%" in host or versions.get(protocol) != version:
        raise LocalError(f"{text!r} does not start with /ip4/, /ip6/ or /dns/")
