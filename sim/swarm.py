"""Plays random worlds: first safety, with faults, then liveness, when everything is mended.

`python -m sim.swarm 17` plays seed 17 again, `python -m sim.swarm 0 1000` a thousand seeds. A seed
that fails says so in one line that plays it again, and in one that plays what is left of it after
all was cut that has no part in the failure (see `sim.shrinking`).
"""

import argparse
import sys
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import networkx as nx

from p2pfed.core.config import UpdateFamily
from p2pfed.core.events import Command
from p2pfed.core.own import OPERATIONS_PER_SNAPSHOT
from p2pfed.core.schedule import Phase
from p2pfed.errors import ConfigError
from sim.cases import HARMLESS, SAFETY_S, Case, draw_case
from sim.checkers.invariant import InvariantError
from sim.checkers.links import return_s
from sim.exchange import Exchange, spread_ratio
from sim.faults import Crash, Fault, Heal, Leave, Restart, Slow, plan_faults
from sim.jobs import ComputeModel
from sim.shrinking import cut_case, describe, shrink
from sim.stubs import stub_world
from sim.world import World

# Every peer is back after the safety phase; what is left of its rounds takes at most this long.
LIVENESS_S: Final = 600.0
# Rows must be used so long after links are back: a slow peer ends what it does, ten times as slow.
EXCHANGE_S: Final = 60.0
# Measured: 0.23 at most once rows are used, and 0.94 to 1 where nothing is mixed.
SPREAD_RATIO_MAX: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong in a case.

    Attributes:
        kind: Who noticed: a checker, or the type of an exception. A smaller case with another kind
            is another bug.
        detail: Its message.
    """

    kind: str
    detail: str


def play(case: Case) -> World:
    """Play a case to its end: faults first, then everything is mended and all must come right.

    Raises:
        InvariantError: If a checker found something, honest peers did not come to use each other's
            rows (see `sim.exchange`), their models stayed apart, one did not finish, or those that
            train on a ledger do not hold the same one.
    """
    world = make_world(case)
    exchange = Exchange()
    world.watch(exchange)
    everybody = tuple(range(case.nodes))
    mended: list[Fault] = [
        Heal(at_s=SAFETY_S),
        # Late enough for a peer that has just said goodbye to be gone.
        Restart(at_s=SAFETY_S + 2.0, peers=everybody),
        Slow(at_s=SAFETY_S, peers=everybody, speed_ratio=1.0),
    ]
    plan_faults(world, [*case.faults, *mended])
    world.run(until_s=SAFETY_S + 3.0)
    exchange.begin(world)
    _exchange(case, world, exchange)
    for peer in case.endless:
        world.command(peer, Command.STOP)
    _finish(case, world)
    return world


def why_ledgers_may_differ(case: Case) -> str | None:
    """Say why equal ledgers cannot be asked of a case; None if they can."""
    if case.family is not UpdateFamily.LEDGER:
        return "updates are no entries of a ledger"
    if any(isinstance(fault, Crash | Leave) for fault in case.faults):
        return "a process that ends after its last round may take its last entry along"
    honest = set(range(case.nodes)) - set(case.adversaries)
    if not nx.is_connected(case.graph().subgraph(honest)):
        return "liars, who are banned, stand between honest peers"
    return None


def why_models_may_differ(case: Case) -> str | None:
    """Say why models near each other cannot be asked of a case; None if they can."""
    honest = set(range(case.nodes)) - set(case.adversaries)
    if case.family is not UpdateFamily.WHOLE:
        return "models are not four numbers"
    if not set(case.endless) >= honest - set(case.relays):
        return "those that have trained stay where they are"
    if set(case.adversaries.values()) & set(HARMLESS):
        return "a liar that looks like its neighbors may draw them apart"
    if not nx.is_connected(case.graph().subgraph(honest)):
        return "liars, who are banned, stand between honest peers"
    trainers = honest - set(case.relays)
    if len(trainers) < 2:
        return "there is nobody to differ from"
    if not nx.is_connected(case.graph().subgraph(trainers)):
        return "relays, whose rounds end, stand between those that train"
    return None


def find_failure(case: Case) -> Failure | None:
    """Play a case; return what went wrong, if anything did.

    Whatever a core raises is a bug that was found, so that every exception counts.
    """
    try:
        play(case)
    except InvariantError as error:
        return Failure(kind=error.checker, detail=error.detail)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} in {place.name}"
        return Failure(kind=kind, detail=str(error))
    return None


def explain(seed: int, failure: Failure, cuts: Sequence[str] = ()) -> str:
    """Say in a few lines how to play a failing seed again, and what is left of it when cut."""
    case = cut_case(draw_case(seed), cuts)

    def fails(smaller: Case) -> bool:
        found = find_failure(smaller)
        return found is not None and found.kind == failure.kind

    smallest = shrink(case, fails)
    return "\n".join(
        [
            f"{failure.kind}: {failure.detail}",
            f"replay:   {_command(seed, cuts)}",
            f"smallest: {_command(seed, [*cuts, *smallest])}",
            f"which is: {describe(cut_case(case, smallest))}",
        ]
    )


def make_world(case: Case, *, here: Collection[int] | None = None) -> World:
    """Make the world of a case, without its faults.

    Args:
        case: Which.
        here: Numbers of the peers that are in it, all by default; see `sim.parts`.
    """
    return stub_world(
        case.graph(),
        case.schedule,
        seed=case.seed,
        payload_bytes=case.payload_bytes,
        relays=case.relays,
        adversaries=case.adversaries,
        membership=case.membership,
        link=case.link,
        start_spread_s=case.start_spread_s,
        family=case.family,
        clocks_ahead_s=case.clocks_ahead_s,
        clock_rates=case.clock_rates,
        lines=case.lines,
        participation=case.participation,
        rounds_max=dict.fromkeys(case.endless),
        compute=ComputeModel(training_s=case.training_s),
        here=here,
    )


def _exchange(case: Case, world: World, exchange: Exchange) -> None:
    within_s = _return_s(case, world) + EXCHANGE_S
    if case.family is UpdateFamily.LEDGER:
        # Who restarts has integrated what it can pass on no more. A snapshot says it to those who
        # lack it, and each round may wait for a window as long as a training.
        within_s += 2.0 * OPERATIONS_PER_SNAPSHOT * case.training_s
    end_s = world.now_s + within_s
    mixes = why_models_may_differ(case) is None
    while missing := exchange.missing(world):
        if world.now_s >= end_s:
            what = f"{within_s} s after the last fault rows are not used, by reader and author"
            raise InvariantError("exchange", f"{what}: {missing}")
        world.run(until_s=world.now_s + 1.0)
    while mixes and (ratio := spread_ratio(world)) > SPREAD_RATIO_MAX:
        if world.now_s >= end_s:
            what = f"{within_s} s after the last fault models are apart by"
            raise InvariantError("models", f"{what} {ratio:.3f} of what they are without exchange")
        world.run(until_s=world.now_s + 1.0)


def _finish(case: Case, world: World) -> None:
    honest = [host.index for host in world.hosts if host.is_honest]
    if not world.run(until_s=world.now_s + LIVENESS_S, stop=lambda: world.all_done(honest)):
        stuck = {index: world.phase(index) for index in honest if not world.hosts[index].is_done}
        raise InvariantError("swarm", f"not finished {LIVENESS_S} s after the last fault: {stuck}")
    # Long enough for the checker of links to look while those that linger are still there.
    world.run(until_s=world.now_s + _return_s(case, world))
    if why_ledgers_may_differ(case) is None:
        if len(set(_digests(world, honest).values())) > 1:
            # Somebody still catches up, while the others serve; after that nobody can.
            world.run(
                until_s=world.now_s + LIVENESS_S,
                stop=lambda: all(world.phase(index) is Phase.LEFT for index in honest),
            )
        digests = _digests(world, honest)
        if len(set(digests.values())) > 1:
            raise InvariantError("ledgers", f"differ between honest peers: {digests}")


def _return_s(case: Case, world: World) -> float:
    slowest = min(case.clock_rates, default=1.0)
    return return_s(case.membership, world.network.timing, clock_rate_min=slowest)


def _digests(world: World, peers: Sequence[int]) -> dict[int, str]:
    benches = {index: world.hosts[index].bench for index in peers}
    return {index: it.digest().hex()[:8] for index, it in benches.items() if it is not None}


def _command(seed: int, cuts: Sequence[str]) -> str:
    return f"python -m sim.swarm {seed}" + (f" --cut {','.join(cuts)}" if cuts else "")


def main(arguments: Sequence[str]) -> int:
    """Play one seed, or those from the first up to but not the second argument."""
    parser = argparse.ArgumentParser(prog="python -m sim.swarm", description=__doc__)
    parser.add_argument("first", type=int, help="seed to play")
    parser.add_argument("end", type=int, nargs="?", help="play all seeds up to but not this one")
    parser.add_argument("--cut", default="", help="what to leave out, such as fault-0,peers-4")
    given = parser.parse_args(arguments)
    cuts = [cut for cut in given.cut.split(",") if cut]
    failed = 0
    for seed in range(given.first, given.first + 1 if given.end is None else given.end):
        try:
            case = cut_case(draw_case(seed), cuts)
        except ConfigError as error:
            parser.error(str(error))
        failure = find_failure(case)
        failed += failure is not None
        if failure is not None:
            print(explain(seed, failure, cuts), flush=True)
        else:
            print(f"{seed}: {case.topology} of {case.nodes}, {case.family}: holds", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
