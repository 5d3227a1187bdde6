"""What a scenario file may say: a run file's tables, and the world around them."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import topologies
from p2pfed.config.files import parse
from p2pfed.config.model import RunConfig
from p2pfed.config.plugins import absolute, load_plugins
from p2pfed.errors import ConfigError
from sim.adversaries import registry
from sim.availability import Presence, read_trace
from sim.identities import random_for
from sim.links import Drawn, Latency, LinkModel

# One frame with the largest payload that travels inline, and its header, has room.
QUEUE_BYTES_MIN: Final = 65_536

Seconds = float
PeerNumber = Annotated[int, Field(ge=0)]
Link = Annotated[list[PeerNumber], Field(min_length=2, max_length=2)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TopologyTable(BaseModel):
    """`[topology]`: the graph; fields not listed here are the topology's own parameters."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    name: str = Field(default="ring", description="a name of topologies.names()")
    nodes: int = Field(default=4, ge=1, description="peers, numbered from 0")
    seed: int | None = Field(
        default=None, ge=0, description="of a random graph; the run's if unset"
    )
    relays: list[PeerNumber] = Field(default=[], description="peers that pass on and do not train")

    @property
    def params(self) -> dict[str, Any]:
        """The topology's own parameters."""
        return dict(self.model_extra or {})

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
            raise ConfigError("topology", self.name, str(error)) from error


class VariantTable(_Table):
    """`[[variants]]`: fields of the run file that differ at some peers, of those that may."""

    peers: list[PeerNumber] = Field(min_length=1, description="numbers of the peers")
    fields: dict[str, Any] = Field(description="dotted names of the fields, and their values")


class NetworkTable(_Table):
    """`[network]`: every edge, in each direction."""

    latency_s: Seconds = Field(default=0.02, ge=0.0, description="one-way delay, seconds")
    bandwidth_bytes_per_s: float | None = Field(
        default=None, gt=0.0, description="shared by frames and payloads; unset: no bound"
    )
    loss_ratio: float = Field(default=0.0, ge=0.0, lt=1.0, description="of segments of 1,448 bytes")
    latency_distribution: Literal["constant", "uniform", "lognormal"] = Field(
        default="constant", description="how delays spread around latency_s"
    )
    latency_spread_ratio: float = Field(
        default=0.5, ge=0.0, le=2.0, description="half width / latency_s, or sigma of the logarithm"
    )
    latency_drawn: Literal["edge", "message"] = Field(
        default="edge", description="what has a delay of its own"
    )
    upload_bytes_per_s: float | None = Field(
        default=None, gt=0.0, description="of a peer over all its edges; unset: no bound"
    )
    download_bytes_per_s: float | None = Field(
        default=None, gt=0.0, description="of a peer over all its edges; unset: no bound"
    )
    queue_bytes_max: int | None = Field(
        default=None, ge=QUEUE_BYTES_MIN, description="waiting on an edge; unset: no bound"
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
        )


class DeviceTable(_Table):
    """`[[devices]]`: a class of machines."""

    peers: list[PeerNumber] | None = Field(
        default=None, min_length=1, description="who has one; or a share"
    )
    share: float | None = Field(
        default=None, gt=0.0, le=1.0, description="of the peers that no entry names"
    )
    speed_ratio: float = Field(default=1.0, gt=0.0, description="1 is the usual speed")
    upload_bytes_per_s: float | None = Field(
        default=None, gt=0.0, description="over all edges; unset: as [network]"
    )
    download_bytes_per_s: float | None = Field(
        default=None, gt=0.0, description="over all edges; unset: as [network]"
    )
    latency_s: Seconds = Field(default=0.0, ge=0.0, description="added to its edges, each way")


class AvailabilityTable(_Table):
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


class ComputeTable(_Table):
    """`[compute]`: how long jobs take on a machine of speed 1, and who starts when."""

    training_s: Seconds = Field(default=1.0, ge=0.0, description="one training job, seconds")
    integration_s: Seconds = Field(default=0.1, ge=0.0, description="one integration, seconds")
    evaluation_s: Seconds = Field(default=0.1, ge=0.0, description="one evaluation, seconds")
    validation_s: Seconds = Field(default=0.01, ge=0.0, description="one validation, seconds")
    jitter_ratio: float = Field(default=0.1, ge=0.0, lt=1.0, description="each job more or less")
    start_spread_s: Seconds = Field(default=0.1, ge=0.0, description="peers start within, seconds")
    clock_spread_s: Seconds = Field(default=0.0, ge=0.0, description="clocks are off by up to")
    clock_drift_ratio: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="clocks go faster or slower by up to"
    )


class _FaultTable(_Table):
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
    groups: list[list[PeerNumber]] = Field(min_length=1, description="the rest is one more group")


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
    speed_ratio: float = Field(gt=0.0, description="1 is the usual speed")


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


FaultTable = Annotated[
    CrashTable | RestartTable | PartitionTable | HealTable | ClogTable | SlowTable | ChurnTable,
    Field(discriminator="kind"),
]


class AdversaryTable(BaseModel):
    """Hostile peers; fields not listed here are the kind's own parameters."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    peer: PeerNumber | None = Field(default=None, ge=0, description="its number; or a share")
    share: float | None = Field(default=None, gt=0.0, le=1.0, description="of all peers, by lot")
    kind: str = Field(description="a name of sim.adversaries.registry.names()")

    @property
    def params(self) -> dict[str, Any]:
        """The kind's own parameters."""
        return dict(self.model_extra or {})


class Surrounding(_Table):
    """What a scenario says beside the run."""

    fidelity: Literal["messages"] = Field(
        default="messages", description="every frame of the protocol is simulated"
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
        random_for(seed, "liars").shuffle(others)
        for table in self.adversaries:
            count = 0 if table.share is None else round(table.share * self.topology.nodes)
            found |= dict.fromkeys(others[:count], table)
            del others[:count]
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


class Scenario(_Table):
    """A checked scenario.

    Attributes:
        world: What surrounds the run.
        run: The run file's tables as they stand in the scenario.
    """

    world: Surrounding
    run: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the run, for people."""
        return parse(self.run).run.name

    def run_config(self, index: int, *, seed: int) -> RunConfig:
        """Return the run file of one peer; real nodes can be given it.

        Args:
            index: Number of the peer.
            seed: Of the simulation; the run's own seed unless the scenario names one.

        Raises:
            ConfigError: If a table of the run cannot be used.
        """
        topology = self.world.topology
        overrides: dict[str, Any] = {}
        overrides |= {"share.index": index, "share.count": topology.nodes}
        if "seed" not in self.run.get("run", {}):
            overrides["run.seed"] = seed
        if index in topology.relays:
            overrides["node.role"] = "relay"
        for variant in self.world.variants:
            if index in variant.peers:
                overrides |= variant.fields
        with self.naming_variants(index):
            return parse(self.run, overrides=overrides)

    @contextmanager
    def naming_variants(self, index: int) -> Iterator[None]:
        """Say of an error about a peer's run file which variant set the field.

        Raises:
            ConfigError: The one that the block raised, under its place in the scenario.
        """
        try:
            yield
        except ConfigError as error:
            for k, variant in reversed(list(enumerate(self.world.variants))):
                for field in variant.fields if index in variant.peers else ():
                    if f"{error.field}.".startswith(f"{field}."):
                        place = f"variants.{k}.fields.{error.field}"
                        raise ConfigError(place, error.value, error.fix) from error
            raise


def load_scenario(source: str | Path | Mapping[str, Any]) -> Scenario:
    """Read a scenario, and run the plug-ins that it names.

    Args:
        source: Path of a TOML file, or what would stand in it; then plug-ins are relative to the
            folder in which the program was started.

    Raises:
        ConfigError: Naming the first field that cannot be used, or the file.
    """
    if not isinstance(source, Mapping):
        source = read_file(Path(source))
    world = {key: value for key, value in source.items() if key in Surrounding.model_fields}
    run = {key: value for key, value in source.items() if key not in Surrounding.model_fields}
    try:
        scenario = Scenario(world=Surrounding.model_validate(world), run=run)
    except ValidationError as error:
        raise _complaint(error) from error
    _check_run_tables(run)
    scenario = _with_plugins(scenario)
    _check_numbers(scenario.world)
    _check_shares(scenario.world)
    _check_devices(scenario.world)
    scenario.world.presences()
    _check_variants(scenario)
    scenario.run_config(0, seed=0)
    _check_names(scenario.world)
    return scenario


def _with_plugins(scenario: Scenario) -> Scenario:
    """Run the plug-ins of a scenario, and name them so that other processes find them."""
    files = parse(scenario.run).plugins.files
    load_plugins(files, Path.cwd())
    if not files:
        return scenario
    plugins = {"plugins": {"files": absolute(files, Path.cwd())}}
    return Scenario(world=scenario.world, run=scenario.run | plugins)


def read_file(path: Path) -> dict[str, Any]:
    """Return what stands in a scenario file, unchecked, with whole paths of other files.

    Raises:
        ConfigError: If there is no such file, or it is not TOML.
    """
    try:
        source = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        fix = "does not exist; name a TOML file, such as those in scenarios/"
        raise ConfigError("scenario", str(path), fix) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("scenario", str(path), f"is not TOML ({error}); mend it") from error
    return _beside(path.parent, source)


def _beside(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Let traces and plug-ins be named from the folder of a file, which is forgotten soon."""
    found = dict(content)
    tables = content.get("availability")
    if isinstance(tables, list):
        found["availability"] = [
            {**it, "path": str(folder / it["path"])}
            if isinstance(it, dict) and isinstance(it.get("path"), str)
            else it
            for it in tables
        ]
    plugins = content.get("plugins")
    files = plugins.get("files") if isinstance(plugins, dict) else None
    if plugins and isinstance(files, list) and all(isinstance(file, str) for file in files):
        found["plugins"] = {**plugins, "files": absolute(files, folder)}
    return found


def _check_run_tables(run: Mapping[str, Any]) -> None:
    if "node" in run:
        raise ConfigError("node", run["node"], "remove it; simulated machines have none")
    for field in ("index", "count"):
        if field in run.get("share", {}):
            value = run["share"][field]
            raise ConfigError(f"share.{field}", value, "remove it; it follows from the topology")


def _check_variants(scenario: Scenario) -> None:
    for k, variant in enumerate(scenario.world.variants):
        for field, value in variant.fields.items():
            place = f"variants.{k}.fields.{field}"
            if field.split(".")[0] == "node" or field in ("share.index", "share.count"):
                raise ConfigError(place, value, "remove it; it is simulated")
            if isinstance(value, Mapping) and value and field in RunConfig.model_fields:
                name, inner = next(iter(value.items()))
                fix = f"write dotted names of single fields, such as {field}.{name}: {inner!r}"
                raise ConfigError(place, value, fix)
        scenario.run_config(variant.peers[0], seed=0)


def _check_numbers(world: Surrounding) -> None:
    nodes = world.topology.nodes
    named = [("topology.relays", world.topology.relays)]
    named += [(f"variants.{k}.peers", it.peers) for k, it in enumerate(world.variants)]
    named += [(f"devices.{k}.peers", it.peers or []) for k, it in enumerate(world.devices)]
    named += [
        (f"availability.{k}.peers", it.peers or []) for k, it in enumerate(world.availability)
    ]
    named += [
        (f"adversaries.{k}.peer", [a.peer])
        for k, a in enumerate(world.adversaries)
        if a.peer is not None
    ]
    for k, fault in enumerate(world.faults):
        if isinstance(fault, PartitionTable):
            named.append((f"faults.{k}.groups", [peer for group in fault.groups for peer in group]))
        elif isinstance(fault, ClogTable):
            named += [(f"faults.{k}.links", list(link)) for link in fault.links]
        elif not isinstance(fault, HealTable):
            named.append((f"faults.{k}.peers", fault.peers or []))
    for field, peers in named:
        if any(peer >= nodes for peer in peers):
            raise ConfigError(field, max(peers), f"write a number from 0 to {nodes - 1}")
        if len(set(peers)) != len(peers):
            raise ConfigError(field, peers, "name each peer once")
    hostile = [it.peer for it in world.adversaries if it.peer is not None]
    if len(set(hostile)) != len(hostile):
        raise ConfigError("adversaries", hostile, "one entry per hostile peer")


def _check_devices(world: Surrounding) -> None:
    named = [peer for device in world.devices for peer in device.peers or []]
    if len(set(named)) != len(named):
        raise ConfigError("devices.peers", named, "name each peer in one device")


def _check_shares(world: Surrounding) -> None:
    either: dict[str, tuple[object, object]] = {
        f"devices.{k}": (it.peers, it.share) for k, it in enumerate(world.devices)
    }
    either |= {
        f"faults.{k}": (it.peers, it.share)
        for k, it in enumerate(world.faults)
        if isinstance(it, ChurnTable)
    }
    either |= {f"adversaries.{k}": (it.peer, it.share) for k, it in enumerate(world.adversaries)}
    for field, (numbers, share) in either.items():
        if (numbers is None) == (share is None):
            what = "peer" if field.startswith("adversaries") else "peers"
            raise ConfigError(field, numbers, f"write either {what} or share")
    shares = {
        "devices": [it.share for it in world.devices],
        "adversaries": [it.share for it in world.adversaries],
    }
    for name, given in shares.items():
        total = sum(share or 0.0 for share in given)
        if total > 1.0 + 1e-9:  # rounding of decimal fractions
            raise ConfigError(f"{name}.share", total, "write shares that sum to 1 at most")


def _check_names(world: Surrounding) -> None:
    world.topology.create(seed=0)
    for k, adversary in enumerate(world.adversaries):
        try:
            registry.create(adversary.kind, seed=0, index=0, params=adversary.params)
        except ConfigError as error:
            field = error.field.removeprefix("adversaries.")
            raise ConfigError(f"adversaries.{k}.{field}", error.value, error.fix) from error


def _complaint(error: ValidationError) -> ConfigError:
    """Name the first field that cannot be used; of a misspelled one its own name."""
    complaints = error.errors(include_url=False)
    unknown = [it for it in complaints if it["type"] == "extra_forbidden"]
    first = (unknown or complaints)[0]
    table = first["loc"][:-1]
    missing = [
        str(it["loc"][-1])
        for it in complaints
        if it["type"] == "missing" and it["loc"][:-1] == table
    ]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return ConfigError(field, None, "is missing; write it")
    if unknown and missing:
        fix = f"there is no such field, and {missing[0]} is missing; write that"
        return ConfigError(field, first["input"], fix)
    return ConfigError(field, first["input"], _fix(first["type"], first["msg"]))


def _fix(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "remove it; there is no such field"
    if kind.startswith("int_"):
        return "write a whole number, without quotes"
    if kind.startswith("float_"):
        return "write a number, without quotes"
    return message[:1].lower() + message[1:]
