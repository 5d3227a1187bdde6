"""How far a simulation is, for those who wait for it."""

from collections.abc import Callable
from typing import Final, final

from typing_extensions import override

from p2pfed.core.notices import Finished, Notice, RoundFinished
from p2pfed.messages import Role
from sim.host import Host
from sim.watching import RoundPlayed, Watcher
from sim.world import World

_TELLS_MAX: Final = 200  # a bar on a screen has no more steps

# Takes the rounds that are over, all rounds (None if nothing bounds them) and the virtual seconds
# (None where no time passes).
Tell = Callable[[int, int | None, float | None], None]


@final
class RoundsMeter(Watcher):
    """Tells how many rounds of honest peers are over.

    Rounds that are repeated after a restart count once; those left when a peer stops early count
    when it does.

    Args:
        tell: Is told now and then.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._rounds: dict[int, int] = {}  # by number of the peer
        self._total: int | None = None
        self._done = 0
        self._told = 0

    @override
    def world_began(self, world: World) -> None:
        bounds: list[int | None] = []
        for number, member in enumerate(world.members):
            config = member.config
            if member.adversary is None and config.role is Role.TRAIN:
                self._rounds[number] = 0
                bounds.append(config.schedule.rounds_max)
        known = [it for it in bounds if it is not None]
        self._total = sum(known) if len(known) == len(bounds) else None

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        if host.index not in self._rounds:
            return
        match notice:
            case RoundFinished():
                reached = notice.round + 1
            case Finished():
                reached = host.member.config.schedule.rounds_max or self._rounds[host.index]
            case _:
                return
        self._done += max(0, reached - self._rounds[host.index])
        self._rounds[host.index] = max(reached, self._rounds[host.index])
        self._tell_now_and_then(host.now_s)

    @override
    def round_played(self, played: RoundPlayed) -> None:
        self._total = played.rounds * len(played.learners)
        self._done = (played.round + 1) * len(played.learners)
        self._tell_now_and_then(None)

    def _tell_now_and_then(self, at_s: float | None) -> None:
        step = 1 if self._total is None else max(1, self._total // _TELLS_MAX)
        is_over = self._done == self._total and self._told != self._total
        if is_over or self._done >= self._told + step:
            self._told = self._done
            self._tell(self._done, self._total, at_s)
