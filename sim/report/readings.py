"""What a report shows, as numbers: read from a run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from p2pfed.errors import ConfigError
from sim.line_files import read_lines
from sim.run_folder import FinishedRun

_POINTS_MAX: Final = 200  # of a curve: more than a screen shows of it

Series = Mapping[int, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """How the peers' values are spread along an axis; all lists are of one length.

    Attributes:
        at: Where, rising.
        least: The smallest value of any peer.
        low: The first quartile.
        median: The median.
        high: The third quartile.
        most: The largest value.
        counts: How many peers have a value there.
    """

    at: list[float]
    least: list[float]
    low: list[float]
    median: list[float]
    high: list[float]
    most: list[float]
    counts: list[int]


@dataclass(slots=True, kw_only=True)
class Readings:
    """What the metrics of a run say.

    Attributes:
        hostile: Attack of each hostile peer, by number.
        peer_count: How many peers there are.
        by_time: Validation scores of honest peers, by number: virtual seconds and score; none of a
            run in rounds, which take no time.
        by_round: The same by the number of rounds that the peer had finished.
        by_bytes: The same with the bytes that the peer had sent.
        scores: The last score of every peer that evaluated, by number.
        consensus: Virtual seconds, or rounds where there are none, and consensus distance.
        links: Bytes by sender and receiver.
        rejected: Rows without a part, by reason and by whose they were; and those with one, `used`.
    """

    hostile: dict[int, str]
    peer_count: int
    by_time: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    by_round: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    by_bytes: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    consensus: list[tuple[float, float]] = field(default_factory=list)
    links: dict[tuple[int, int], int] = field(default_factory=dict)
    rejected: dict[str, Mapping[str, int]] = field(default_factory=dict)


def read_metrics(run: FinishedRun) -> Readings:
    """Read the metrics of a run folder.

    Raises:
        ConfigError: If they cannot be read, or there are none.
    """
    peers = run.result["peers"]
    hostile = {number: it["hostile"] for number, it in enumerate(peers) if it["hostile"]}
    found = Readings(hostile=hostile, peer_count=len(peers))
    number = 0
    for number, line in enumerate(read_lines(run.metrics_path), start=1):
        try:
            _take(found, line)
        except (KeyError, TypeError, ValueError) as error:
            fix = f"line {number} is none of a simulation's metrics ({error!r}); run it again"
            raise ConfigError("file", str(run.metrics_path), fix) from error
    if not number:
        raise ConfigError("file", str(run.metrics_path), "is empty; run it again")
    found.rejected = {"used": run.result["rows_used"], **run.result["rejected"]}
    return found


def _take(found: Readings, line: Mapping[str, Any]) -> None:
    match line["kind"]:
        case "evaluation":
            _take_evaluation(found, line)
        case "swarm" if line["consensus_distance"] is not None:
            at = line["round"] + 1.0 if line["at_s"] is None else float(line["at_s"])
            found.consensus.append((at, float(line["consensus_distance"])))
        case "link":
            link = _peer(found, line["sender"]), _peer(found, line["receiver"])
            found.links[link] = int(line["bytes_sent"])
        case _:
            pass


def _peer(found: Readings, number: Any) -> int:
    if number not in range(found.peer_count):
        raise ValueError(f"there is no peer {number!r}")
    return int(number)


def _take_evaluation(found: Readings, line: Mapping[str, Any]) -> None:
    peer = _peer(found, line["peer"])
    if line["score"] is None:
        return  # it was no number
    score = float(line["score"])
    found.scores[peer] = score
    if peer not in found.hostile:
        if line["at_s"] is not None:
            found.by_time.setdefault(peer, []).append((float(line["at_s"]), score))
        found.by_round.setdefault(peer, []).append((line["round"] + 1.0, score))
        found.by_bytes.setdefault(peer, []).append((float(line["bytes_sent"]), score))


def bands(series: Series) -> Bands:
    """Return how values are spread, each peer's newest one at every place.

    Args:
        series: Places and values, by peer. A peer counts from its first one on. A place that falls,
            as rounds do after a lost disk, counts as the one before.
    """
    if not series:
        return Bands(at=[], least=[], low=[], median=[], high=[], most=[], counts=[])
    places = np.unique([at for points in series.values() for at, _ in points])
    if len(places) > _POINTS_MAX:
        places = np.linspace(places[0], places[-1], _POINTS_MAX)
    values = np.full((len(series), len(places)), np.nan)
    for row, points in zip(values, series.values(), strict=True):
        known = np.maximum.accumulate([at for at, _ in points])
        newest = np.searchsorted(known, places, side="right") - 1
        has_one = newest >= 0
        row[has_one] = np.array([value for _, value in points])[newest[has_one]]
    levels = np.nanpercentile(values, [0, 25, 50, 75, 100], axis=0)
    least, low, median, high, most = (level.tolist() for level in levels)
    return Bands(
        at=places.tolist(),
        least=least,
        low=low,
        median=median,
        high=high,
        most=most,
        counts=np.count_nonzero(~np.isnan(values), axis=0).tolist(),
    )
