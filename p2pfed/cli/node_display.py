"""What people see of a running node: a live table on a terminal, lines elsewhere."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from p2pfed.cli.output import Output, facts, size_of
from p2pfed.core.notices import (
    Finished,
    JobTrouble,
    LogsLeftOut,
    NeighborJoined,
    NeighborLost,
    NeighborsAwaited,
    NeighborUnreachable,
    Notice,
    PartIdle,
    PeerOffended,
    PeerRefused,
    ReputationLost,
    RoundFinished,
    StopReason,
    UpdateRejected,
)
from p2pfed.identity import format_peer_id
from p2pfed.node.awaited import describe_awaited
from p2pfed.node.outcome import NodeEvent
from p2pfed.node.status import NodeStatus

_REFRESHES_PER_S: Final = 4
_PEERS_SHOWN: Final = 5  # of each reason in the line of a round


@final
class NodeDisplay:
    """Shows a node's events; a context manager around its run.

    Args:
        output: Where to.
    """

    def __init__(self, output: Output) -> None:
        self._people = output.people
        self._live: Live | None = None
        if not output.as_json and self._people.is_terminal:
            self._live = Live(console=self._people, refresh_per_second=_REFRESHES_PER_S)
        self._has_begun = False
        self._told: set[str] = set()  # parts that were said to be idle

    def __enter__(self) -> "NodeDisplay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def take(self, event: NodeEvent) -> None:
        """Show an event."""
        if not self._has_begun:
            self._has_begun = True
            self._greet(event.status)
        if self._live is not None:
            self._live.update(_table(event.status))
        if event.notice is None or self._is_told_again(event.notice):
            return
        line = _line(event.notice, event.status)
        if line is not None and (self._live is None or not isinstance(event.notice, RoundFinished)):
            self._people.print(line)

    def _is_told_again(self, notice: Notice) -> bool:
        """Return whether neighbors that come and go make a part idle once more."""
        if not isinstance(notice, PartIdle):
            return False
        is_told = notice.part in self._told
        self._told.add(notice.part)
        return is_told

    def _greet(self, status: NodeStatus) -> None:
        self._people.print(f"run {status.run_name} {status.run_id[:16]}, peer {status.peer_id}")
        self._people.print("let others reach this peer by one of")
        for address in status.addresses:
            self._people.print(f"  --peer {address}")
        if self._live is not None:
            self._live.start()


def _table(status: NodeStatus) -> RenderableType:
    bound = "" if status.rounds_max is None else f" of {status.rounds_max}"
    rows: dict[str, object] = {
        "round": f"{status.round}{bound}, {status.phase}",
        "loss": status.loss,
        "score": status.score,
        "test_score": status.test_score,
        "bytes": f"{size_of(status.bytes_sent)} out, {size_of(status.bytes_received)} in",
        "rejected": rejection_lines(status.rejected, status.rejected_peers) or "none",
    }
    if status.idle:
        rows["idle"] = status.idle
    if status.privacy is not None:
        rows["privacy"] = privacy_words(status.privacy)
    if status.trouble is not None:
        rows["last_trouble"] = status.trouble
    table = neighbor_table(status.neighbors, status.weights_by_peer, status.reputation)
    return Group(facts(rows), table)


def rejection_lines(counts: Mapping[str, int], peers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line per reason: how many updates had it, and whose they were.

    Args:
        counts: Updates by reason.
        peers: As `Rejections.peers` returns it; a status of an earlier version has none.
    """
    lines = []
    for reason, count in counts.items():
        concerned = peers.get(reason, {"peers": {}, "more": 0})
        names = [f"{short_peer(peer)} {number}" for peer, number in concerned["peers"].items()]
        if concerned["more"]:
            names.append(f"and {concerned['more']} more peers")
        lines.append(f"{reason}: {count}" + (f" ({', '.join(names)})" if names else ""))
    return lines


def short_peer(peer: str) -> str:
    """Return the end of a PeerID: all of them begin alike."""
    return f"…{peer[-8:]}"


def privacy_words(privacy: Mapping[str, float | int | str] | None) -> str:
    """Return what was told about training rows, and what may still be."""
    if privacy is None:
        return "off"
    return (
        f"epsilon {privacy['epsilon']:.3f} spent, {privacy['epsilon_left']:.3f} left of "
        f"{privacy['epsilon_max']:g} at delta {privacy['delta']:g}, {privacy['mechanism']}"
    )


def neighbor_table(
    neighbors: tuple[str, ...],
    weights: Mapping[str, float],
    reputation: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """Return who is there, what weight each peer's rows got, and what each has earned.

    Args:
        neighbors: PeerIDs of those connected.
        weights: Mean coefficients by PeerID.
        reputation: As in `NodeStatus`; None leaves its columns out.
    """
    earned = reputation or {}
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("neighbor", overflow="fold")
    table.add_column("connected")
    table.add_column("mean weight", justify="right")
    if reputation is not None:
        table.add_column("standing")
        table.add_column("reputation", justify="right")
        table.add_column("mass", justify="right")
    for peer in sorted({*neighbors, *weights, *earned}):
        cells = [peer, "yes" if peer in neighbors else "no", _share(weights.get(peer))]
        if reputation is not None:
            one = earned.get(peer, {})
            cells += [
                one.get("status", "-"),
                _share(one.get("reputation")),
                _share(one.get("mass")),
            ]
        table.add_row(*cells)
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _line(notice: Notice, status: NodeStatus) -> str | None:
    match notice:
        case RoundFinished():
            return _round_line(notice, status)
        case NeighborJoined(peer=peer):
            return f"{format_peer_id(peer)} joined"
        case NeighborLost(peer=peer, reason=reason):
            return f"{format_peer_id(peer)} is gone: {reason}"
        case NeighborUnreachable(peer=peer, reason=reason):
            return f"{format_peer_id(peer)}: {reason}; trying again"
        case NeighborsAwaited(is_over=False):
            return describe_awaited(notice)
        case PeerRefused(peer=peer, reason=reason):
            return f"{format_peer_id(peer)} was refused: {reason}"
        case UpdateRejected(peer=peer, reason=reason):
            return f"an update of {format_peer_id(peer)} was rejected: {reason}"
        case PeerOffended(peer=peer, kind=kind, detail=detail, banned_s=banned_s):
            ban = f"; banned for {banned_s:.0f} s" if banned_s else ""
            return f"{format_peer_id(peer)} broke the protocol ({kind}): {detail}{ban}"
        case JobTrouble(reason=reason) | ReputationLost(reason=reason) | LogsLeftOut(reason=reason):
            return f"trouble: {reason}"
        case PartIdle(part=part, reason=reason):
            return f"{part} {reason}"
        case Finished(reason=StopReason.NEIGHBORS):
            return None  # the error at the end says it all
        case Finished(reason=reason, rounds=rounds):
            count = f"{rounds} round{'' if rounds == 1 else 's'}"
            ended = f"training ended after {count} ({reason})"
            return f"{ended}; serving on for as long as schedule.linger_s says"
        case _:
            return None


def _round_line(notice: RoundFinished, status: NodeStatus) -> str:
    parts = [f"round {notice.round + 1}"]
    if notice.loss is not None:
        parts.append(f"loss {notice.loss:.4f}")
    if notice.evaluation is not None:
        parts.append(f"score {notice.evaluation.score:.4f}")
        if notice.evaluation.test_score is not None:
            parts.append(f"test score {notice.evaluation.test_score:.4f}")
    used = sum(verdict.weight > 0.0 for verdict in notice.verdicts)
    parts.append(
        f"{used} of {len(notice.verdicts)} rows used" if notice.verdicts else "no new rows"
    )
    unused: dict[str, list[str]] = {}
    for verdict in notice.verdicts:
        if verdict.weight == 0.0 and verdict.reason:
            unused.setdefault(verdict.reason, []).append(short_peer(format_peer_id(verdict.peer)))
    for reason, peers in unused.items():
        more = len(peers) - _PEERS_SHOWN
        ending = f" and {more} more" if more > 0 else ""
        parts.append(f"{reason}: {' '.join(peers[:_PEERS_SHOWN])}{ending}")
    if notice.note:
        parts.append(notice.note)
    if status.privacy is not None:
        parts.append(
            f"epsilon {status.privacy['epsilon']:.3f} of {status.privacy['epsilon_max']:g}"
        )
    parts.append(f"{size_of(status.bytes_sent)} out, {size_of(status.bytes_received)} in")
    return ", ".join(parts)
