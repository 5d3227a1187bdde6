"""What can be watched in a world without taking part in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from p2pfed.core.effects import Effect
from p2pfed.core.events import Evaluation, Event
from p2pfed.core.notices import Notice
from p2pfed.errors import ConfigError
from p2pfed.identity import PeerId

# A `sim.host.Host` and a `sim.world.World`. Both know their watchers, so this module cannot know
# them; subclasses can, and say so in their annotations.
AnyHost: TypeAlias = Any
AnyWorld: TypeAlias = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlayed:
    """How all stand after a round of a scenario whose fidelity is `rounds`.

    Attributes:
        round: Its number, from 0.
        rounds: How many there are.
        learners: Numbers of the honest peers.
        evaluations: Of their models, by number; none if none was due.
        bytes_sent: Payload bytes that each peer has sent since the beginning.
        consensus_distance: Mean squared distance of the honest peers' vectors from their mean; None
            where nothing was evaluated.
        rows_used: Rows with weight at honest peers since the beginning, by whose they were.
        rejected: The same of those without, by reason.
        links: After the last round sender, receiver and the payload bytes between them.
    """

    round: int
    rounds: int
    learners: tuple[int, ...]
    evaluations: Mapping[int, Evaluation]
    bytes_sent: Sequence[int]
    consensus_distance: float | None
    rows_used: Mapping[str, int]
    rejected: Mapping[str, Mapping[str, int]]
    links: Sequence[tuple[tuple[int, int], int]]


class Watcher:
    """Is told what happens in a world; the base ignores it all."""

    def world_began(self, world: AnyWorld) -> None:
        """Take the world, before anything happens in it."""

    def event_handled(self, host: AnyHost, event: Event, effects: list[Effect]) -> None:
        """Take what an event caused, before any of it is started."""

    def frame_sent(self, host: AnyHost, peer: PeerId, frame: bytes) -> None:
        """Take a frame that a core sends, when everything before it in its list is done."""

    def notice_given(self, host: AnyHost, notice: Notice) -> None:
        """Take what a peer told its application."""

    def world_changed(self, world: AnyWorld) -> None:
        """Take that a fault began or ended."""

    def world_checked(self, world: AnyWorld) -> None:
        """Look at the whole world; called now and then and at the end of a run."""

    def world_ended(self, world: AnyWorld) -> None:
        """Take the world at the end of a scenario, also of one that a checker ended."""

    def round_played(self, played: RoundPlayed) -> None:
        """Take that a round is over, where there are rounds and no world."""


def check_watchers(watchers: object) -> None:
    """Refuse what cannot watch, before anything has happened.

    Raises:
        ConfigError: If it is no list, or an element does not derive from `Watcher`.
    """
    if not isinstance(watchers, Sequence) or isinstance(watchers, str | bytes):
        raise ConfigError("watchers", watchers, "give a list of them, such as [watcher]")
    for number, watcher in enumerate(watchers):
        if isinstance(watcher, type) and issubclass(watcher, Watcher):
            fix = f"give an object of this class, such as {watcher.__name__}()"
            raise ConfigError(f"watchers.{number}", watcher, fix)
        if not isinstance(watcher, Watcher):
            fix = "give an object of a class that derives from sim.Watcher"
            raise ConfigError(f"watchers.{number}", watcher, fix)


@final
class Audience:
    """The watchers of a world, in their order, and who of them takes what happens all the time.

    Args:
        watchers: Those that are there from the beginning.

    Attributes:
        watchers: All of them.
        event_handled: Of those that take it, `Watcher.event_handled`.
        frame_sent: The same of `Watcher.frame_sent`.
        notice_given: The same of `Watcher.notice_given`.
    """

    def __init__(self, watchers: Iterable[Watcher]) -> None:
        self.watchers: list[Watcher] = []
        self.event_handled: list[Callable[[AnyHost, Event, list[Effect]], None]] = []
        self.frame_sent: list[Callable[[AnyHost, PeerId, bytes], None]] = []
        self.notice_given: list[Callable[[AnyHost, Notice], None]] = []
        for watcher in watchers:
            self.add(watcher)

    def add(self, watcher: Watcher) -> None:
        """Tell one more watcher what happens from now on."""
        self.watchers.append(watcher)
        kind = type(watcher)
        if kind.event_handled is not Watcher.event_handled:
            self.event_handled.append(watcher.event_handled)
        if kind.frame_sent is not Watcher.frame_sent:
            self.frame_sent.append(watcher.frame_sent)
        if kind.notice_given is not Watcher.notice_given:
            self.notice_given.append(watcher.notice_given)
