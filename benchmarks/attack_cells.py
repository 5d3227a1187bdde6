"""One cell of the attack matrix: a rule, an attack, a split of the data, a graph and a seed."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import torch

import robust
from p2pfed.learn.partition import Dirichlet, Iid, PartitionRule
from p2pfed.learn.task import Task
from p2pfed.learn.tasks import load_task
from robust.reputation.loss_gate import LossGatePolicy
from sim.adversaries.attacks.data import corner
from sim.rounds import RoundsConfig, run

SILENT, NONE = "silent", "none"

PARTITIONS: Mapping[str, PartitionRule] = {"iid": Iid(), "dirichlet": Dirichlet(alpha=0.3)}
TOPOLOGIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "6-regular": ("k-regular", {"degree": 6}),
    "ring": ("ring", {}),
}
# Rows before which a sleeper behaves, as a share of all.
AWAKE_RATIO = 0.5
_NEIGHBORS_MAX = max(params.get("degree", 2) for _, params in TOPOLOGIES.values())


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What the liars do, and what a reader has to know of it."""

    attack: str
    meaning: str
    params: Mapping[str, Any] = field(default_factory=dict)
    data_attack: str | None = None
    data_params: Mapping[str, Any] = field(default_factory=dict)


_LABELS = {"class_count": 10}
_TRIGGER = {"positions": corner(8, 8, 2), "value": 0.5, "target": 0}

ATTACKS: Mapping[str, Preset] = {
    SILENT: Preset(attack="silent", meaning="liars send nothing: the reference"),
    NONE: Preset(attack="none", meaning="liars behave"),
    "sign-flip": Preset(attack="sign-flip", meaning="-1 times the own drift"),
    "sign-flip-x10": Preset(
        attack="sign-flip", params={"scale": 10.0}, meaning="-10 times the own drift"
    ),
    "noise": Preset(
        attack="noise", params={"deviation": 0.1}, meaning="N(0, 0.1), about as long as a model"
    ),
    "nan": Preset(attack="non-finite", meaning="NaN everywhere"),
    "scaling": Preset(
        attack="scaling", params={"scale": 2.5}, meaning="2.5 times the own drift, below the cap"
    ),
    "alie": Preset(
        attack="alie", params={"z": 1.5}, meaning="mean - 1.5 deviations of the honest rows"
    ),
    "inner-product": Preset(
        attack="inner-product", params={"epsilon": 0.5}, meaning="-0.5 times the honest mean"
    ),
    "min-max": Preset(attack="min-max", meaning="as far as two honest rows are apart"),
    "min-sum": Preset(attack="min-sum", meaning="the same for the sum of distances"),
    "mimic": Preset(attack="mimic", meaning="copies of one honest row"),
    "dissensus": Preset(attack="dissensus", meaning="cancels what the others pull"),
    "fang": Preset(attack="fang-trimmed-mean", meaning="just beyond the extremes, against change"),
    "label-flip": Preset(
        attack="none",
        data_attack="mirror-labels",
        data_params=_LABELS,
        meaning="trains on 9 - y, sends it as it is",
    ),
    "backdoor": Preset(
        attack="model-replacement",
        data_attack="backdoor",
        data_params=_TRIGGER,
        meaning="four bright pixels mean 0; boosted to an honest length",
    ),
    "free-rider": Preset(attack="zero", meaning="sends the initial model"),
    "sleeper": Preset(
        attack="sleeper+sign-flip", meaning="behaves for half of the rounds, then sign-flip"
    ),
    "adaptive": Preset(
        attack="adaptive-blend+inner-product",
        params={"epsilon": 1.0, "evaluations": 6},
        meaning="asks the target's own pipeline how much of -mean does most harm",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run; its fields name it for ever in the file of results."""

    rule: str
    attack: str
    partition: str
    topology: str
    seed: int
    peers: int = 16
    liars: int = 4
    rounds: int = 30

    def key(self) -> tuple[Any, ...]:
        """Return what tells cells apart."""
        return tuple(asdict(self).values())

    def config(self) -> RoundsConfig:
        """Return the run's configuration."""
        rule, options = pipeline_of(self.rule)
        preset = ATTACKS.get(self.attack) or Preset(attack=self.attack, meaning="")
        params = dict(preset.params)
        if preset.attack.startswith("sleeper"):
            params["first_round"] = int(self.rounds * AWAKE_RATIO)
        topology, topology_params = TOPOLOGIES[self.topology]
        return RoundsConfig(
            task=digits(),
            partition=PARTITIONS[self.partition],
            topology=topology,
            topology_params=topology_params,
            peers=self.peers,
            liars=self.liars,
            attack=preset.attack,
            attack_params=params,
            data_attack=preset.data_attack,
            data_params=preset.data_params,
            rule=rule,
            rounds=self.rounds,
            seed=self.seed,
            **options,
        )


def pipeline_of(label: str) -> tuple[str, dict[str, Any]]:
    """Return a rule's name and fields of `RoundsConfig`.

    Args:
        label: A name that `robust.create` knows; "@ledger" behind it keeps a reputation ledger,
            "@gate" a loss gate that probes all neighbors, "@no-cap" takes the norm cap away.
    """
    rule, *suffixes = label.split("@")
    fields: dict[str, Any] = {}
    for suffix in suffixes:
        if suffix == "ledger":
            fields["reputation"] = robust.ReputationPolicy()
        elif suffix == "gate":
            fields["loss_gate"] = LossGatePolicy(probe_count=_NEIGHBORS_MAX)
        elif suffix == "no-cap":
            fields["integrator"] = {"norm_cap_ratio": None}
        else:
            raise ValueError(f"{label}: write @gate, @ledger or @no-cap")
    return rule, fields


def why_unusable(label: str) -> str | None:
    """Return why an integrator refuses a rule, None if it does not."""
    rule, _ = pipeline_of(label)
    try:
        robust.Integrator(rule, evaluate=lambda _: [0.0], seed=0)  # nothing is drawn here
    except robust.RuleError as error:
        return str(error)
    return None


@cache
def digits() -> Task:
    """Load the data once per process."""
    return load_task("digits")


def start_process() -> None:
    """Prepare a process that runs cells."""
    torch.set_num_threads(1)
    digits()


def run_cell(cell: Cell) -> dict[str, Any]:
    """Run a cell and return what is kept of it; an error is a result too."""
    began, began_cpu = time.perf_counter(), time.process_time()
    try:
        found = run(cell.config()).to_dict()
        found.pop("config")
        found.pop("model_digests")
    except Exception as error:  # one broken rule must not end a run of half an hour
        found = {"error": f"{type(error).__name__}: {error}"}
    return {
        "cell": asdict(cell),
        "result": found,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - began_cpu,
    }
