"""Bounds: effects per event, payloads, timers, counters and weights never grow beyond them."""

import math
from typing import Final, final

from typing_extensions import override

from p2pfed.core.config import UpdateFamily
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event
from p2pfed.core.notices import Notice, RoundFinished
from p2pfed.limits import LIVES_PER_AUTHOR_MAX
from sim.checkers.invariant import fail
from sim.host import Host
from sim.watching import Watcher
from sim.world import World

WEIGHT_SLACK: Final = 2e-6  # twice the rounding that `robust` grants to functions of one's own
COUNTERS_MAX: Final = 128  # a dozen messages, each sent and received, and as many reasons thrice
_ROWS: Final = 1  # of a neighbor in the integration that runs
_OWN_PAYLOADS: Final = 3  # two that synchronous neighbors may want, and one in the making
_TIMERS_PER_NEIGHBOR: Final = 1  # a redial
_TIMERS_BESIDE: Final = 8  # one of each other kind


@final
class BoundedEffects(Watcher):
    """One event causes at most `limits.effects_per_event_max` effects."""

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        limit = host.member.config.limits.effects_per_event_max
        if len(effects) > limit:
            fail(
                self,
                f"{type(event).__name__} caused {len(effects)} effects at peer {host.index}, at "
                f"most {limit}",
            )


@final
class BoundedState(Watcher):
    """Payloads held, timers and counters of every running peer stay below what limits allow."""

    @override
    def world_checked(self, world: World) -> None:
        for host in world.hosts:
            if host.core is not None:
                self._check(host, len(world.network.peers))

    def _check(self, host: Host, peer_count: int) -> None:
        assert host.core is not None
        limits = host.member.config.limits
        neighbors = min(
            peer_count - 1, limits.neighbors_max + len(host.member.config.membership.neighbors)
        )
        kept, rows, own = limits.updates_per_author_max, _ROWS, _OWN_PAYLOADS
        family = host.member.config.family
        if family is UpdateFamily.DIFFERENCE:  # an integration reads whole chains
            kept = rows = limits.differences_per_author_max
            own = limits.differences_per_author_max + 1
        elif family is UpdateFamily.LEDGER:  # and logs are those of everybody, in earlier lives too
            lives = 2 * LIVES_PER_AUTHOR_MAX  # that count, and that may
            kept = rows = own = lives * limits.operations_per_author_max + 1
        bounds = {
            "payloads": (
                len(host.shelf),
                neighbors * (kept + rows) + own,
            ),
            "timers": (
                len(host.timers),
                _TIMERS_BESIDE + neighbors * (_TIMERS_PER_NEIGHBOR + kept),
            ),
            "counters": (len(host.core.status().counters), COUNTERS_MAX),
        }
        for what, (found, most) in bounds.items():
            if found > most:
                fail(self, f"peer {host.index} has {found} {what}, at most {most}")


@final
class BoundedWeights(Watcher):
    """The weights of an integration, the own one included, are shares of at most one whole.

    What is missing to 1 is the genesis' share, as where a rule shortens rows.
    """

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        if not isinstance(notice, RoundFinished):
            return
        weights = [notice.own_weight, *(verdict.weight for verdict in notice.verdicts)]
        total, least = sum(weights), min(weights)
        where = f"of round {notice.round} at peer {host.index}"
        if not (math.isfinite(total) and least >= -WEIGHT_SLACK):  # a NaN makes the total one
            fail(self, f"weights {where} are {weights}, none may be below 0 or no number")
        if total > 1.0 + WEIGHT_SLACK:
            fail(self, f"weights {where} sum to {total}, at most 1")
