"""The tables of a scenario file around the run: graph, network, machines, faults, adversaries."""

from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

import topologies
from p2pfed.errors import ConfigError
from p2pfed.limits import SIMULATED_PEERS_MAX
from sim.availability import Presence, read_trace
from sim.clock import SECONDS_MAX
from sim.identities import random_for
from sim.links import Drawn, Latency, LinkModel
from sim.lots import deal
from sim.topology_errors import table_error
from topologies.registry import TOPOLOGIES

# One frame with the largest payload that travels inline, and its header, has room.
QUEUE_BYTES_MIN: Final = 65_536
# Clocks up to twice as fast as others: peers accept twice the frames per second that they send.
CLOCK_DRIFT_MAX: Final = 0.33

# guess: from a day for a second's job to the reverse.
SPEED_RATIO_MIN: Final = 1e-6
SPEED_RATIO_MAX: Final = 1e6
BYTES_PER_S_MIN: Final = 1e-3  # guess: a byte in a quarter of an hour

Seconds = Annotated[float, Field(le=SECONDS_MAX)]
BytesPerSecond = Annotated[float, Field(ge=BYTES_PER_S_MIN)]
PeerNumber = Annotated[int, Field(ge=0)]
Link = Annotated[list[PeerNumber], Field(min_length=2, max_length=2)]


class Table(BaseModel):
    """A table that has no other fields than those it lists."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TopologyTable(BaseModel):
    """`[topology]`: the graph; fields not listed here are the topology's own parameters."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    name: str = Field(
        default="ring", description="a name of topologies.names(); in rounds also dynamic_names()"
    )
    nodes: int = Field(
        default=4, ge=1, le=SIMULATED_PEERS_MAX, description="peers, numbered from 0"
    )
    seed: int | None = Field(
        default=None, ge=0, description="of a random graph; the run's if unset"
    )
    relays: list[PeerNumber] = Field(default=[], description="peers that pass on and do not train")

    @property
    def params(self) -> dict[str, Any]:
        """The topology's own parameters."""
        return dict(self.model_extra or {})

    @property
    def depends_on_seed(self) -> bool:
        """Whether seeds of the simulation make other graphs."""
        is_random = "seed" in signature(TOPOLOGIES[self.name]).parameters
        return is_random and self.seed is None

    def create(self, *, seed: int) -> topologies.Topology:
        """Make the graph.

        Args:
            seed: Of the simulation; the graph's own unless the table names one.

        Raises:
            ConfigError: If the name or a parameter cannot be used.
        """
        graph_seed = seed if self.seed is None else self.seed
        try:
            return topologies.create(self.name, nodes=self.nodes, seed=graph_seed, **self.params)
        except topologies.TopologyError as error:
            raise table_error(self.model_dump(), error) from error


class VariantTable(Table):
    """`[[variants]]`: fields of the run file that differ at some peers, of those that may."""

    peers: list[PeerNumber] = Field(min_length=1, description="numbers of the peers")
    fields: dict[str, Any] = Field(description="dotted names of the fields, and their values")


class EdgeTable(Table):
    """What `[network]` says of every edge, and a graph file of some."""

    latency_s: Seconds = Field(default=0.02, ge=0.0, description="one-way delay, seconds")
    bandwidth_bytes_per_s: BytesPerSecond | None = Field(
        default=None, description="shared by frames and payloads; unset: no bound"
    )
    loss_ratio: float = Field(default=0.0, ge=0.0, lt=1.0, description="of segments of 1,448 bytes")


class NetworkTable(EdgeTable):
    """`[network]`: every edge, in each direction."""

    latency_distribution: Literal["constant", "uniform", "lognormal"] = Field(
        default="constant", description="how delays spread around latency_s"
    )
    latency_spread_ratio: float = Field(
        default=0.5, ge=0.0, le=2.0, description="half width / latency_s, or sigma of the logarithm"
    )
    latency_drawn: Literal["edge", "message"] = Field(
        default="edge", description="what has a delay of its own"
    )
    upload_bytes_per_s: BytesPerSecond | None = Field(
        default=None, description="of a peer over all its edges; unset: no bound"
    )
    download_bytes_per_s: BytesPerSecond | None = Field(
        default=None, description="of a peer over all its edges; unset: no bound"
    )
    queue_bytes_max: int | None = Field(
        default=None, ge=QUEUE_BYTES_MIN, description="waiting on an edge; unset: no bound"
    )
    reordering_s: Seconds = Field(
        default=0.0, ge=0.0, description="by which frames overtake payloads at most, seconds"
    )

    def link_model(self) -> LinkModel:
        """Return what every edge is like."""
        return LinkModel(
            latency_s=self.latency_s,
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s,
            loss_ratio=self.loss_ratio,
            latency=Latency(self.latency_distribution),
            spread_ratio=self.latency_spread_ratio,
            drawn=Drawn(self.latency_drawn),
            queue_bytes_max=self.queue_bytes_max,
            reordering_s=self.reordering_s,
        )


class DeviceTable(Table):
    """`[[devices]]`: a class of machines."""

    peers: list[PeerNumber] | None = Field(
        default=None, min_length=1, description="who has one; or a share"
    )
    share: float | None = Field(
        default=None, gt=0.0, le=1.0, description="of the peers that no entry names"
    )
    speed_ratio: float = Field(
        default=1.0, ge=SPEED_RATIO_MIN, le=SPEED_RATIO_MAX, description="1 is the usual speed"
    )
    upload_bytes_per_s: BytesPerSecond | None = Field(
        default=None, description="over all edges; unset: as [network]"
    )
    download_bytes_per_s: BytesPerSecond | None = Field(
        default=None, description="over all edges; unset: as [network]"
    )
    latency_s: Seconds = Field(default=0.0, ge=0.0, description="added to its edges, each way")


class AvailabilityTable(Table):
    """`[[availability]]`: when peers are there; those that no entry names always are."""

    path: str | None = Field(default=None, description="a trace, .csv or .jsonl")
    peers: list[PeerNumber] | None = Field(
        default=None, min_length=1, description="numbers of the peers; or a trace"
    )
    from_s: Seconds = Field(default=0.0, ge=0.0, description="virtual time, seconds")
    until_s: Seconds | None = Field(
        default=None, gt=0.0, description="virtual time, seconds; unset: for good"
    )
    silent: bool = Field(default=True, description="machines go dark; nobody is told")


class ComputeTable(Table):
    """`[compute]`: how long jobs take on a machine of speed 1, and who starts when."""

    jobs: Literal["batched", "sequential"] = Field(
        default="batched", description="many peers' at once, or each as a real node would"
    )
    processes: int = Field(
        default=1, ge=1, description="how many simulate the peers, each a part of them"
    )
    training_s: Seconds = Field(default=1.0, ge=0.0, description="one training job, seconds")
    integration_s: Seconds = Field(default=0.1, ge=0.0, description="one integration, seconds")
    evaluation_s: Seconds = Field(default=0.1, ge=0.0, description="one evaluation, seconds")
    validation_s: Seconds = Field(default=0.01, ge=0.0, description="one validation, seconds")
    jitter_ratio: float = Field(default=0.1, ge=0.0, lt=1.0, description="each job more or less")
    start_spread_s: Seconds = Field(default=0.1, ge=0.0, description="peers start within, seconds")
    clock_spread_s: Seconds = Field(default=0.0, ge=0.0, description="clocks are off by up to")
    clock_drift_ratio: float = Field(
        default=0.0, ge=0.0, le=CLOCK_DRIFT_MAX, description="clocks go faster or slower by up to"
    )


class _FaultTable(Table):
    at_s: Seconds = Field(ge=0.0, description="virtual time, seconds")


class CrashTable(_FaultTable):
    """A process ends at once."""

    kind: Literal["crash"]
    peers: list[PeerNumber] = Field(min_length=1, description="numbers of the peers")
    silent: bool = Field(default=False, description="the machine goes dark; nobody is told")


class RestartTable(_FaultTable):
    """A process starts again from what it saved."""

    kind: Literal["restart"]
    peers: list[PeerNumber] = Field(min_length=1, description="numbers of the peers")
    lose_disk: bool = Field(default=False, description="nothing that was saved is left")


class PartitionTable(_FaultTable):
    """Nothing gets through between groups."""

    kind: Literal["partition"]
    groups: list[Annotated[list[PeerNumber], Field(min_length=1)]] = Field(
        min_length=1, description="the rest is one more group"
    )
    one_way: bool = Field(default=False, description="what the rest sends gets through")


class HealTable(_FaultTable):
    """Every partition ends."""

    kind: Literal["heal"]


class ClogTable(_FaultTable):
    """Links take nothing for a while, and then all."""

    kind: Literal["clog"]
    links: list[Link] = Field(min_length=1, description="pairs of who sends and who receives")
    for_s: Seconds = Field(gt=0.0, description="how long, seconds")


class SlowTable(_FaultTable):
    """Machines become slower or faster."""

    kind: Literal["slow"]
    peers: list[PeerNumber] = Field(min_length=1, description="numbers of the peers")
    speed_ratio: float = Field(
        ge=SPEED_RATIO_MIN, le=SPEED_RATIO_MAX, description="1 is the usual speed"
    )


class ChurnTable(_FaultTable):
    """Random crashes from `at_s` on, each followed by a restart."""

    kind: Literal["churn"]
    peers: list[PeerNumber] | None = Field(
        default=None, min_length=1, description="whom it may hit; or a share"
    )
    share: float | None = Field(default=None, gt=0.0, le=1.0, description="of all peers, by lot")
    until_s: Seconds = Field(gt=0.0, description="last crash, seconds")
    period_s: Seconds = Field(gt=0.0, description="mean time between crashes, seconds")
    down_s: Seconds = Field(gt=0.0, description="mean time away, seconds")


# All but what is drawn.
WrittenTable = CrashTable | RestartTable | PartitionTable | HealTable | ClogTable | SlowTable

FaultTable = Annotated[WrittenTable | ChurnTable, Field(discriminator="kind")]


# As `kind` says them.
FAULT_KINDS: Final = ("crash", "restart", "partition", "heal", "clog", "slow", "churn")


class AdversaryTable(BaseModel):
    """Hostile peers; fields not listed here are the kind's own parameters."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    peer: PeerNumber | None = Field(default=None, ge=0, description="its number; or a share")
    share: float | None = Field(default=None, gt=0.0, le=1.0, description="of all peers, by lot")
    kind: str = Field(description="a name of sim.adversaries.registry.names(), or as rounds has it")

    @property
    def params(self) -> dict[str, Any]:
        """The kind's own parameters."""
        return dict(self.model_extra or {})


class Surrounding(Table):
    """What a scenario says beside the run."""

    fidelity: Literal["messages", "rounds"] = Field(
        default="messages", description="every frame of the protocol, or rows in step without time"
    )
    until_s: Seconds = Field(default=86_400.0, gt=0.0, description="give up, virtual seconds")
    topology: TopologyTable = TopologyTable()
    network: NetworkTable = NetworkTable()
    compute: ComputeTable = ComputeTable()
    devices: list[DeviceTable] = Field(default=[], description="classes of machines")
    availability: list[AvailabilityTable] = Field(default=[], description="who is there when")
    variants: list[VariantTable] = Field(default=[], description="what differs between peers")
    faults: list[FaultTable] = Field(default=[], description="what goes wrong, and when")
    adversaries: list[AdversaryTable] = Field(default=[], description="who attacks, and how")

    def liars(self, *, seed: int) -> dict[int, AdversaryTable]:
        """Return who is hostile, and how, by number.

        Args:
            seed: Of the simulation; draws the shares, from the peers that no entry names.
        """
        found = {it.peer: it for it in self.adversaries if it.peer is not None}
        others = [k for k in range(self.topology.nodes) if k not in found]
        shares = [table.share for table in self.adversaries]
        dealt = deal(shares, others, random_for(seed, "liars"), of=self.topology.nodes)
        for table, peers in zip(self.adversaries, dealt, strict=True):
            found |= dict.fromkeys(peers, table)
        return found

    def presences(self) -> list[tuple[AvailabilityTable, list[Presence]]]:
        """Return when whom each table of `[[availability]]` lets be there; traces are read.

        Raises:
            ConfigError: If a table or its trace cannot be used.
        """
        found: list[tuple[AvailabilityTable, list[Presence]]] = []
        for k, table in enumerate(self.availability):
            field = f"availability.{k}"
            if (table.peers is None) == (table.path is None):
                raise ConfigError(field, table.path, "write either peers or the path of a trace")
            if table.path is not None and (table.from_s, table.until_s) != (0.0, None):
                fix = "leave out from_s and until_s; the trace says who is there when"
                raise ConfigError(field, table.path, fix)
            if table.path is not None:
                trace = Path(table.path)
                own = read_trace(trace, field=f"{field}.path", nodes=self.topology.nodes)
            elif table.until_s is not None and table.until_s <= table.from_s:
                raise ConfigError(f"{field}.until_s", table.until_s, "write more than from_s")
            else:
                own = [
                    Presence(peer=peer, from_s=table.from_s, until_s=table.until_s)
                    for peer in table.peers or []
                ]
            known = {it.peer for _, earlier in found for it in earlier}
            twice = sorted(known & {it.peer for it in own})
            if twice:
                raise ConfigError(field, twice, "name each peer in one table of availability")
            found.append((table, own))
        return found
