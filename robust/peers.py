"""What a peer is called; needs no torch."""

from collections.abc import Iterable
from typing import TypeVar

from robust.errors import RuleError
from robust.parameters import shown

# What a caller uses: bytes, text, or a type made from either.
PeerT = TypeVar("PeerT", bound=bytes | str)


def peer_key(peer: bytes | str, name: str = "peer") -> bytes:
    """Return what identifies and sorts a peer; text and bytes of one UTF-8 form are one peer.

    Args:
        peer: What a caller names it by.
        name: What an error is to call the argument.

    Raises:
        RuleError: If it is neither.
    """
    if isinstance(peer, str):
        return peer.encode(errors="surrogatepass")
    if not isinstance(peer, bytes):
        raise RuleError(f"{name}: {shown(peer)} is no peer's name; give bytes or text")
    return peer


def by_key(peers: Iterable[PeerT], name: str) -> dict[bytes, PeerT]:
    """Return peers by what identifies them, in their order.

    Args:
        peers: Any iterable but one name, whose letters are no peers.
        name: What an error is to call it.

    Raises:
        RuleError: If `peers` is none, or holds what is no name.
    """
    if isinstance(peers, bytes | str) or not isinstance(peers, Iterable):
        raise RuleError(f"{name}={shown(peers)} is no list of peers; write a list, even of one")
    return {peer_key(peer, name): peer for peer in peers}
