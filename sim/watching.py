"""What can be watched in a world without taking part in it."""

from typing import Any, TypeAlias

from p2pfed.core.effects import Effect
from p2pfed.core.events import Event
from p2pfed.core.notices import Notice
from p2pfed.identity import PeerId

# A `sim.host.Host` and a `sim.world.World`. Both know their watchers, so this module cannot know
# them; subclasses can, and say so in their annotations.
AnyHost: TypeAlias = Any
AnyWorld: TypeAlias = Any


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
