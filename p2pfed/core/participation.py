"""How seldom neighbors take part in own integrations, and how much their rows count therefore."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final

from p2pfed.core.config import CoreConfig, IntervalAverage, ParticipationConfig
from p2pfed.core.effects import Record
from p2pfed.core.neighbors import Neighbors
from p2pfed.errors import LocalError, RemoteError
from p2pfed.identity import PeerId
from p2pfed.values import Value
from p2pfed.wire import canonical, schema

_PREFIX: Final = "participation/"  # of records, one per neighbor
_RECORD_BYTES_MAX: Final = 64  # two whole numbers and one with a fraction
_COUNT_MAX: Final = 2**53 - 1  # exact in every language's number type
_KEPT: Final = 0.9  # guess: of the old average in a FedFix one, so that ten intervals matter


@final
class Interval(Value):
    """How many own integrations pass from one in which a neighbor takes part to the next.

    Attributes:
        average: Of those measured, at least 1; 1 before the first.
        measured: How many they are.
        passed: Own integrations since it last took part.
    """

    average: float = 1.0
    measured: int = 0
    passed: int = 0


def next_interval(interval: Interval, config: ParticipationConfig, *, is_there: bool) -> Interval:
    """Count one more own integration.

    Source: Wang and Ji 2024, "A lightweight method for tackling unknown participation statistics
        in federated averaging" (FedAU), alg. 2, with its cut-off interval K. FEDFIX: Fraboni et
        al. 2023, "A general theory for federated optimization with asynchronous and heterogeneous
        clients updates", whose weights of windows hang on the number of windows that a client
        takes.
    Differs: measured by each receiver for each neighbor, which tells of machine and link together.
        FEDFIX averages what it measures by a factor of 0.9, for no neighbor is asked how long it
        takes.

    Args:
        interval: What was known before.
        config: How to average, and the longest interval that is measured.
        is_there: Whether a row of the neighbor was among those integrated.
    """
    passed = interval.passed + 1
    if not is_there and passed < config.interval_max:
        return Interval(average=interval.average, measured=interval.measured, passed=passed)
    count = interval.measured
    if count == 0:
        average = float(passed)
    elif config.average is IntervalAverage.FEDAU:
        average = (count * interval.average + passed) / (count + 1)
    else:
        average = _KEPT * interval.average + (1.0 - _KEPT) * passed
    return Interval(average=average, measured=count + 1, passed=0)


@final
class Participation:
    """Lets rows of neighbors that come seldom count more than those of neighbors always there.

    A row has its mixing weight times the neighbor's average interval, at most `weight_max`, times
    `base`. Over many own integrations, neighbors within that bound move this peer alike, however
    seldom they come, and nobody more than `base * weight_max` times its mixing weight at once.
    `base` is a number that is everybody's, and nothing that follows from the neighborhood's own
    intervals: who has slow neighbors would move less than others then, and be followed more.

    Args:
        config: What this peer was told.
        neighbors: The neighbor table.
        saved: Records of an earlier life.

    Raises:
        LocalError: If a saved record is damaged.
    """

    def __init__(
        self, config: CoreConfig, neighbors: Neighbors, saved: Mapping[str, bytes]
    ) -> None:
        self._config = config.participation
        self._neighbors = neighbors
        self._intervals: dict[PeerId, Interval] = {}
        if self._config is not None:
            for key, value in sorted(saved.items()):
                if key.startswith(_PREFIX):
                    peer, interval = _decode(key, value)
                    self._intervals[peer] = interval

    def importances(self, peers: Sequence[PeerId]) -> list[float]:
        """Return how many times its mixing weight the row of each peer counts, above 0."""
        config = self._config
        if config is None:
            return [1.0] * len(peers)
        known = [self._intervals.get(peer, Interval()) for peer in peers]
        return [config.base * min(it.average, config.weight_max) for it in known]

    def observe(self, present: Iterable[PeerId]) -> tuple[Record, ...]:
        """Count one more own integration; return what must be durable of it.

        Args:
            present: Whose rows were among those integrated.
        """
        if self._config is None:
            return ()
        there = dict.fromkeys(present)
        authors = [it.peer for it in self._neighbors.all() if self._neighbors.is_author(it.peer)]
        gone = [peer for peer in self._intervals if peer not in authors]
        for peer in gone:
            del self._intervals[peer]
        for peer in authors:
            before = self._intervals.get(peer, Interval())
            self._intervals[peer] = next_interval(before, self._config, is_there=peer in there)
        kept = [Record(key=_key(peer), value=_encode(it)) for peer, it in self._intervals.items()]
        return (*kept, *(Record(key=_key(peer), value=None) for peer in gone))


def _key(peer: PeerId) -> str:
    return f"{_PREFIX}{peer.hex()}"


def _encode(interval: Interval) -> bytes:
    return canonical.pack([interval.average, interval.measured, interval.passed])


def _decode(key: str, data: bytes) -> tuple[PeerId, Interval]:
    try:
        peer = PeerId(schema.public_key(bytes.fromhex(key.removeprefix(_PREFIX)), name="peer"))
        value = canonical.unpack(data, bytes_max=_RECORD_BYTES_MAX)
        average, measured, passed = schema.array(value, count=3, name="interval")
        interval = Interval(
            average=_average(average),
            measured=schema.integer(measured, 0, _COUNT_MAX, name="measured"),
            passed=schema.integer(passed, 0, _COUNT_MAX, name="passed"),
        )
    except (ValueError, RemoteError) as error:
        raise LocalError(
            f"the saved record {key} is damaged ({error}); restore the state folder from a backup"
        ) from error
    return peer, interval


def _average(value: object) -> float:
    if type(value) is not float or value < 1.0:
        raise ValueError(f"{value} is no average interval")
    return value
