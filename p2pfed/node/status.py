"""What a node has lived through, for people: kept from its notices, and written to its folder."""

import json
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, final

from p2pfed.core.events import Evaluation
from p2pfed.core.notices import (
    Finished,
    JobTrouble,
    LogsLeftOut,
    NeighborJoined,
    NeighborsAwaited,
    NeighborUnreachable,
    Notice,
    PartActive,
    PartIdle,
    PeerOffended,
    PeerRefused,
    ReputationLost,
    RoundFinished,
    UpdateRejected,
)
from p2pfed.core.rejections import Rejections
from p2pfed.core.row_use import RowUse
from p2pfed.core.standing import NeighborStanding
from p2pfed.errors import LocalError, cannot_write
from p2pfed.identity import PeerId, format_peer_id
from p2pfed.node.awaited import describe_awaited
from p2pfed.node.driver import Node

STATUS_FILE: Final = "status.json"

_HISTORY_MAX: Final = 1_000  # guess: evaluations, enough for a plot; older ones go
_PEERS_MAX: Final = 1_024  # guess: authors whose weights are kept; neighbors are at most 256


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A node at a glance; `status.json` holds the same fields.

    Attributes:
        peer_id: Its libp2p PeerID.
        run_id: BLAKE3-256 of the run's genesis, in hex.
        run_name: The run's name.
        phase: What the protocol is doing.
        round: Rounds finished.
        sequence: Of the newest own update, 0 before the first.
        rounds_max: Rounds after which it stops, None for no bound.
        loss: Mean training loss of the last round.
        score: Newest score on validation data.
        test_score: Newest score on test data.
        own_weight: Coefficient of the own row in the last integration.
        neighbors: PeerIDs of the neighbors that are there.
        addresses: Multiaddresses under which others can dial it.
        bytes_sent: On the wire, since the process started.
        bytes_received: Likewise.
        weights_by_peer: Mean coefficient that each peer's rows got.
        rejected: How often neighbors' updates were rejected or got no weight, by reason.
        rejected_peers: Whom each reason concerned; see `Rejections.peers`.
        idle: Why parts that the run file switches on have nothing to do, by table of the run file.
        history: Evaluations: round, loss, score, test_score.
        reputation: What neighbors have earned, by PeerID: `status` (a `robust.ReputationStatus`, or
            `loss-gate`), `reputation` in [0, 1], and `mass`, the largest share that it might have
            in the last integration, None if it had no row there; None where reputation is off.
        privacy: What was told about training rows, None where nobody counts: mechanism,
            protected, epsilon, epsilon_left, epsilon_max, delta, releases.
        warning: That no row of a neighbor was used since the process started, and why; or None.
        trouble: The last thing that went wrong, or None.
        stop_reason: Why training ended, None while it goes on.
        pid: Of the process.
        updated_at: ISO 8601, UTC.
    """

    peer_id: str
    run_id: str
    run_name: str
    phase: str
    round: int
    sequence: int
    rounds_max: int | None
    loss: float | None
    score: float | None
    test_score: float | None
    own_weight: float | None
    neighbors: tuple[str, ...]
    addresses: tuple[str, ...]
    bytes_sent: int
    bytes_received: int
    weights_by_peer: Mapping[str, float]
    rejected: Mapping[str, int]
    rejected_peers: Mapping[str, Mapping[str, Any]]
    idle: Mapping[str, str]
    history: tuple[Mapping[str, float | int | None], ...]
    reputation: Mapping[str, Mapping[str, Any]] | None
    privacy: Mapping[str, float | int | str] | None
    warning: str | None
    trouble: str | None
    stop_reason: str | None
    pid: int
    updated_at: str

    def to_json_object(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return asdict(self)


def write_status(folder: Path, status: NodeStatus) -> None:
    """Replace the status in a state folder; a reader sees the old one or the new one.

    Not synced to the disk: it is news, and everything that must last is elsewhere.

    Raises:
        LocalError: If it cannot be written.
    """
    path = folder / STATUS_FILE
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(json.dumps(status.to_json_object(), indent=1), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_status(folder: Path) -> dict[str, Any] | None:
    """Return the last status that a node wrote into its state folder, None if there is none.

    Raises:
        LocalError: If the file is damaged.
    """
    path = folder / STATUS_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LocalError(
            f"cannot read {path}: {error}; remove it, a node writes it anew"
        ) from error
    if not isinstance(found, dict):
        raise LocalError(f"{path} holds no status; remove it, a node writes it anew")
    return found


@final
class Chronicle:
    """Adds up a node's notices.

    Args:
        peer_id: Whose.
        run_id: Of which run, in hex.
        run_name: Its name.
        rounds_max: Rounds after which the node stops, None for no bound.
        earlier: Status that an earlier life wrote: its scores still hold, if it is the same peer's
            of the same run.
    """

    def __init__(
        self,
        *,
        peer_id: str,
        run_id: str,
        run_name: str,
        rounds_max: int | None,
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        self._peer_id, self._run_id, self._run_name = peer_id, run_id, run_name
        self._rounds_max = rounds_max
        self._stop_reason: str | None = None
        self._loss: float | None = None
        self._score: float | None = None
        self._test_score: float | None = None
        self._own_weight: float | None = None
        self._trouble: str | None = None
        self._weights: dict[PeerId, tuple[float, int]] = {}  # sum, count
        self._rejections = Rejections()
        self._row_use = RowUse()
        self._has_neighbors = False
        self._idle: dict[str, str] = {}
        self._unreachable: dict[PeerId, str] = {}  # configured neighbors, at most 256
        self._history: deque[dict[str, float | int | None]] = deque(maxlen=_HISTORY_MAX)
        if earlier is not None and (earlier.get("peer_id"), earlier.get("run_id")) == (
            peer_id,
            run_id,
        ):
            self._score, self._test_score = earlier.get("score"), earlier.get("test_score")
            self._history.extend(earlier.get("history", ()))

    def take(self, notice: Notice) -> None:
        """Add what happened."""
        match notice:
            case RoundFinished():
                self._take_round(notice)
            case UpdateRejected(peer=peer, reason=reason):
                self._row_use.refuse(reason)
                self._rejections.add(peer, reason)
            case PeerOffended(peer=peer, kind=kind, detail=detail):
                self._trouble = f"{format_peer_id(peer)} broke the protocol ({kind}): {detail}"
            case PeerRefused(peer=peer, reason=reason):
                self._trouble = f"{format_peer_id(peer)} was refused: {reason}"
            case (
                JobTrouble(reason=reason)
                | ReputationLost(reason=reason)
                | LogsLeftOut(reason=reason)
            ):
                self._trouble = reason
            case NeighborUnreachable(peer=peer, reason=reason):
                self._has_neighbors = True
                self._unreachable[peer] = reason
            case NeighborJoined(peer=peer):
                self._has_neighbors = True
                self._unreachable.pop(peer, None)
            case NeighborsAwaited(is_over=True):
                self._trouble = describe_awaited(notice, unreachable=self._unreachable)
            case PartIdle(part=part, reason=reason):
                self._idle[part] = reason
            case PartActive(part=part):
                self._idle.pop(part, None)
            case Finished(reason=stop_reason):
                self._stop_reason = str(stop_reason)
            case _:
                pass  # the rest shows in the node's own summary

    def status(self, node: Node) -> NodeStatus:
        """Return where the node stands, once it has begun."""
        spent = node.privacy_spent()
        traffic, protocol = node.traffic(), node.status()
        return NodeStatus(
            peer_id=self._peer_id,
            run_id=self._run_id,
            run_name=self._run_name,
            phase=str(protocol.phase),
            round=protocol.round,
            sequence=protocol.sequence,
            rounds_max=self._rounds_max,
            loss=self._loss,
            score=self._score,
            test_score=self._test_score,
            own_weight=self._own_weight,
            neighbors=tuple(format_peer_id(peer) for peer in protocol.neighbors),
            addresses=tuple(node.addresses()),
            bytes_sent=traffic.sent_bytes,
            bytes_received=traffic.received_bytes,
            weights_by_peer=self._mean_weights(),
            rejected=self._rejections.counts(),
            rejected_peers=self._rejections.peers(),
            idle=dict(self._idle),
            history=tuple(self._history),
            reputation=_reputation(node.standings()),
            privacy=None if spent is None else spent.to_json_object(),
            warning=self._row_use.warning(),
            trouble=self._trouble,
            stop_reason=self._stop_reason,
            pid=os.getpid(),
            updated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _mean_weights(self) -> dict[str, float]:
        return {
            format_peer_id(peer): total / count
            for peer, (total, count) in sorted(self._weights.items())
        }

    def _take_round(self, notice: RoundFinished) -> None:
        self._loss = self._loss if notice.loss is None else notice.loss
        self._row_use.add(notice.verdicts, notice.note, has_neighbors=self._has_neighbors)
        if notice.verdicts:
            self._own_weight = notice.own_weight
        if notice.evaluation is not None:
            self._take_evaluation(notice, notice.evaluation)
        for verdict in notice.verdicts:
            total, count = self._weights.pop(verdict.peer, (0.0, 0))
            self._weights[verdict.peer] = (total + verdict.weight, count + 1)
            if verdict.weight == 0.0 and verdict.reason:
                self._rejections.add(verdict.peer, verdict.reason)
        while len(self._weights) > _PEERS_MAX:
            del self._weights[next(iter(self._weights))]  # longest without a row

    def _take_evaluation(self, notice: RoundFinished, evaluation: Evaluation) -> None:
        self._score = evaluation.score
        if evaluation.test_score is not None:
            self._test_score = evaluation.test_score
        self._history.append(
            {
                "round": notice.round,
                "loss": notice.loss,
                "score": evaluation.score,
                "test_score": evaluation.test_score,
            }
        )


def _reputation(standings: Sequence[NeighborStanding] | None) -> dict[str, dict[str, Any]] | None:
    if standings is None:
        return None
    return {
        format_peer_id(it.peer): {
            "status": it.status,
            "reputation": it.reputation,
            "mass": it.mass_max,
        }
        for it in standings
    }
