"""Keeps the parts of a world in step.

Nothing that a part does reaches another one sooner than the shortest delay of an edge. So all parts
can go on by that time at once, and exchange afterwards what they sent each other: a conservative
simulation with synchronous windows (Nicol 1993, "The cost of conservative synchronization in
parallel discrete event simulations").
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from torch import Tensor

from sim.checkers.invariant import InvariantError
from sim.network import Parcel
from sim.outcomes import Ended
from sim.parts.relay import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """What a part did in a step.

    Attributes:
        next_ns: When something will happen in it, as far as it knows, in nanoseconds.
        last_ns: When something happened last.
        first_ends_ns: When the first job of each kind ends of those that wait to be computed.
        sent: What it sent, by number of the part.
        arrival_ns: When the first of that arrives.
        turns: When it came to be over, or to be not over any more.
        told: What its peers told their applications.
        events: How many there were in it so far; what happens in all parts alike is in the first's.
    """

    next_ns: int | None
    last_ns: int
    first_ends_ns: tuple[int | None, ...]
    sent: Mapping[int, Sequence[Parcel]]
    arrival_ns: int | None
    turns: tuple[tuple[int, bool], ...]
    told: tuple[Told, ...]
    events: int


class Part(Protocol):
    """Some of the peers of a world."""

    def begin(self, end_ns: int, parcels: Sequence[Parcel], kinds: Sequence[int]) -> None:
        """Begin a step.

        Args:
            end_ns: Up to which time, in nanoseconds; what is due then is left for the next one.
            parcels: What other parts sent to this one, in the order of each of them.
            kinds: Of jobs: what has started of these is computed in any case.
        """

    def end(self) -> Stepped:
        """Wait for the end of the step, and return what happened in it.

        Raises:
            InvariantError: If a checker found something wrong.
        """

    def check(self) -> None:
        """Let the checkers look at all of it.

        Raises:
            InvariantError: If one found something wrong.
        """

    def ended(self) -> Ended:
        """Return how its peers stand."""

    def link_bytes(self) -> list[tuple[tuple[int, int], int]]:
        """Return what its peers sent along each edge, by who sent and who received."""

    def vector_sum(self, numbers: Collection[int]) -> tuple[Tensor | None, int]:
        """Return the sum of the vectors of those of some peers that are here, and how many."""

    def square_sum(self, numbers: Collection[int], mean: Tensor) -> float:
        """Return the sum of their squared distances from a mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How a world came to its end.

    Attributes:
        end_ns: When it was over; or else when the last thing happened, or the time was up.
        last_ns: When the last thing happened, or the time was up.
        is_over: Whether it was.
    """

    end_ns: int
    last_ns: int
    is_over: bool


def play(
    parts: Sequence[Part],
    *,
    latency_ns: int,
    until_ns: int,
    tell: Callable[[Sequence[Stepped]], None],
) -> Played:
    """Let time pass in all parts.

    Args:
        parts: By number.
        latency_ns: What no delay between two parts is below, in nanoseconds; positive.
        until_ns: When it ends at the latest. It goes on for `latency_ns` after all parts are over,
            by when each knows.
        tell: Is told after each step, in order of time.

    Raises:
        InvariantError: If a checker found something wrong.
    """
    assert latency_ns > 0
    are_over = [False] * len(parts)
    over_ns: int | None = None
    stepped = _step(parts, 0, [[] for _ in parts], ())
    while True:
        tell(stepped)
        if over_ns is None:
            over_ns = _all_over(are_over, stepped)
        start_ns = _next_ns(stepped)
        last_ns = until_ns if over_ns is None else min(until_ns, over_ns + latency_ns)
        if start_ns is None or start_ns > last_ns:
            break
        parcels = [_sent_to(number, stepped) for number in range(len(parts))]
        end_ns = min(start_ns + latency_ns, last_ns + 1)
        stepped = _step(parts, end_ns, parcels, _due_kinds(stepped, end_ns))
    is_time_up = over_ns is None and start_ns is not None
    happened_ns = until_ns if is_time_up else max(it.last_ns for it in stepped)
    end_ns = happened_ns if over_ns is None else over_ns
    return Played(end_ns=end_ns, last_ns=happened_ns, is_over=all(are_over))


def _step(
    parts: Sequence[Part], end_ns: int, parcels: Sequence[list[Parcel]], kinds: Sequence[int]
) -> list[Stepped]:
    # The last ones first: the first part may be in this very process, and works at once.
    for number in reversed(range(len(parts))):
        parts[number].begin(end_ns, parcels[number], kinds)
    stepped: list[Stepped] = []
    found: InvariantError | None = None
    for part in parts:
        try:
            stepped.append(part.end())
        except InvariantError as error:  # after the others have ended theirs, too
            found = found or error
    if found is not None:
        raise found
    return stepped


def _due_kinds(stepped: Sequence[Stepped], end_ns: int) -> list[int]:
    """Return the kinds of jobs of which one ends in the next step, in whichever part.

    Else one part would compute in this step and the others in later ones, each time alone.
    """
    of_kinds = zip(*(it.first_ends_ns for it in stepped), strict=True)
    return [
        kind
        for kind, ends_ns in enumerate(of_kinds)
        if any(it is not None and it < end_ns for it in ends_ns)
    ]


def _sent_to(number: int, stepped: Sequence[Stepped]) -> list[Parcel]:
    return [parcel for it in stepped for parcel in it.sent.get(number, ())]


def _next_ns(stepped: Sequence[Stepped]) -> int | None:
    times = chain.from_iterable((it.next_ns, it.arrival_ns) for it in stepped)
    return min((it for it in times if it is not None), default=None)


def _all_over(are_over: list[bool], stepped: Sequence[Stepped]) -> int | None:
    """Take turns in order of time; return when all parts were over at once, if they were."""
    turns = [(at_ns, n, is_over) for n, it in enumerate(stepped) for at_ns, is_over in it.turns]
    for at_ns, number, is_over in sorted(turns, key=lambda turn: turn[0]):
        are_over[number] = is_over
        if all(are_over):
            return at_ns
    return None
