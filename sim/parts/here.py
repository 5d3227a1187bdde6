"""A part of a world that is simulated in this process."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import final

from torch import Tensor

from sim.benches import Bench
from sim.consensus import square_sum, vector_sum
from sim.network import Parcel
from sim.outcomes import Ended, ended
from sim.parts.lockstep import Stepped
from sim.parts.parcels import portable
from sim.parts.relay import Relay
from sim.world import World


@final
class PartHere:
    """Simulates the peers of one part.

    Args:
        number: Of the part; the first one counts what happens in all of them alike.
        world: Has them, and the relay among its watchers.
        part_of: Which part each peer is in, by number.
        is_over: Whether nobody here trains any more, and nobody will.
        relay: Takes what these peers tell.
    """

    def __init__(
        self,
        number: int,
        world: World,
        part_of: Sequence[int],
        is_over: Callable[[], bool],
        relay: Relay,
    ) -> None:
        self.world = world
        self._number = number
        self._part_of = part_of
        self._is_over = is_over
        self._relay = relay
        self._was_over = False
        self._turns: list[tuple[int, bool]] = []
        self._end_ns = 0
        self._kinds: Sequence[int] = ()

    def begin(self, end_ns: int, parcels: Sequence[Parcel], kinds: Sequence[int]) -> None:
        """Take what others sent; the step is done when it is asked for."""
        self.world.network.land(parcels)
        self._end_ns = end_ns
        self._kinds = kinds

    def end(self) -> Stepped:
        """Do the step.

        Raises:
            InvariantError: If a checker found something wrong.
        """
        self._turns = []
        trace = self.world.trace
        for kind in self._kinds:
            self.world.calculator.compute(kind)
        self.world.play(self._end_ns - 1, self._look)
        self._look()
        outgoing, self.world.network.outgoing = self.world.network.outgoing, []
        by_part: defaultdict[int, list[Parcel]] = defaultdict(list)
        for parcel in outgoing:
            by_part[self._part_of[parcel[2]]].append(portable(parcel))
        return Stepped(
            next_ns=self.world.clock.next_ns(),
            last_ns=self.world.clock.now_ns,
            first_ends_ns=self.world.calculator.first_ends_ns(),
            sent=dict(by_part),
            arrival_ns=min((parcel[0] for parcel in outgoing), default=None),
            turns=tuple(self._turns),
            told=self._relay.take(),
            events=trace.count - (trace.shared_count if self._number > 0 else 0),
        )

    def check(self) -> None:
        """Let the checkers look at all of it.

        Raises:
            InvariantError: If one found something wrong.
        """
        self.world.check()

    def ended(self) -> Ended:
        """Return how its peers stand."""
        return ended(self.world)

    def link_bytes(self) -> list[tuple[tuple[int, int], int]]:
        """Return what its peers sent along each edge, by who sent and who received."""
        return self.world.link_bytes()

    def vector_sum(self, numbers: Collection[int]) -> tuple[Tensor | None, int]:
        """Return the sum of the vectors of those of some peers that are here, and how many."""
        return vector_sum(self._benches(numbers))

    def square_sum(self, numbers: Collection[int], mean: Tensor) -> float:
        """Return the sum of their squared distances from a mean."""
        return square_sum(self._benches(numbers), mean)

    def _benches(self, numbers: Collection[int]) -> list[Bench | None]:
        return [host.bench for host in self.world.hosts if host.index in numbers]

    def _look(self) -> bool:
        """Note when it comes to be over, and go on."""
        is_over = self._is_over()
        if is_over != self._was_over:
            self._was_over = is_over
            self._turns.append((self.world.clock.now_ns, is_over))
        return False
