"""Whose updates matter here."""

from typing import final

from p2pfed.core.config import CoreConfig, UpdateFamily
from p2pfed.core.held import HeldUpdates
from p2pfed.core.neighbors import Neighbors
from p2pfed.identity import PeerId


@final
class Authors:
    """Neighbors; or everybody whose log there is room for, where logs have to reach everybody."""

    def __init__(
        self, config: CoreConfig, own_peer: PeerId, neighbors: Neighbors, held: HeldUpdates
    ) -> None:
        self._own_peer = own_peer
        self._keeps_logs = config.family is UpdateFamily.LEDGER
        self._authors_max = config.limits.log_authors_max
        self._neighbors = neighbors
        self._held = held

    def is_author(self, peer: PeerId) -> bool:
        """Return whether the updates of a peer are to be taken."""
        if self._neighbors.is_author(peer):
            return True
        if not self._keeps_logs:
            return False
        # What this peer wrote itself, before its disk was lost, finds room always.
        return self.is_own(peer) or self._held.has_author(peer) or not self.is_full

    @property
    def is_full(self) -> bool:
        """Whether there is room for no more logs, but for those of neighbors."""
        return self._keeps_logs and self._held.author_count() >= self._authors_max

    def is_own(self, peer: PeerId) -> bool:
        """Return whether it is this peer."""
        return peer == self._own_peer

    def outlives_its_links(self, peer: PeerId) -> bool:
        """Return whether what a peer signed matters when it is no neighbor any more."""
        return self._keeps_logs or self._neighbors.is_author(peer)
