"""What goes wrong in a world, and when."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from p2pfed.core.events import Command
from sim.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """Processes end at once.

    Attributes:
        at_s: Virtual time, in seconds.
        peers: Numbers of the peers.
        silent: The machines go dark, so that their neighbors must find out by themselves.
        after_effects: Wait until each peer has started so many more effects, so that it may end
            in the middle of a list; None ends it now.
    """

    at_s: float
    peers: tuple[int, ...]
    silent: bool = False
    after_effects: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Processes start again; those that run are left alone.

    Attributes:
        at_s: Virtual time, in seconds.
        peers: Numbers of the peers.
        lose_disk: Nothing that they saved is left.
    """

    at_s: float
    peers: tuple[int, ...]
    lose_disk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Nothing gets through between groups any more, silently.

    Attributes:
        at_s: Virtual time, in seconds.
        groups: Numbers of peers; whoever is in none is in one more.
        one_way: Whether only what comes from the groups named is stopped: their peers hear of those
            in none, who hear nothing of them.
    """

    at_s: float
    groups: tuple[tuple[int, ...], ...]
    one_way: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """Every partition ends.

    Attributes:
        at_s: Virtual time, in seconds.
    """

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clog:
    """Links take nothing for a while, and then all.

    Attributes:
        at_s: Virtual time, in seconds.
        links: Pairs of peers, who sends and who receives.
        for_s: How long, in seconds.
    """

    at_s: float
    links: tuple[tuple[int, int], ...]
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Machines change their speed.

    Attributes:
        at_s: Virtual time, in seconds.
        peers: Numbers of the peers.
        speed_ratio: 1 is the usual speed.
    """

    at_s: float
    peers: tuple[int, ...]
    speed_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Operators tell peers to say goodbye; their processes end, and can be restarted.

    Attributes:
        at_s: Virtual time, in seconds.
        peers: Numbers of the peers.
    """

    at_s: float
    peers: tuple[int, ...]


Fault = Crash | Leave | Restart | Partition | Heal | Clog | Slow


def plan_faults(world: World, faults: Iterable[Fault]) -> None:
    """Let faults happen at their times."""
    for fault in faults:
        world.clock.after(fault.at_s - world.now_s, lambda fault=fault: _apply(world, fault))  # type: ignore[misc]


def _apply(world: World, fault: Fault) -> None:
    match fault:
        case Crash():
            for peer in fault.peers:
                if fault.after_effects is None:
                    world.crash(peer, silent=fault.silent)
                else:
                    world.crash_after_effects(peer, fault.after_effects)
        case Restart():
            for peer in fault.peers:
                world.restart(peer, lose_disk=fault.lose_disk)
        case Partition():
            world.partition(fault.groups, one_way=fault.one_way)
        case Heal():
            world.heal()
        case Leave():
            for peer in fault.peers:
                world.command(peer, Command.LEAVE)
        case Clog():
            world.clog(fault.links, for_s=fault.for_s)
        case Slow():
            for peer in fault.peers:
                world.set_speed(peer, fault.speed_ratio)
        case _:
            assert_never(fault)
