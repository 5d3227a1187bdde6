"""What a simulation found out."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, final

from typing_extensions import override

from p2pfed.core.effects import Effect
from p2pfed.core.events import Event, Verdict
from p2pfed.core.notices import (
    Finished,
    NeighborsAwaited,
    Notice,
    PeerOffended,
    RoundFinished,
    StopReason,
    UpdateRejected,
)
from p2pfed.core.rejections import Rejections
from p2pfed.core.row_use import RowUse
from p2pfed.identity import PeerId
from p2pfed.plain_json import finite
from robust.function_rule import WEIGHTS_UNKNOWN
from sim.frames import frame_of
from sim.host import Host
from sim.troubles import Troubles, trouble_of
from sim.watching import Watcher

if TYPE_CHECKING:
    import pandas

_OF_PEERS: Final = ("hostile", "device", "speed_ratio")  # columns of frames
UNKNOWN_MASS: Final = (
    "hostile_weight_mass is not known, and rows_used counts all rows, for the rule returns no "
    "weights: let it return (vector, weights)"
)

_NOT_CHOSEN: Final = "not-chosen"  # a rule gave the row no weight, and no other reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One evaluation of a peer's model.

    Attributes:
        round: After which of its rounds.
        at_s: Virtual time, in seconds; None in rounds, which take none.
        score: Task metric on validation data, larger is better.
        test_score: The same on test data, None when that was not measured.
    """

    round: int
    at_s: float | None
    score: float
    test_score: float | None


@dataclass(slots=True, kw_only=True)
class PeerReport:
    """What became of one peer.

    Attributes:
        hostile: Name of its attack, None for an honest peer.
        rounds: Rounds finished, those repeated after a restart counted again; in rounds without
            those in which training diverged.
        stopped: Why it stopped training, None if it has not.
        scores: Its evaluations in order.
        offences_seen: Offences of others that it counted.
        trouble: Why its last failed job failed, or who did not come; None if all is well.
        device: Number of its class of machines in the scenario's `devices`; None without one.
        speed_ratio: Its machine's, without faults; None in rounds, which take no time.
        privacy: What was told about its training rows, as `PrivacySpent` tells it to JSON; None for
            a peer without privacy or a hostile one.
    """

    hostile: str | None = None
    rounds: int = 0
    stopped: str | None = None
    scores: list[Score] = field(default_factory=list)
    offences_seen: int = 0
    trouble: str | None = None
    device: int | None = None
    speed_ratio: float | None = None
    privacy: Mapping[str, float | int | str] | None = None

    @property
    def test_score(self) -> float | None:
        """The last one that was measured; None without any."""
        tested = (it.test_score for it in reversed(self.scores) if it.test_score is not None)
        return next(tested, None)

    @property
    def has_failed(self) -> bool:
        """Whether it gave up training or waiting for neighbors, or in rounds diverged."""
        return self.stopped is not None and StopReason(self.stopped).is_failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a simulation found out; equal for equal scenarios and seeds.

    Attributes:
        scenario: Name of the run.
        seed: Of the simulation.
        scenario_digest: BLAKE3-256 of the scenario with every field written out, in hexadecimal.
        metrics: `mean_accuracy` and `worst_accuracy` of the honest training peers' last test
            scores (None where nothing was tested, or a score is no number), `tested` (share of
            these peers that have such a score), `hostile_weight_mass`
            (mean weight of hostile rows in the integrations that had any, None without, and where
            a rule of one's own returns no weights),
            `finished` (share of honest peers that stopped training and did not give up), `failed`
            (share of those that gave up training or waiting for neighbors, or in rounds diverged),
            `virtual_s` (when the last honest peer had stopped training, or the scenario's end),
            `events` (both None in rounds).
        peers: One report per peer.
        rows_used: How many rows had a part in honest peers' integrations, by whose they were:
            `honest` and `hostile`.
        rejected: Likewise how many rows had none or were not even taken, by reason.
        rejected_peers: Whose they were: by reason `peers`, count by number of the five peers with
            most of them, and `more`, how many others there are.
        warning: That jobs of honest peers failed, or that none of them used any row, finished a
            round or was tested, and why; or that some of them were tested and others not; or that
            their rule returns no weights; None if all is well.
        bytes_sent: Per peer, with the framing around frames and chunks; in rounds of payloads only.
        trace_digest: BLAKE3-256 of everything that was delivered, in hexadecimal; in rounds of all
            peers' final vectors.
        model_digests: BLAKE3-256 of each peer's final vector, in hexadecimal.
    """

    scenario: str
    seed: int
    scenario_digest: str
    metrics: Mapping[str, float | int | None]
    peers: tuple[PeerReport, ...]
    rows_used: Mapping[str, int]
    rejected: Mapping[str, Mapping[str, int]]
    rejected_peers: Mapping[str, Mapping[str, Any]]
    warning: str | None
    bytes_sent: tuple[int, ...]
    trace_digest: str
    model_digests: tuple[str, ...]

    def to_json(self) -> str:
        """Return everything as one JSON object; scores that are no numbers are null."""
        return json.dumps(finite(asdict(self)), sort_keys=True, allow_nan=False)

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return all evaluations: a row for each, by peer and in order.

        Columns: `peer` (its number), `hostile` (its attack, or None), `device` (number of its class
        of machines, NaN without one), `speed_ratio` (of its machine, NaN in rounds), `round`,
        `at_s` (NaN in rounds), `score` and `test_score` (NaN where it was not measured).

        Raises:
            LocalError: If pandas is not installed.
        """
        rows = [
            {
                "peer": number,
                **{name: getattr(report, name) for name in _OF_PEERS},
                **asdict(score),
            }
            for number, report in enumerate(self.peers)
            for score in report.scores
        ]
        columns = ["peer", *_OF_PEERS, *(it.name for it in fields(Score))]
        numbers = ("device", "speed_ratio", "at_s", "score", "test_score")
        return frame_of(rows, columns, numbers=numbers)


def accuracies(learners: Sequence[PeerReport]) -> dict[str, float | None]:
    """Return mean and worst of last test scores, and the share of peers with one, as metrics.

    Args:
        learners: The honest peers that train. Where none has a test score, and where one is no
            number, because its model diverged, mean and worst are None.
    """
    tested = _tested(learners)
    is_known = bool(tested) and all(map(math.isfinite, tested))
    return {
        "mean_accuracy": fmean(tested) if is_known else None,
        "worst_accuracy": min(tested) if is_known else None,
        "tested": len(tested) / len(learners) if learners else 0.0,
    }


def untested(learners: Sequence[PeerReport]) -> str | None:
    """Say that some of the honest peers that train have a test score and others not, else None."""
    missing = len(learners) - len(_tested(learners))
    if missing in (0, len(learners)):
        return None
    return (
        f"{missing} of {len(learners)} honest peers that train have no test score and are in no "
        "mean: peers are tested when they are done, and in between by schedule.test_every_rounds"
    )


def _tested(learners: Sequence[PeerReport]) -> list[float]:
    return [it.test_score for it in learners if it.test_score is not None]


@final
class Recorder(Watcher):
    """Keeps what peers tell their applications.

    Args:
        hostile: Attack of each hostile peer, by number.
        peers: Identities, by number.
    """

    def __init__(self, hostile: Mapping[int, str], peers: list[PeerId]) -> None:
        self.reports = [PeerReport(hostile=hostile.get(number)) for number in range(len(peers))]
        self._hostile = frozenset(peers[number] for number in hostile)
        self._masses: list[float] = []
        self._has_unknown_weights = False
        self._used: Counter[str] = Counter()
        self._rejected: dict[str, Counter[str]] = {}
        numbers = {peer: str(number) for number, peer in enumerate(peers)}
        self._rejections = Rejections(numbers.__getitem__)
        self._row_use = RowUse()
        self._troubles = Troubles()

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        reason = trouble_of(event, effects)
        if reason is not None:
            self.take_trouble(host.index, reason)

    def take_trouble(self, number: int, reason: str) -> None:
        """Take why a job of a peer failed."""
        report = self.reports[number]
        report.trouble = reason
        if report.hostile is None:
            self._troubles.add(number, reason)

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        report = self.reports[host.index]
        match notice:
            case RoundFinished():
                report.rounds += 1
                self._take_round(host, notice)
            case Finished():
                report.stopped = str(notice.reason)
            case NeighborsAwaited(is_over=True):
                came = f"{notice.present} of {notice.wanted} neighbors came"
                report.trouble = f"{came} within {notice.wait_s_max:g} s"
            case PeerOffended():
                report.offences_seen += 1
            case UpdateRejected() if report.hostile is None:
                self._row_use.refuse(notice.reason)
                self._reject(notice.peer, notice.reason)
            case _:
                return

    def hostile_weight_mass(self) -> float | None:
        """Return the mean weight of hostile rows in honest integrations that had any.

        None without any, and where some rule returned no weights.
        """
        if self._has_unknown_weights:
            return None
        return math.fsum(self._masses) / len(self._masses) if self._masses else None

    def rows_used(self) -> dict[str, int]:
        """Return how many rows of honest and of hostile peers had weight at honest ones."""
        return _by_side(self._used)

    def rejected(self) -> dict[str, dict[str, int]]:
        """Return the same of rows that had none, by reason."""
        return {reason: _by_side(self._rejected[reason]) for reason in sorted(self._rejected)}

    def rejected_peers(self) -> dict[str, dict[str, Any]]:
        """Return by reason whose rows those were; see `Rejections.peers`."""
        return self._rejections.peers()

    def warning(self) -> str | None:
        """Say what went wrong, in words; None if nothing did.

        Jobs that fail at hostile peers are their own affair, until one of them gives up: what
        follows may look like a defense.
        """
        honest = [it for it in self.reports if it.hostile is None]
        given_up = sum(it.stopped == StopReason.FAILED for it in honest)
        return joined(
            (
                self._troubles.warning(f"{given_up} of which gave up training"),
                _given_up_waiting([it for it in honest if it.stopped == StopReason.NEIGHBORS]),
                self._row_use.warning(),
                self._given_up_liars(),
                UNKNOWN_MASS if self._has_unknown_weights else None,
            )
        )

    def _given_up_liars(self) -> str | None:
        liars = [it for it in enumerate(self.reports) if it[1].hostile and it[1].has_failed]
        if not liars:
            return None
        number, first = liars[0]
        more = f" and {len(liars) - 1} more" if len(liars) > 1 else ""
        said = f"hostile peer {number} ({first.hostile}){more} gave up, and attacks no more"
        return f"{said}: {first.trouble}"

    def _take_round(self, host: Host, notice: RoundFinished) -> None:
        report = self.reports[host.index]
        evaluation = notice.evaluation
        if evaluation is not None:
            score = Score(
                round=notice.round,
                at_s=host.now_s,
                score=evaluation.score,
                test_score=evaluation.test_score,
            )
            report.scores.append(score)
        if report.hostile is None:
            self._has_unknown_weights |= notice.note == WEIGHTS_UNKNOWN
            self._take_verdicts(notice.verdicts)
            has_neighbors = bool(host.member.config.membership.neighbors)
            self._row_use.add(notice.verdicts, notice.note, has_neighbors=has_neighbors)

    def _take_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        hostile = [verdict.weight for verdict in verdicts if verdict.peer in self._hostile]
        if hostile:
            self._masses.append(sum(hostile))
        for verdict in verdicts:
            if verdict.weight > 0.0:
                self._used[self._side(verdict.peer)] += 1
            else:
                self._reject(verdict.peer, verdict.reason or _NOT_CHOSEN)

    def _reject(self, peer: PeerId, reason: str) -> None:
        self._rejections.add(peer, reason)
        self._rejected.setdefault(reason, Counter())[self._side(peer)] += 1

    def _side(self, peer: PeerId) -> str:
        return "hostile" if peer in self._hostile else "honest"


def joined(found: Iterable[str | None]) -> str | None:
    """Return what there is to warn of in one text; None if that is nothing."""
    return "; ".join(said for said in found if said) or None


def _given_up_waiting(alone: Sequence[PeerReport]) -> str | None:
    if not alone:
        return None
    peers = f"{len(alone)} peer{'s' if len(alone) > 1 else ''}"
    return f"{peers} gave up waiting for neighbors: {alone[0].trouble}"


def _by_side(counts: Counter[str]) -> dict[str, int]:
    return {side: counts[side] for side in ("honest", "hostile")}
