"""Every field of a scenario changes what is simulated, or is listed with the reason why not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel
from typing_extensions import override

import sim
from p2pfed.config.model import RunConfig
from sim.documents import with_overrides
from sim.tables import FAULT_KINDS, Surrounding
from sim.watching import Watcher
from sim.world import World

pytestmark = pytest.mark.slow

Overrides = dict[str, Any]

MESSAGES: Final[dict[str, Any]] = {
    "run": {"name": "tiny", "task": "digits"},
    "training": {
        "steps_per_round": 2,
        "batch_size": 2,
        "threads": 1,
        "device": "cpu",
        "step_rule": {"name": "sgd", "learning_rate": 0.3},
    },
    "integration": {"rule": "mean"},
    "schedule": {"rounds_max": 2, "linger_s": 1.0, "evaluate_every_rounds": 0},
    "topology": {"name": "ring", "nodes": 4},
    "compute": {"jobs": "sequential"},
}
ROUNDS: Final = with_overrides(
    MESSAGES,
    {"fidelity": "rounds", "schedule.mode": "synchronous", "topology.name": "complete"},
)

LOGNORMAL: Final = {"network.latency_distribution": "lognormal"}
FILTERED: Final = {
    "integration.prioritizer.enabled": True,
    "integration.prioritizer.model_count_max": 3,
    "topology.nodes": 8,
}
EARNED: Final = {"reputation.enabled": True}
PROBED: Final = EARNED | {
    "reputation.loss_gate.enabled": True,
    "reputation.loss_gate.policy": {
        "probe_count": 4,
        "scores_min": 2,
        "margin_errors": 0.0,
        "memory": 0.5,
        "value_min": 0.45,
    },
    "adversaries": [{"peer": 0, "kind": "sign-flip"}],
    "integration.norm_cap_ratio": "off",
    "schedule.rounds_max": 6,
    "topology.nodes": 5,
}


def fault(kind: str, *before: Overrides, **fields: Any) -> Overrides:
    return {"faults": [*before, {"kind": kind, "at_s": 0.5, **fields}]}


CRASH: Final = {"kind": "crash", "at_s": 0.5, "peers": [1]}
LATE_CRASH: Final = CRASH | {"at_s": 1.8}
CUT: Final = {"kind": "partition", "at_s": 0.5, "groups": [[0]]}
CHURN: Final = {"until_s": 2.0, "period_s": 0.4, "down_s": 0.2}

# Field of the world -> what switches it on, and what else then changes what is simulated.
OF_MESSAGES: Final[dict[str, tuple[Overrides, Overrides]]] = {
    "fidelity": ({"schedule.mode": "synchronous"}, {"fidelity": "rounds"}),
    "until_s": ({}, {"until_s": 1.5}),
    "topology.name": ({}, {"topology.name": "complete"}),
    "topology.nodes": ({}, {"topology.nodes": 5}),
    "topology.seed": (
        {"topology": {"name": "barabasi-albert", "nodes": 6}},
        {"topology.seed": 3},
    ),
    "topology.relays": ({}, {"topology.relays": [1]}),
    "network.latency_s": ({}, {"network.latency_s": 0.1}),
    "network.bandwidth_bytes_per_s": ({}, {"network.bandwidth_bytes_per_s": 1e5}),
    "network.loss_ratio": ({}, {"network.loss_ratio": 0.2}),
    "network.latency_distribution": ({}, LOGNORMAL),
    "network.latency_spread_ratio": (LOGNORMAL, {"network.latency_spread_ratio": 1.0}),
    "network.latency_drawn": (LOGNORMAL, {"network.latency_drawn": "message"}),
    "network.upload_bytes_per_s": ({}, {"network.upload_bytes_per_s": 1e5}),
    "network.download_bytes_per_s": ({}, {"network.download_bytes_per_s": 1e5}),
    "network.queue_bytes_max": (
        {"network.bandwidth_bytes_per_s": 4e3, "schedule.rounds_max": 12},
        {"network.queue_bytes_max": 65_536},
    ),
    "network.reordering_s": (
        {"task.hidden_size": 128},  # payloads that do not fit into frames
        {"network.reordering_s": 0.2},
    ),
    "compute.training_s": ({}, {"compute.training_s": 2.0}),
    "compute.integration_s": ({}, {"compute.integration_s": 0.2}),
    "compute.evaluation_s": (
        {"schedule.evaluate_every_rounds": 1},
        {"compute.evaluation_s": 0.2},
    ),
    "compute.validation_s": (
        {"task.hidden_size": 128},  # payloads that do not fit into frames
        {"compute.validation_s": 0.02},
    ),
    "compute.jitter_ratio": ({}, {"compute.jitter_ratio": 0.2}),
    "compute.start_spread_s": ({}, {"compute.start_spread_s": 0.2}),
    "compute.clock_spread_s": ({}, {"compute.clock_spread_s": 5.0}),
    "compute.clock_drift_ratio": ({}, {"compute.clock_drift_ratio": 0.1}),
    "devices.peers": (
        {"devices": [{"peers": [0], "speed_ratio": 2.0}]},
        {"devices.0.peers": [1]},
    ),
    "devices.share": (
        {"devices": [{"share": 0.25, "speed_ratio": 2.0}]},
        {"devices.0.share": 0.5},
    ),
    "devices.speed_ratio": ({}, {"devices": [{"peers": [0], "speed_ratio": 2.0}]}),
    "devices.upload_bytes_per_s": (
        {},
        {"devices": [{"peers": [0], "upload_bytes_per_s": 1e5}]},
    ),
    "devices.download_bytes_per_s": (
        {},
        {"devices": [{"peers": [0], "download_bytes_per_s": 1e5}]},
    ),
    "devices.latency_s": ({}, {"devices": [{"peers": [0], "latency_s": 0.1}]}),
    "availability.path": (
        {"availability": [{"path": "early.csv"}]},
        {"availability.0.path": "late.csv"},
    ),
    "availability.peers": (
        {"availability": [{"peers": [0], "until_s": 1.5}]},
        {"availability.0.peers": [1]},
    ),
    "availability.from_s": ({}, {"availability": [{"peers": [0], "from_s": 0.5}]}),
    "availability.until_s": ({}, {"availability": [{"peers": [0], "until_s": 1.5}]}),
    "availability.silent": (
        {"availability": [{"peers": [0], "until_s": 1.5}]},
        {"availability.0.silent": False},
    ),
    "variants.peers": (
        {"variants": [{"peers": [0], "fields": {"training.batch_size": 4}}]},
        {"variants.0.peers": [1]},
    ),
    "variants.fields": ({}, {"variants": [{"peers": [0], "fields": {"training.batch_size": 4}}]}),
    "faults.crash.at_s": (fault("crash", peers=[1]), {"faults.0.at_s": 0.7}),
    "faults.crash.peers": (fault("crash", peers=[1]), {"faults.0.peers": [2]}),
    "faults.crash.silent": (fault("crash", peers=[1]), {"faults.0.silent": True}),
    "faults.restart.at_s": (
        fault("restart", CRASH, peers=[1], at_s=0.7),
        {"faults.1.at_s": 0.8},
    ),
    "faults.restart.peers": (
        fault("restart", CRASH | {"peers": [1, 2]}, peers=[1], at_s=0.7),
        {"faults.1.peers": [2]},
    ),
    "faults.restart.lose_disk": (
        fault("restart", LATE_CRASH, peers=[1], at_s=1.9),
        {"faults.1.lose_disk": True},
    ),
    "faults.partition.at_s": (fault("partition", groups=[[0]]), {"faults.0.at_s": 1.2}),
    "faults.partition.groups": (fault("partition", groups=[[0]]), {"faults.0.groups": [[1]]}),
    "faults.partition.one_way": (fault("partition", groups=[[0]]), {"faults.0.one_way": True}),
    "faults.heal.at_s": (fault("heal", CUT, at_s=1.5), {"faults.1.at_s": 1.9}),
    "faults.clog.at_s": (fault("clog", links=[[0, 1]], for_s=1.0), {"faults.0.at_s": 0.1}),
    "faults.clog.links": (fault("clog", links=[[0, 1]], for_s=1.0), {"faults.0.links": [[1, 0]]}),
    "faults.clog.for_s": (fault("clog", links=[[0, 1]], for_s=1.0), {"faults.0.for_s": 1.2}),
    "faults.slow.at_s": (fault("slow", peers=[1], speed_ratio=0.5), {"faults.0.at_s": 1.3}),
    "faults.slow.peers": (fault("slow", peers=[1], speed_ratio=0.5), {"faults.0.peers": [2]}),
    "faults.slow.speed_ratio": (
        fault("slow", peers=[1], speed_ratio=0.5),
        {"faults.0.speed_ratio": 0.6},
    ),
    "faults.churn.at_s": (fault("churn", peers=[1, 2], **CHURN), {"faults.0.at_s": 0.4}),
    "faults.churn.peers": (fault("churn", peers=[1, 2], **CHURN), {"faults.0.peers": [3]}),
    "faults.churn.share": (fault("churn", share=0.25, **CHURN), {"faults.0.share": 0.5}),
    "faults.churn.until_s": (fault("churn", peers=[1], **CHURN), {"faults.0.until_s": 1.0}),
    "faults.churn.period_s": (fault("churn", peers=[1], **CHURN), {"faults.0.period_s": 0.5}),
    "faults.churn.down_s": (fault("churn", peers=[1], **CHURN), {"faults.0.down_s": 0.3}),
    "adversaries.peer": (
        {"adversaries": [{"peer": 0, "kind": "scaled-difference"}]},
        {"adversaries.0.peer": 1},
    ),
    "adversaries.share": (
        {"adversaries": [{"share": 0.25, "kind": "scaled-difference"}]},
        {"adversaries.0.share": 0.5},
    ),
    "adversaries.kind": (
        {"adversaries": [{"peer": 0, "kind": "scaled-difference"}]},
        {"adversaries.0.kind": "sign-flip"},
    ),
}
KIND_OF_FAULT: Final = "says which table it is, and each is tested"
UNHEEDED_BY_MESSAGES: Final[dict[str, str]] = {
    "compute.jobs": "the same vectors but for rounding, in the same time",
    "compute.processes": "are to change nothing: tests/sim/parts",
    **{f"faults.{kind}.kind": KIND_OF_FAULT for kind in FAULT_KINDS},
}

# The same of the world and of the run in rounds.
OF_ROUNDS: Final[dict[str, tuple[Overrides, Overrides]]] = {
    "topology.name": ({}, {"topology.name": "ring"}),
    "topology.nodes": ({}, {"topology.nodes": 5}),
    "topology.seed": ({"topology": {"name": "barabasi-albert", "nodes": 6}}, {"topology.seed": 3}),
    "adversaries.peer": (
        {"adversaries": [{"peer": 0, "kind": "sign-flip"}]},
        {"adversaries.0.peer": 1},
    ),
    "adversaries.share": (
        {"adversaries": [{"share": 0.25, "kind": "sign-flip"}]},
        {"adversaries.0.share": 0.5},
    ),
    "adversaries.kind": (
        {"adversaries": [{"peer": 0, "kind": "sign-flip"}]},
        {"adversaries.0.kind": "zero"},
    ),
    "run.seed": ({}, {"run.seed": 7}),
    "run.task": ({}, {"run.task": "tests.sim.compute.conftest:blobs"}),
    "task": ({}, {"task.hidden_size": 16}),
    "method.name": (
        {},
        {"method": {"name": "lora", "rank": 2, "targets": ["0"], "modules": ["2"]}},
    ),
    "codec.name": ({}, {"codec.name": "bfloat16"}),
    "share.name": ({}, {"share": {"name": "dirichlet", "alpha": 0.3}}),
    "training.steps_per_round": ({}, {"training.steps_per_round": 3}),
    "training.steps_per_round_min": ({}, {"training.steps_per_round_min": 1}),
    "training.normal_steps": ({}, {"training.normal_steps": 5}),
    "training.batch_size": ({}, {"training.batch_size": 3}),
    "training.step_rule.name": ({}, {"training.step_rule": {"name": "adamw"}}),
    "integration.rule": ({}, {"integration.rule": "median"}),
    "integration.params": (
        {"integration.rule": "centered-clipping"},
        {"integration.params.radius": 0.01},
    ),
    "integration.beta_max": (
        {"integration.rule": "trimmed-mean", "topology.nodes": 6},
        {"integration.beta_max": 0.45},
    ),
    "integration.norm_cap_ratio": (
        {"adversaries": [{"peer": 0, "kind": "scaled-difference"}]},
        {"integration.norm_cap_ratio": "off"},
    ),
    "integration.gamma": ({}, {"integration.gamma": 0.5}),
    "integration.weights": ({"topology.name": "star"}, {"integration.weights": "uniform"}),
    "integration.prioritizer.enabled": (FILTERED, {"integration.prioritizer": {}}),
    "integration.prioritizer.model_count_max": (
        FILTERED,
        {"integration.prioritizer.model_count_max": 1},
    ),
    "integration.prioritizer.exploration_ratio": (
        FILTERED,
        {"integration.prioritizer.exploration_ratio": 1.0},
    ),
    "integration.prioritizer.draw": (FILTERED, {"integration.prioritizer.draw": "nearest"}),
    "reputation.enabled": ({}, EARNED),
    "reputation.policy": (EARNED, {"reputation.policy.probation_mass_max": 0.05}),
    "reputation.loss_gate.enabled": (PROBED, {"reputation.loss_gate": {}}),
    "reputation.loss_gate.policy": (PROBED, {"reputation.loss_gate.policy.scores_min": 100}),
    "schedule.gossip_steps": ({}, {"schedule.gossip_steps": 2}),
    "schedule.rounds_max": ({}, {"schedule.rounds_max": 3}),
    "schedule.evaluate_every_rounds": ({}, {"schedule.evaluate_every_rounds": 1}),
    "schedule.test_every_rounds": (
        {"schedule.evaluate_every_rounds": 1},
        {"schedule.test_every_rounds": 1},
    ),
}
NO_TIME: Final = "rounds take no time"
NO_CONNECTIONS: Final = "in rounds there are no connections"
REFUSED: Final = "is refused: tests/sim/in_rounds/test_scope.py"
UNHEEDED_BY_ROUNDS: Final[dict[str, str]] = {
    "fidelity": "is tested with messages",
    "until_s": NO_TIME,
    "topology.relays": REFUSED,
    "network": REFUSED,
    "compute.jobs": "the same vectors but for rounding",
    "compute": REFUSED,
    "devices": REFUSED,
    "availability": REFUSED,
    "variants": REFUSED,
    "faults": REFUSED,
    "run.name": "for people",
    "admission.rule": "has one value",
    "plugins.files": "name what other fields use: tests/config/test_plugins.py",
    "share.index": "each peer has its own number",
    "share.count": "there are as many as peers",
    "training.evaluation_batch_size": "all rows are evaluated at once",
    "training.device": "has one value, cpu",
    "training.dtype": REFUSED,
    "training.threads": "the same vectors but for rounding",
    "privacy.enabled": REFUSED,
    **{
        f"privacy.{name}": "of privacy, which is refused"
        for name in (
            "mechanism",
            "clip_norm",
            "noise_multiplier",
            "sample_rate",
            "epsilon_max",
            "delta",
            "validation_is_public",
            "basis_is_public",
        )
    },
    "integration.degree_max": REFUSED,
    "outer.name": REFUSED,
    "reputation.groups": REFUSED,
    "reputation.quotas": REFUSED,
    "participation.weights": REFUSED,
    **{
        f"participation.{name}": "of weights that are refused"
        for name in ("base", "weight_max", "interval_max")
    },
    "schedule.mode": "has one value, synchronous",
    "schedule.integrate": REFUSED,
    "schedule.window_s": NO_TIME,
    "schedule.arrivals": "of asynchronous peers",
    "schedule.recipients": REFUSED,
    "schedule.time_s_max": REFUSED,
    "schedule.plateau_evaluations": REFUSED,
    "schedule.plateau_delta": "of a plateau, which is refused",
    "schedule.deadline_s": NO_TIME,
    "schedule.linger_s": NO_TIME,
    "schedule.start_neighbors": NO_CONNECTIONS,
    "schedule.start_deadline_s": NO_TIME,
    "schedule.start_required": NO_CONNECTIONS,
    "schedule.staleness_rounds_max": "no row is late",
    **{
        f"node.{name}": NO_CONNECTIONS
        for name in ("role", "state", "listen", "announce", "peers", "neighbors_wanted")
    },
    **{
        f"membership.{name}": NO_CONNECTIONS
        for name in (
            "heartbeat_s",
            "suspicion_s",
            "redial_s_min",
            "redial_s_max",
            "ban_s",
            "ban_s_max",
        )
    },
    **{
        f"limits.{name}": REFUSED
        for name in ("neighbors_max", "payload_bytes_max", "payload_store_bytes_max")
    },
}


class Clocks(Watcher):
    """Remembers by how much clocks are ahead: nobody tells others its time."""

    def __init__(self) -> None:
        self.ahead_s: list[float] = []

    @override
    def world_began(self, world: World) -> None:
        self.ahead_s = [host.member.clock_ahead_s for host in world.hosts]


def played(scenario: dict[str, Any]) -> object:
    """Return what tells two simulations apart."""
    clocks = Clocks()
    result = sim.run(scenario, watchers=[clocks])
    scores = [(it.score, it.test_score) for peer in result.peers for it in peer.scores]
    return result.trace_digest, result.model_digests, result.bytes_sent, scores, clocks.ahead_s


def fields_of(table: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in table.model_fields.items():
        inner = list(tables_in(field.annotation))
        if not inner:
            yield f"{prefix}{name}"
        for it in inner:
            kind = f"{get_args(it.model_fields['kind'].annotation)[0]}." if len(inner) > 1 else ""
            yield from fields_of(it, f"{prefix}{name}.{kind}")


def tables_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from tables_in(inner)


WORLD: Final = list(fields_of(Surrounding))
RUN: Final = list(fields_of(RunConfig))


def is_listed(field: str, listed: dict[str, str]) -> bool:
    return any(f"{field}.".startswith(f"{name}.") for name in listed)


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put traces where paths of scenarios are relative to."""
    (tmp_path / "early.csv").write_text("peer,from_s,until_s\n0,0.0,1.5\n", encoding="utf-8")
    (tmp_path / "late.csv").write_text("peer,from_s,until_s\n0,0.5,\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("traces")
@pytest.mark.parametrize("field", OF_MESSAGES)
def test_a_field_changes_what_happens_with_messages(field: str) -> None:
    on, other = OF_MESSAGES[field]
    base = with_overrides(MESSAGES, on)
    assert played(base) != played(with_overrides(base, other))


@pytest.mark.parametrize("field", OF_ROUNDS)
def test_a_field_changes_what_happens_in_rounds(field: str) -> None:
    on, other = OF_ROUNDS[field]
    base = with_overrides(ROUNDS, on)
    assert played(base) != played(with_overrides(base, other))


def test_no_field_is_forgotten() -> None:
    assert {it for it in WORLD if not is_listed(it, UNHEEDED_BY_MESSAGES)} == set(OF_MESSAGES)
    in_rounds = {it for it in [*WORLD, *RUN] if not is_listed(it, UNHEEDED_BY_ROUNDS)}
    assert in_rounds == set(OF_ROUNDS)
