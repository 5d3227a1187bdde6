"""Whose updates were not used and why, counted for people."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, final

from p2pfed.identity import PeerId, format_peer_id

_REASONS_MAX: Final = 64  # some reasons come as texts; beyond these they count as `other`
_PEERS_MAX: Final = 256  # per reason: as many as a peer may have neighbors
_PEERS_SHOWN: Final = 5  # guess: who is named of each reason; enough to find the culprit by
_OTHER: Final = "other"


@final
class Rejections:
    """Counts updates that were not used, by reason and peer.

    Args:
        name: What to call a peer.
    """

    def __init__(self, name: Callable[[PeerId], str] = format_peer_id) -> None:
        self._name = name
        self._counts: Counter[str] = Counter()
        self._peers: dict[str, dict[PeerId, int]] = {}

    def add(self, peer: PeerId, reason: str) -> None:
        """Count one update of a peer.

        Of more than 256 peers with one reason, the one that had it longest ago is forgotten.
        """
        if reason not in self._counts and len(self._counts) >= _REASONS_MAX:
            reason = _OTHER
        self._counts[reason] += 1
        peers = self._peers.setdefault(reason, {})
        peers[peer] = peers.pop(peer, 0) + 1
        if len(peers) > _PEERS_MAX:
            del peers[next(iter(peers))]

    def counts(self) -> dict[str, int]:
        """Return how many updates there were, by reason."""
        return dict(sorted(self._counts.items()))

    def peers(self) -> dict[str, dict[str, Any]]:
        """Return by reason whom it concerned.

        Returns:
            `peers`: count by name of the five with most updates, the most frequent first;
            `more`: how many other peers there are.
        """
        return {reason: self._named(self._peers[reason]) for reason in sorted(self._peers)}

    def _named(self, counts: dict[PeerId, int]) -> dict[str, Any]:
        order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        shown = {self._name(peer): count for peer, count in order[:_PEERS_SHOWN]}
        return {"peers": shown, "more": len(counts) - len(shown)}
