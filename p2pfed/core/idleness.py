"""Tells the application which parts that it switched on have nothing to do, and why."""

from collections.abc import Sequence
from typing import Final, final

from p2pfed.core.config import CoreConfig
from p2pfed.core.effects import IntegrationRow
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.notices import PartActive, PartIdle
from p2pfed.core.outbox import Outbox

_BANS: Final = "reputation"  # fields of a run file, which is where people look
_GATE: Final = "reputation.loss_gate"
_PRIORITIZER: Final = "integration.prioritizer"
_JUDGED_MIN: Final = 3  # it takes so many rated origins to reject one; see `robust.LossGate`


@final
class Idleness:
    """Compares the number of neighbors with what bans, the loss gate and the prioritizer need.

    Args:
        config: What this peer was told.
        neighbors: The neighbor table.
        outbox: Takes what the application is told.
    """

    def __init__(self, config: CoreConfig, neighbors: Neighbors, outbox: Outbox) -> None:
        self._neighbors = neighbors
        self._outbox = outbox
        self._idle: set[str] = set()
        self._needs: dict[str, tuple[int, str]] = {}  # neighbors from which on a part works
        if config.standing is not None:
            least = config.standing.policy.ban_peers_min
            self._needs[_BANS] = (
                least,
                f"bans nobody, since it compares at least {least} neighbors",
            )
        if config.standing is not None and config.standing.loss_gate is not None:
            why = f"judges nobody, since it compares at least {_JUDGED_MIN} neighbors"
            self._needs[_GATE] = (_JUDGED_MIN, why)
        if config.prioritizer_rows_max is not None:
            rows_max = config.prioritizer_rows_max
            why = f"leaves nobody out, since up to model_count_max = {rows_max} rows are used"
            self._needs[_PRIORITIZER] = (rows_max + 1, why)

    def look(self, rows: Sequence[IntegrationRow]) -> None:
        """Say what has changed, as the rows of an integration are chosen.

        Nothing is said before the first row: a peer that is alone waits for neighbors anyway.
        """
        if not rows:
            return
        count = max(len(rows), len(self._neighbors.greeted()))
        for part, (needed, why) in self._needs.items():
            if count < needed and part not in self._idle:
                self._idle.add(part)
                self._outbox.notify(PartIdle(part=part, reason=f"{why}; there are {count}"))
            elif count >= needed and part in self._idle:
                self._idle.remove(part)
                self._outbox.notify(PartActive(part=part))
