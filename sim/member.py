"""Who takes part in a world, and what all its machines share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from p2pfed.core.config import CoreConfig
from p2pfed.core.peer import PeerCore
from p2pfed.identity import Identity
from p2pfed.wire.reading import PLAIN, Reader
from sim.adversaries.adversary import Adversary
from sim.benches import Bench
from sim.clock import Clock
from sim.compute.calculator import Calculator
from sim.jobs import ComputeModel
from sim.network import Network
from sim.payloads import PayloadPool
from sim.reading import SharedReader
from sim.trace import Trace
from sim.transfers import Transfers
from sim.watching import Audience

CoreFactory = Callable[[CoreConfig, Identity, bytes, Mapping[str, bytes]], PeerCore]


def make_core(
    config: CoreConfig,
    identity: Identity,
    entropy: bytes,
    records: Mapping[str, bytes],
    *,
    reader: Reader = PLAIN,
) -> PeerCore:
    """Return the core of a new life of a peer."""
    return PeerCore(config, identity, entropy=entropy, records=records, reader=reader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One peer of a world.

    Attributes:
        identity: Its key.
        config: What its core is told; the neighbors must be its neighbors in the graph.
        make_bench: Called at the beginning of each life.
        adversary: Makes it hostile.
        speed_ratio: Its machine's speed; a job takes its time divided by this.
        make_core: Replaced by tests that need a broken core.
        reader: What such a core reads frames with, if it shares that with others; the world tells
            it of its payloads.
        clock_ahead_s: By how much its clock is ahead of virtual time, in seconds.
        clock_rate_ratio: How fast its clock goes; 1 is right.
    """

    identity: Identity
    config: CoreConfig
    make_bench: Callable[[], Bench]
    adversary: Adversary | None = None
    speed_ratio: float = 1.0
    make_core: CoreFactory = make_core
    reader: SharedReader | None = None
    clock_ahead_s: float = 0.0
    clock_rate_ratio: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all machines of a world share.

    Attributes:
        seed: Of the world.
        clock: Its time.
        network: Its connections.
        transfers: Its payload transfers.
        pool: Its payloads.
        compute: How long jobs take.
        calculator: What computes them.
        trace: Takes every event.
        audience: Is told what happens.
        keeps_models: Whether machines save models, so that they can be restarted.
    """

    seed: int
    clock: Clock
    network: Network
    transfers: Transfers
    pool: PayloadPool
    compute: ComputeModel
    calculator: Calculator
    trace: Trace
    audience: Audience
    keeps_models: bool
