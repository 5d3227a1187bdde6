"""Whom own updates are for: all neighbors, or some that are drawn anew for each."""

from typing import final

from p2pfed.core.config import CoreConfig, ScheduleConfig, ScheduleMode, UpdateFamily
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.own import OwnUpdates
from p2pfed.core.randomness import derive_lot
from p2pfed.core.standing import Standing
from p2pfed.errors import ConfigError
from p2pfed.identity import PeerId, Signer

_UPDATES_REMEMBERED_MAX = 2  # the newest is served, and the one before may be on its way


@final
class Recipients:
    """Draws the neighbors that may have an own update; nobody else can get it, not from others.

    An update is for the connected neighbors whose lots are the lowest. A lot depends on the key of
    this peer and the place of the update alone: nobody else can predict it, and a restart, which
    forgets who was drawn, draws the same of the same neighbors.

    Source: de Vos et al. 2023, "Epidemic Learning: boosting decentralized learning with randomized
    communication", alg. 2 (EL-Local).
    Differs: draws among the neighbors that are connected, not among all peers, and when an update
        is ready: there are no common rounds. Fewer than wanted leave places for who comes later.

    Args:
        config: What this peer was told.
        identity: Whose secret the lots depend on.
        own: The own updates.
        neighbors: The neighbor table.
        standing: Who has earned an update; others are not drawn.

    Raises:
        ConfigError: If updates have to reach everybody; see `check_recipients`.
    """

    def __init__(
        self,
        config: CoreConfig,
        identity: Signer,
        own: OwnUpdates,
        neighbors: Neighbors,
        standing: Standing,
    ) -> None:
        check_recipients(config.schedule, config.family)
        self._count = config.schedule.recipients
        secret = 0 if self._count is None else identity.secret_number("recipients")
        self._seed = secret.to_bytes(8)
        self._own = own
        self._neighbors = neighbors
        self._standing = standing
        # By incarnation and sequence of the update; the oldest stands first.
        self._drawn: dict[tuple[int, int], dict[PeerId, None]] = {}

    @property
    def are_some(self) -> bool:
        """Whether updates are for some neighbors only, so that nobody passes on those of others."""
        return self._count is not None

    def draw(self) -> list[PeerId]:
        """Return the connected neighbors that the newest own update is offered to, sorted."""
        sequence = self._own.sequence
        peers = self._neighbors.greeted_peers()
        earned = [peer for peer in peers if self._standing.may_have(peer, sequence)]
        if self._count is None:
            return earned
        drawn = self._draw(sequence, earned)
        return [peer for peer in earned if peer in drawn]

    def may_have(self, peer: PeerId, sequence: int) -> bool:
        """Return whether a neighbor may have the own update of a sequence of this incarnation."""
        if not self._standing.may_have(peer, sequence):
            return False
        if self._count is None:
            return True
        drawn = self._drawn.get((self._own.incarnation, sequence))
        if drawn is None:
            # An earlier life published it. Who was connected then is not known any more; those
            # that always are neighbors are taken to have been.
            known = [entry.peer for entry in self._neighbors.all()]
            drawn = self._draw(sequence, [it for it in known if self._neighbors.is_author(it)])
        if len(drawn) < self._count:
            drawn[peer] = None
        return peer in drawn

    def _draw(self, sequence: int, peers: list[PeerId]) -> dict[PeerId, None]:
        incarnation = self._own.incarnation
        lots = {
            peer: derive_lot(self._seed, f"recipients.{incarnation}.{sequence}.{peer.hex()}")
            for peer in peers
        }
        drawn = dict.fromkeys(sorted(peers, key=lots.__getitem__)[: self._count])
        self._drawn[incarnation, sequence] = drawn
        if len(self._drawn) > _UPDATES_REMEMBERED_MAX:
            del self._drawn[next(iter(self._drawn))]
        return drawn


def check_recipients(schedule: ScheduleConfig, family: UpdateFamily) -> None:
    """Refuse to draw recipients where everybody needs every update.

    Raises:
        ConfigError: If that is so, or nobody would be drawn.
    """
    count = schedule.recipients
    if count is None:
        return
    fix = ""
    if count < 1:
        fix = "write at least 1, or leave it out: then updates are for all neighbors"
    elif schedule.mode is ScheduleMode.SYNCHRONOUS:
        fix = (
            "leave it out: a synchronous neighbor would wait for what it does not get; or write "
            "mode = asynchronous"
        )
    elif family is UpdateFamily.LEDGER:
        fix = "leave it out: every entry of a log must reach everybody; or take another method"
    elif family is UpdateFamily.DIFFERENCE:
        fix = "leave it out: neighbors need every difference; or take a codec such as float32"
    if fix:
        raise ConfigError("schedule.recipients", count, fix)
