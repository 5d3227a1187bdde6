"""What a hostile peer may do differently; the base does everything as an honest one does."""

from collections.abc import Sequence
from typing import Any

from p2pfed.identity import PeerId
from sim.transfers import Served


class Adversary:
    """Stands between a peer's core and its network. An honest core runs behind it.

    One attack overrides one method. What it is not asked for it leaves alone.
    """

    def frames_to_send(self, peer: PeerId, frame: bytes) -> Sequence[bytes]:
        """Return what is really sent for a frame of the core.

        Args:
            peer: Who gets it.
            frame: What the core wants to send.
        """
        del peer
        return (frame,)

    def frame_received(self, peer: PeerId, frame: bytes) -> None:
        """Take note of a frame from a peer, before the core gets it."""

    def served(self, payload: bytes) -> Served:
        """Return what is really served for a payload."""
        return Served(size_bytes=len(payload), payload=payload)

    def task(self, own: Any) -> Any:
        """Return the task that is trained on for the own one, a `p2pfed.learn.task.Task`."""
        return own

    def difference(self, own: Any) -> Any:
        """Return what is published for the own difference from the initial vector.

        Args:
            own: A tensor of shape (d,), or one number of it.
        """
        return own
