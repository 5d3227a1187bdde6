"""Proof that an author signed two updates under one sequence number, and what follows from it."""

import math
from typing import Final, final

from p2pfed.core.authors import Authors
from p2pfed.core.config import CoreConfig, UpdateFamily
from p2pfed.core.effects import Save
from p2pfed.core.events import OffenceKind
from p2pfed.core.ledger import Ledger
from p2pfed.core.membership import Membership
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.notices import PeerOffended
from p2pfed.core.outbox import Outbox
from p2pfed.errors import SpecMismatch
from p2pfed.identity import PeerId
from p2pfed.messages import Evidence, SignedHeader
from p2pfed.wire.reading import Reader

_FRAMES: Final = 3  # as `Inbox` counts: the frame, and the two signatures in it


@final
class Equivocation:
    """Takes proofs, bans the author for good, and spreads them."""

    def __init__(
        self,
        own_peer: PeerId,
        config: CoreConfig,
        ledger: Ledger,
        authors: Authors,
        neighbors: Neighbors,
        membership: Membership,
        outbox: Outbox,
        reader: Reader,
    ) -> None:
        self._own_peer = own_peer
        self._run_id = config.run_id
        self._keeps_logs = config.family is UpdateFamily.LEDGER
        self._authors = authors
        self._ledger = ledger
        self._neighbors = neighbors
        self._membership = membership
        self._outbox = outbox
        self._reader = reader

    def on_evidence(self, evidence: Evidence) -> None:
        """Freeze an author that signed two different updates under one sequence number.

        Raises:
            RemoteError: If the proof does not prove it; the sender is to blame.
        """
        author = evidence.first.header.author
        if self._ledger.is_frozen(author):
            self._outbox.count("duplicate.Evidence")
            return
        if author != self._own_peer and not self._authors.is_author(author):
            self._outbox.count("ignored.stranger")
            return
        if evidence.first.header.run_id != self._run_id:
            raise SpecMismatch("evidence from another run")
        self._reader.verify(evidence.first)
        self._reader.verify(evidence.second)
        self._act_on(evidence)

    def tell(self, peer: PeerId, now_s: float) -> None:
        """Give a neighbor that has greeted the proofs that it may have missed.

        Where logs are kept, they decide whose count, and so have to reach everybody. It gets as
        many as it accepts at once.
        """
        for evidence in self._ledger.evidence() if self._keeps_logs else []:
            if evidence.first.header.author == self._own_peer:
                continue
            if not self._neighbors.with_room([peer], _FRAMES, now_s):
                return
            self._outbox.send(peer, evidence)

    def prove(self, one: SignedHeader, other: SignedHeader) -> None:
        """Take two verified headers of one place."""
        self._act_on(make_evidence(one, other))

    def _act_on(self, evidence: Evidence) -> None:
        author = evidence.first.header.author
        self._ledger.freeze(evidence)
        self._outbox.add(Save(records=self._ledger.take_records()))
        detail = f"two updates with sequence {evidence.first.header.sequence}"
        if author == self._own_peer:
            # Nobody will hear this peer again. Its operator should know why.
            detail += " are signed with the key of this peer; take a new identity"
        self._outbox.notify(
            PeerOffended(
                peer=author, kind=OffenceKind.EQUIVOCATION, detail=detail, banned_s=math.inf
            )
        )
        if author == self._own_peer:
            return
        others = [peer for peer in self._neighbors.greeted_peers() if peer != author]
        self._outbox.send_all(others, evidence)
        self._membership.expel(author)


def make_evidence(one: SignedHeader, other: SignedHeader) -> Evidence:
    """Return the proof made of two headers, in the order of their ids, so that it is unique."""
    first, second = sorted((one, other), key=lambda signed: signed.update_id)
    return Evidence(first=first, second=second)
