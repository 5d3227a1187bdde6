"""Says for whom a node waits, and who did not come."""

from collections.abc import Mapping

from p2pfed.core.notices import NeighborsAwaited
from p2pfed.identity import PeerId, format_peer_id

_NO_REASONS: Mapping[PeerId, str] = {}


def describe_awaited(
    notice: NeighborsAwaited, *, unreachable: Mapping[PeerId, str] = _NO_REASONS
) -> str:
    """Return a sentence for people.

    Args:
        notice: What the peer told.
        unreachable: Why neighbors could not be dialed, as far as that is known.
    """
    counts = f"{notice.present} of {notice.wanted} neighbors"
    if notice.is_over:
        begin = f"{counts} came within {notice.wait_s_max:g} s"
    else:
        begin = f"waiting up to {notice.wait_s_max:g} s for neighbors: {counts} are there"
    names = [_name(peer, unreachable.get(peer)) for peer in notice.missing]
    if names:
        return f"{begin}; missing: {', '.join(names)}"
    return f"{begin}; no other is named by node.peers or --peer, so others have to dial this peer"


def _name(peer: PeerId, reason: str | None) -> str:
    name = format_peer_id(peer)
    return name if reason is None else f"{name} ({reason})"
