"""Cuts a failing case down to what its failure needs.

A cut is a short text, so that what is left of a seed is played again by its seed and its cuts:
`fault-K` and `liar-K` leave one out, `peers-K` keeps the first K peers, `rounds-K` ends sooner, and
`clocks`, `rates`, `recipients`, `relays`, `network`, `lines`, `payloads`, `spread`, `timing`,
`participation`, `pace` and `endless` bring in what is plainest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Final

from p2pfed.core.config import ScheduleConfig
from p2pfed.errors import ConfigError
from sim.benches import INLINE_PAYLOAD_BYTES
from sim.cases import DEFAULT, USUAL_TRAINING_S, Case
from sim.faults import Clog, Fault, Heal, Partition
from sim.links import LinkModel
from topologies import TopologyError

TRIES_MAX: Final = 60  # cases played by one search; a small one takes a tenth of a second

_LAST: Final = ("peers", "rounds")  # of these cuts the last one says it all
_SMALL: Final = "line"  # has any number of nodes, and few edges
_USUAL: Final = ScheduleConfig()
_PLAIN: Final[dict[str, Callable[[Case], Case]]] = {
    "clocks": lambda case: replace(case, clocks_ahead_s=()),
    "rates": lambda case: replace(case, clock_rates=()),
    "recipients": lambda case: replace(case, schedule=replace(case.schedule, recipients=None)),
    "relays": lambda case: replace(case, relays=()),
    "network": lambda case: replace(case, link=LinkModel()),
    "lines": lambda case: replace(case, lines=()),
    "payloads": lambda case: replace(case, payload_bytes=INLINE_PAYLOAD_BYTES),
    "spread": lambda case: replace(case, start_spread_s=0.1),
    "timing": lambda case: replace(case, membership=DEFAULT),
    "participation": lambda case: replace(case, participation=None),
    "pace": lambda case: replace(case, schedule=_at_the_usual_pace(case.schedule)),
    "endless": lambda case: replace(case, endless=(), training_s=USUAL_TRAINING_S),
}


def cut_case(case: Case, cuts: Sequence[str]) -> Case:
    """Leave things out of a case; numbers of faults and peers are those of the case as given.

    Raises:
        ConfigError: If there is no such cut.
    """
    numbers = {"fault": set[int](), "liar": set[int](), "peers": {case.nodes}, "rounds": set[int]()}
    cut = case
    for name in cuts:
        kind, _, number = name.partition("-")
        if name in _PLAIN:
            cut = _PLAIN[name](cut)
        elif kind in numbers and number.isdecimal():
            numbers[kind].add(int(number))
        else:
            fix = f"write fault-K, liar-K, peers-K, rounds-K or one of {', '.join(_PLAIN)}"
            raise ConfigError("cut", name, fix)
    kept = [fault for k, fault in enumerate(case.faults) if k not in numbers["fault"]]
    liars = {k: kind for k, kind in case.adversaries.items() if k not in numbers["liar"]}
    rounds = min([case.schedule.rounds_max or 1, *numbers["rounds"]])
    cut = replace(
        cut,
        adversaries=liars,
        faults=tuple(kept),
        schedule=replace(cut.schedule, rounds_max=max(1, rounds)),
    )
    return _with_fewer_peers(cut, max(1, min(numbers["peers"])))


def shrink(case: Case, fails: Callable[[Case], bool], *, tries_max: int = TRIES_MAX) -> list[str]:
    """Find cuts after which a case still fails, one after the other.

    Args:
        case: One that fails.
        fails: Plays a case; whether it fails in the same way.
        tries_max: How many cases to play at most.
    """
    cuts: list[str] = []
    tries = 0
    is_better = True
    while is_better:
        is_better = False
        for name in _candidates(case, cuts):
            if tries == tries_max:
                return cuts
            tries += 1
            if fails(cut_case(case, [*cuts, name])):
                # One that keeps fewer peers or rounds takes the place of one that keeps more.
                kind = name.partition("-")[0]
                cuts[:] = [it for it in cuts if kind not in _LAST or not it.startswith(kind)]
                cuts.append(name)
                is_better = True
    return cuts


def describe(value: object) -> str:
    """Return a case, or what is in it, as Python writes it, without what is by default."""
    if isinstance(value, tuple):
        return "(" + "".join(f"{describe(it)}, " for it in value) + ")"
    if isinstance(value, Enum):
        return str(value)
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    told = [
        f"{it.name}={describe(found)}"
        for it in fields(value)
        if (found := getattr(value, it.name)) != it.default
    ]
    return f"{type(value).__name__}({', '.join(told)})"


def _candidates(case: Case, cuts: list[str]) -> Iterator[str]:
    """List what may be cut, the largest pieces first; reads `cuts` as it grows."""
    for k in range(2, case.nodes):
        if k < cut_case(case, cuts).nodes:
            yield f"peers-{k}"
    for k in case.adversaries:
        if k in cut_case(case, cuts).adversaries:
            yield f"liar-{k}"
    for k in reversed(range(len(case.faults))):
        if f"fault-{k}" not in cuts:
            yield f"fault-{k}"
    for name, make_plain in _PLAIN.items():
        now = cut_case(case, cuts)
        if make_plain(now) != now:
            yield name
    for divisor in (4, 2):
        rounds = cut_case(case, cuts).schedule.rounds_max or 1
        if rounds // divisor > 0:
            yield f"rounds-{rounds // divisor}"


def _at_the_usual_pace(schedule: ScheduleConfig) -> ScheduleConfig:
    return replace(
        schedule,
        gossip_steps=_USUAL.gossip_steps,
        integrate=_USUAL.integrate,
        window_s=_USUAL.window_s,
        arrivals=_USUAL.arrivals,
        staleness_rounds_max=_USUAL.staleness_rounds_max,
    )


def _with_fewer_peers(case: Case, nodes: int) -> Case:
    if nodes >= case.nodes:
        return case
    fewer = replace(
        case,
        nodes=nodes,
        relays=tuple(k for k in case.relays if k < nodes),
        clocks_ahead_s=case.clocks_ahead_s[:nodes],
        lines=case.lines[:nodes],
        clock_rates=case.clock_rates[:nodes],
        endless=tuple(k for k in case.endless if k < nodes),
        adversaries={k: kind for k, kind in case.adversaries.items() if k < nodes},
        faults=tuple(it for fault in case.faults if (it := _among(fault, nodes)) is not None),
    )
    try:
        fewer.graph()
    except TopologyError:
        return replace(fewer, topology=_SMALL)
    return fewer


def _among(fault: Fault, nodes: int) -> Fault | None:
    """Return a fault without the peers that are gone; None if nobody is left."""
    if isinstance(fault, Heal):
        return fault
    if isinstance(fault, Partition):
        groups = [tuple(k for k in group if k < nodes) for group in fault.groups]
        return replace(fault, groups=tuple(group for group in groups if group))
    if isinstance(fault, Clog):
        links = tuple(link for link in fault.links if max(link) < nodes)
        return replace(fault, links=links) if links else None
    peers = tuple(k for k in fault.peers if k < nodes)
    return replace(fault, peers=peers) if peers else None
