"""What a simulation found out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import final

from typing_extensions import override

from p2pfed.core.notices import Finished, Notice, PeerOffended, RoundFinished
from p2pfed.identity import PeerId
from sim.host import Host
from sim.watching import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One evaluation of a peer's model.

    Attributes:
        round: After which of its rounds.
        at_s: Virtual time, in seconds.
        score: Task metric on validation data, larger is better.
        test_score: The same on test data, None when that was not measured.
    """

    round: int
    at_s: float
    score: float
    test_score: float | None


@dataclass(slots=True, kw_only=True)
class PeerReport:
    """What became of one peer.

    Attributes:
        hostile: Name of its attack, None for an honest peer.
        rounds: Rounds finished, those repeated after a restart counted again.
        stopped: Why it stopped training, None if it has not.
        scores: Its evaluations in order.
        offences_seen: Offences of others that it counted.
    """

    hostile: str | None = None
    rounds: int = 0
    stopped: str | None = None
    scores: list[Score] = field(default_factory=list)
    offences_seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a simulation found out; equal for equal scenarios and seeds.

    Attributes:
        scenario: Name of the run.
        seed: Of the simulation.
        metrics: `mean_accuracy` and `worst_accuracy` of the honest training peers' last test
            scores (None where nothing was tested), `hostile_weight_mass` (mean weight of hostile
            rows in the integrations that had any, None without), `finished` (share of honest
            peers that stopped training), `virtual_s`, `events`.
        peers: One report per peer.
        bytes_sent: Per peer, with the framing around frames and chunks.
        trace_digest: BLAKE3-256 of everything that was delivered, in hexadecimal.
        model_digests: BLAKE3-256 of each peer's final vector, in hexadecimal.
    """

    scenario: str
    seed: int
    metrics: Mapping[str, float | int | None]
    peers: tuple[PeerReport, ...]
    bytes_sent: tuple[int, ...]
    trace_digest: str
    model_digests: tuple[str, ...]

    def to_json(self) -> str:
        """Return everything as one JSON object."""
        return json.dumps(asdict(self), sort_keys=True)


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

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        report = self.reports[host.index]
        match notice:
            case RoundFinished():
                report.rounds += 1
                self._take_round(host, notice)
            case Finished():
                report.stopped = str(notice.reason)
            case PeerOffended():
                report.offences_seen += 1
            case _:
                return

    def hostile_weight_mass(self) -> float | None:
        """Return the mean weight of hostile rows in honest integrations that had any."""
        return sum(self._masses) / len(self._masses) if self._masses else None

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
        hostile = [v.weight for v in notice.verdicts if v.peer in self._hostile]
        if hostile and report.hostile is None:
            self._masses.append(sum(hostile))
