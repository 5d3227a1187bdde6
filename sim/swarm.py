"""Random worlds: a seed draws topology, network, faults and attack; first safety, then liveness.

`python -m sim.swarm 17` plays seed 17 again, `python -m sim.swarm 0 1000` a thousand seeds.
"""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import topologies
from p2pfed.core.config import ScheduleConfig, ScheduleMode, UpdateFamily
from sim.adversaries import registry
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES
from sim.checkers.invariant import InvariantError
from sim.checkers.standard import return_s
from sim.faults import Crash, Fault, Heal, Leave, Partition, Restart, Slow, draw_churn, plan_faults
from sim.identities import random_for
from sim.links import LinkModel
from sim.stubs import stub_world
from sim.world import World

SAFETY_S: Final = 60.0  # faults may happen for so long, in virtual seconds
# Every peer is back after the safety phase; what is left of its rounds takes at most this long.
LIVENESS_S: Final = 600.0

_NODES_MAX: Final = 8  # small worlds find as much as large ones, and fail readably
# Those that lie about the protocol, and one that stubs understand: their models are four numbers.
_ATTACKS: Final = tuple(sorted(registry.ADVERSARIES))
_TOPOLOGIES: Final = ("complete", "k-regular", "line", "ring", "star")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a seed drew.

    Attributes:
        seed: The seed.
        topology: Name of the graph.
        nodes: Peers.
        schedule: Rounds of every peer.
        payload_bytes: Size of payloads, in bytes.
        link: Of every edge.
        start_spread_s: Peers start at random times within so many seconds.
        relays: Peers that do not train.
        adversaries: Attacks by number of the peer.
        faults: What goes wrong in the safety phase.
        family: WHOLE or LEDGER.
    """

    seed: int
    topology: str
    nodes: int
    schedule: ScheduleConfig
    payload_bytes: int
    link: LinkModel
    start_spread_s: float
    relays: tuple[int, ...]
    adversaries: dict[int, str]
    faults: tuple[Fault, ...]
    family: UpdateFamily = UpdateFamily.WHOLE


def draw_case(seed: int) -> Case:
    """Draw a case; equal seeds give equal ones."""
    generator = random_for(seed, "swarm")
    nodes = generator.randint(2, _NODES_MAX)
    topology = generator.choice(_TOPOLOGIES if nodes > 4 else ("complete", "line", "star"))
    mode = generator.choice((ScheduleMode.SYNCHRONOUS, ScheduleMode.ASYNCHRONOUS))
    adversaries = {}
    if nodes > 2 and generator.random() < 0.5:
        adversaries[generator.randrange(nodes)] = generator.choice(_ATTACKS)
    honest = [number for number in range(nodes) if number not in adversaries]
    relays = (generator.choice(honest),) if len(honest) > 2 and generator.random() < 0.2 else ()
    return Case(
        seed=seed,
        topology=topology,
        nodes=nodes,
        schedule=ScheduleConfig(
            mode=mode,
            rounds_max=generator.randint(5, 40),
            deadline_s=5.0,
            linger_s=30.0,
            start_neighbors=generator.choice((0, 1)),
            start_deadline_s=10.0,
        ),
        payload_bytes=generator.choice((INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES)),
        link=LinkModel(
            latency_s=generator.choice((0.0, 0.02, 0.2)),
            bandwidth_bytes_per_s=generator.choice((None, 1e6, 1e5)),
            loss_ratio=generator.choice((0.0, 0.0, 0.02)),
        ),
        start_spread_s=generator.choice((0.1, 20.0)),
        relays=relays,
        adversaries=adversaries,
        faults=tuple(_draw_faults(nodes, generator)),
    )


def play(case: Case) -> World:
    """Play a case to its end: faults first, then everything is mended and all must finish.

    Raises:
        InvariantError: If a checker found something, or an honest peer did not finish.
    """
    params = {"degree": 4} if case.topology == "k-regular" else {}
    net = topologies.create(case.topology, nodes=case.nodes, seed=case.seed, **params)
    world = stub_world(
        net.graph,
        case.schedule,
        seed=case.seed,
        payload_bytes=case.payload_bytes,
        relays=case.relays,
        adversaries=case.adversaries,
        link=case.link,
        start_spread_s=case.start_spread_s,
        family=case.family,
    )
    mended: list[Fault] = [
        Heal(at_s=SAFETY_S),
        # Late enough for a peer that has just said goodbye to be gone.
        Restart(at_s=SAFETY_S + 2.0, peers=tuple(range(case.nodes))),
        Slow(at_s=SAFETY_S, peers=tuple(range(case.nodes)), speed_ratio=1.0),
    ]
    plan_faults(world, [*case.faults, *mended])
    world.run(until_s=SAFETY_S + 3.0)
    honest = [host.index for host in world.hosts if host.is_honest]
    if not world.run(until_s=SAFETY_S + LIVENESS_S, stop=lambda: world.all_done(honest)):
        stuck = {index: world.phase(index) for index in honest if not world.hosts[index].is_done}
        raise InvariantError("swarm", f"not finished {LIVENESS_S} s after the last fault: {stuck}")
    # Long enough for the checker of links to look while those that linger are still there.
    membership = world.hosts[0].member.config.membership
    world.run(until_s=world.now_s + return_s(membership, world.network.timing))
    return world


def _draw_faults(nodes: int, generator: random.Random) -> list[Fault]:
    faults: list[Fault] = []
    kinds = [
        kind
        for kind in ("churn", "leave", "outage", "partition", "slow")
        if generator.random() < 0.4
    ]
    if "churn" in kinds:
        faults += draw_churn(
            range(nodes),
            generator,
            until_s=0.8 * SAFETY_S,
            period_s=8.0,
            down_s=6.0,
            lost_disk_ratio=generator.choice((0.0, 0.3)),
        )
    if "partition" in kinds:
        group = tuple(sorted(generator.sample(range(nodes), k=generator.randint(1, nodes - 1))))
        at_s = 0.5 * SAFETY_S * generator.random()
        faults.append(Partition(at_s=at_s, groups=(group,)))
        faults.append(Heal(at_s=at_s + 0.5 * SAFETY_S * generator.random()))
    if "outage" in kinds:  # the power of all fails at once
        at_s = 0.5 * SAFETY_S * generator.random()
        everybody = tuple(range(nodes))
        faults.append(Crash(at_s=at_s, peers=everybody, silent=generator.random() < 0.5))
        faults.append(Restart(at_s=at_s + 5.0, peers=everybody))
    if "leave" in kinds:
        faults.append(
            Leave(at_s=SAFETY_S * generator.random(), peers=(generator.randrange(nodes),))
        )
    if "slow" in kinds:
        peer = (generator.randrange(nodes),)
        faults.append(Slow(at_s=1.0, peers=peer, speed_ratio=generator.choice((0.1, 0.5, 4.0))))
    return faults


def main(arguments: Sequence[str]) -> int:
    """Play one seed, or those from the first up to but not the second argument."""
    first = int(arguments[0])
    seeds = range(first, int(arguments[1]) if len(arguments) > 1 else first + 1)
    for seed in seeds:
        # Said before it is played, so that it stands above a traceback.
        print(f"python -m sim.swarm {seed}", flush=True)
        world = play(draw_case(seed))
        print(f"  {world.trace.count} events, digest {world.trace.digest.hex()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
