"""How the peers of a world stand at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim.network import Power
from sim.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one peer stands.

    Attributes:
        number: Whose.
        is_done: Whether it has stopped training.
        has_given_up: Whether it did so without an end that its disk knows.
        has_started: Whether it ever ran.
        is_to_start: Whether it never ran, and will.
        is_running: Whether its process runs.
        privacy: What was told about its training rows, as JSON knows it; None if nobody counts.
        model_digest: BLAKE3-256 of its vector in hexadecimal, empty if it never ran.
    """

    number: int
    is_done: bool
    has_given_up: bool
    has_started: bool
    is_to_start: bool
    is_running: bool
    privacy: Mapping[str, float | int | str] | None
    model_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a world, or a part of one, stands at its end.

    Attributes:
        outcomes: Of its peers, by number.
        bytes_sent: What every peer of the whole world has sent from here, by number.
        digests: Of what was delivered, by number; see `sim.trace`.
        events: How many there were.
        shared_events: Those among them that are not of one peer, and happened in all parts alike.
    """

    outcomes: Sequence[Outcome]
    bytes_sent: Sequence[int]
    digests: Mapping[int, bytes]
    events: int
    shared_events: int


def ended(world: World) -> Ended:
    """Return how a world stands."""
    outcomes = []
    for host in world.hosts:
        spent = None if host.bench is None else host.bench.privacy_spent
        outcomes.append(
            Outcome(
                number=host.index,
                is_done=host.is_done,
                has_given_up=host.has_given_up,
                has_started=host.core is not None,
                is_to_start=host.core is None and world.is_to_start(host.index),
                is_running=host.power is Power.RUNNING,
                privacy=None if spent is None else spent.to_json_object(),
                model_digest="" if host.bench is None else host.bench.digest().hex(),
            )
        )
    return Ended(
        outcomes=outcomes,
        bytes_sent=world.network.sent_bytes(),
        digests=world.trace.digests,
        events=world.trace.count,
        shared_events=world.trace.shared_count,
    )


def join(parts: Sequence[Ended]) -> Ended:
    """Return how a whole world stands, from its parts by number.

    Faults that concern several peers happened in all parts alike, and are those of the first.
    """
    outcomes = [it for part in parts for it in part.outcomes]
    digests = {
        number: digest
        for k, part in enumerate(parts)
        for number, digest in part.digests.items()
        if number >= 0 or k == 0
    }
    return Ended(
        outcomes=sorted(outcomes, key=lambda it: it.number),
        bytes_sent=[sum(sent) for sent in zip(*(it.bytes_sent for it in parts), strict=True)],
        digests=digests,
        events=sum(part.events - part.shared_events for part in parts) + parts[0].shared_events,
        shared_events=parts[0].shared_events,
    )
