"""Neighbors that may be one person."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from robust.errors import RuleError
from robust.parameters import shown
from robust.peers import PeerT, peer_key

# What one person gets at once: providers hand out IPv6 by /48, and the owners of an IPv4 block of
# another size are rarely strangers to each other.
_IPV4_PREFIX_BITS: Final = 24
_IPV6_PREFIX_BITS: Final = 48


def address_block(address: str) -> str:
    """Name the block of addresses that one person may have at once: a /24 or a /48.

    Args:
        address: An IP address in its usual form, such as "192.0.2.7" or "2001:db8::1"; an IPv4
            address that is mapped into IPv6 counts as the one that it is.

    Returns:
        The block's name, for the `groups` of a ledger.

    Raises:
        RuleError: If it is no address.
    """
    given: object = address
    try:
        if not isinstance(given, str):  # of which the library reads numbers
            raise ValueError(f"a {type(given).__name__}")
        found = ip_address(given)
    except ValueError as error:
        raise RuleError(f"address={shown(address)} is no IP address, as 192.0.2.7 is") from error
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    prefix = _IPV4_PREFIX_BITS if found.version == 4 else _IPV6_PREFIX_BITS
    return f"block {ip_network((found.packed, prefix), strict=False)}"


def clique_names(similar_pairs: Iterable[tuple[PeerT, PeerT]]) -> dict[PeerT, tuple[str]]:
    """Name the cliques that pairs of suspiciously similar neighbors make.

    Whoever is similar to one member is a member. Judge similarity by what neighbors sent over many
    rounds: in a single one, honest peers with like data look like copies too.

    Args:
        similar_pairs: The pairs, in any order.

    Returns:
        For everyone in a pair, the clique's name alone, for the `groups` of a ledger.

    Raises:
        RuleError: If what is given is no list of pairs of peers.
    """
    leaders: dict[PeerT, PeerT] = {}

    def leader(peer: PeerT) -> PeerT:
        leaders.setdefault(peer, peer)
        while leaders[peer] != peer:
            leaders[peer] = leaders[leaders[peer]]
            peer = leaders[peer]
        return peer

    for first, second in _pairs(similar_pairs):
        low, high = sorted((leader(first), leader(second)), key=peer_key)
        leaders[high] = low
    return {peer: (f"clique of {peer_key(leader(peer)).hex()}",) for peer in leaders}


def _pairs(given: Iterable[tuple[PeerT, PeerT]]) -> list[tuple[PeerT, PeerT]]:
    if not isinstance(given, Iterable):
        raise RuleError(f"similar_pairs={shown(given)} is no list of pairs")
    pairs = list(given)
    for pair in pairs:
        _check_pair(pair)
    return pairs


def _check_pair(pair: object) -> None:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise RuleError(f"similar_pairs: {shown(pair)} is no pair (first, second)")
    for peer in pair:
        peer_key(peer, "similar_pairs")
