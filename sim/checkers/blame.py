"""Blame: no honest peer is ever accused, banned or refused by an honest one."""

from typing import final

from typing_extensions import override

from p2pfed.core.notices import Notice, PeerOffended
from p2pfed.identity import PeerId
from sim.checkers.invariant import fail
from sim.host import Host
from sim.watching import Watcher
from sim.world import World


@final
class HonestUnblamed(Watcher):
    """No honest peer counts an offence of an honest peer, equivocation included."""

    def __init__(self) -> None:
        self._honest: dict[PeerId, int] | None = None
        self._accusations: list[tuple[Host, PeerOffended]] = []

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        if isinstance(notice, PeerOffended) and host.is_honest:
            self._accusations.append((host, notice))
            if self._honest is not None:
                self._judge()

    @override
    def world_changed(self, world: World) -> None:
        self._learn(world)

    @override
    def world_checked(self, world: World) -> None:
        self._learn(world)

    def _learn(self, world: World) -> None:
        if self._honest is None:
            self._honest = {
                member.identity.peer: number
                for number, member in enumerate(world.members)
                if member.adversary is None
            }
        self._judge()

    def _judge(self) -> None:
        assert self._honest is not None
        for host, notice in self._accusations:
            if notice.peer in self._honest:
                fail(
                    self,
                    f"peer {host.index} blames honest peer {self._honest[notice.peer]}: "
                    f"{notice.kind}, {notice.detail}",
                )
        self._accusations.clear()
