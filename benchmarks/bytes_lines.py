"""What accuracy against bytes is measured of: per task one table of lines, and what is claimed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Tables = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A method and a codec; everything else is that of the task.

    Attributes:
        method: Table `[method]` of a run file.
        codec: Table `[codec]`.
        learning_rate: Of what the method trains beside the head; chosen on validation rows.
        training: Further fields of `[training]`, where the method needs other local steps.
        density: Share of the values that an update says something of.
        denominator: Name of the line whose bytes its ratios are of; empty for the task's.
    """

    method: Tables
    codec: Tables
    learning_rate: float
    training: Tables = field(default_factory=dict)
    density: float = 1.0
    denominator: str = ""

    @property
    def name(self) -> str:
        """What tells lines apart, for people."""
        return f"{self.trained} / {_label(self.codec, _SHOWN)}"

    @property
    def trained(self) -> str:
        """The method's part of the name."""
        return _label(self.method, ("rank",))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a line is to reach beside the denominator of its task.

    Attributes:
        line: The line's name.
        ratio_min: So many times fewer bytes at the wire.
        points_max: Accuracy lost at most, in points of mean test accuracy; None: to be stated only.
    """

    line: str
    ratio_min: float
    points_max: float | None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All that is particular to one task.

    Attributes:
        title: Of its document.
        lines: The table; a new method or codec is one more line in it.
        denominator: Name of the line whose bytes ratios are of, unless a line names its own.
        claims: What is to be reached.
        run: Tables of the scenario that all lines share, without method and codec.
        head_learning_rate: Of a head trained from scratch.
        rates: Tried on the validation rows of one seed, by name of a line.
        peer_counts_line: Name of the line whose bytes are measured at several numbers of peers.
        peer_counts_rounds: Rounds of these runs.
    """

    title: str
    lines: Sequence[Line]
    denominator: str
    claims: Sequence[Claim]
    run: Tables
    head_learning_rate: float
    rates: Mapping[str, Sequence[float]]
    peer_counts_line: str
    peer_counts_rounds: int

    def line(self, name: str) -> Line:
        """Return the line of a name."""
        return next(line for line in self.lines if line.name == name)


PEERS = 8
PEER_COUNTS = (4, 8, 16)
SEEDS = (0, 1, 2)
TUNING_SEED = 100  # of no row of the tables

_SHOWN = ("step_rms", "density", "values", "chunk", "kept")
_FLOAT32 = {"name": "float32"}
_BFLOAT16 = {"name": "bfloat16"}
_INT8 = {"name": "int8"}
_INT4 = {"name": "int4"}
_UNIFORM = {"name": "uniform"}
_COARSE = {"name": "uniform", "step_rms": 1.0}
_SIGN = {"name": "sign"}


def _top_k(density: float) -> dict[str, Any]:
    return {"name": "top-k", "density": density}


def _rand_k(density: float) -> dict[str, Any]:
    return {"name": "rand-k", "density": density}


def _label(table: Tables, shown: Sequence[str]) -> str:
    words = [f"{name}={_text(table[name])}" for name in shown if name in table]
    return " ".join([table["name"], *words])


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(value) or "none"
    return str(value)


# What all lines of a table have in common: equal rounds, equal weights, nobody lies.
_COMMON: Tables = {
    "share": {"name": "dirichlet", "alpha": 0.3},
    "integration": {"rule": "mean", "norm_cap_ratio": "off"},
}


def _schedule(rounds: int) -> dict[str, Any]:
    # One evaluation, after the last round: it takes as long as some rounds of training.
    return {"mode": "synchronous", "rounds_max": rounds, "evaluate_every_rounds": rounds}


# Reuters ---------------------------------------------------------------------------------------

_ADAPTERS = {"targets": ["query", "value"], "modules": ["head"]}
_LORA = {"name": "lora", "rank": 8, "alpha": 16.0, **_ADAPTERS}
_LORA_FAIR = {**_LORA, "name": "lora-fair"}
_FFA_LORA = {**_LORA, "name": "ffa-lora"}
_FED_SB = {"name": "fed-sb", "rank": 8, **_ADAPTERS}
# A square grows with the rank while LoRA grows with rank times size: the head is in both.
_WIDE_LORA = {**_LORA, "rank": 16, "alpha": 32.0}
_WIDE_FED_SB = {**_FED_SB, "rank": 16}
_WIDE = "lora rank=16 / float32"
_HEAD = {"name": "head", "modules": ["head"]}
_LORA_RATE, _FFA_LORA_RATE, _FED_SB_RATE = 5e-3, 1e-2, 3e-2

REUTERS = Bench(
    title="Accuracy against bytes: Reuters R8",
    lines=(
        Line(method=_LORA, codec=_FLOAT32, learning_rate=_LORA_RATE),
        Line(method=_FFA_LORA, codec=_INT4, learning_rate=_FFA_LORA_RATE),
        Line(method=_LORA, codec=_INT4, learning_rate=_LORA_RATE),
        Line(method=_LORA, codec=_top_k(0.4), learning_rate=_LORA_RATE, density=0.4),
        Line(method=_LORA, codec=_top_k(0.3), learning_rate=_LORA_RATE, density=0.3),
        Line(method=_FED_SB, codec=_FLOAT32, learning_rate=_FED_SB_RATE),
        Line(method=_FED_SB, codec=_INT4, learning_rate=_FED_SB_RATE),
        Line(method=_WIDE_LORA, codec=_FLOAT32, learning_rate=_LORA_RATE),
        Line(method=_WIDE_FED_SB, codec=_COARSE, learning_rate=_FED_SB_RATE, denominator=_WIDE),
        Line(method=_WIDE_FED_SB, codec=_SIGN, learning_rate=_FED_SB_RATE, denominator=_WIDE),
        Line(method=_WIDE_FED_SB, codec=_INT4, learning_rate=_FED_SB_RATE, denominator=_WIDE),
        Line(method=_FED_SB, codec=_SIGN, learning_rate=_FED_SB_RATE),
        Line(method=_FFA_LORA, codec=_COARSE, learning_rate=_FFA_LORA_RATE),
        Line(method=_LORA, codec=_top_k(0.1), learning_rate=_LORA_RATE, density=0.1),
        Line(method=_FFA_LORA, codec=_FLOAT32, learning_rate=_FFA_LORA_RATE),
        Line(method=_LORA_FAIR, codec=_FLOAT32, learning_rate=_LORA_RATE),
        Line(method=_LORA_FAIR, codec=_INT4, learning_rate=_LORA_RATE),
        Line(method=_HEAD, codec=_FLOAT32, learning_rate=1e-2),
        Line(method=_LORA, codec=_BFLOAT16, learning_rate=_LORA_RATE),
        Line(method=_LORA, codec=_INT8, learning_rate=_LORA_RATE),
        Line(method=_LORA, codec=_UNIFORM, learning_rate=_LORA_RATE),
        Line(method=_LORA, codec=_SIGN, learning_rate=_LORA_RATE),
        Line(method=_LORA, codec=_rand_k(0.1), learning_rate=_LORA_RATE, density=0.1),
    ),
    denominator="lora rank=8 / float32",
    claims=(
        Claim(line="ffa-lora rank=8 / int4", ratio_min=14.0, points_max=1.0),
        Claim(line="lora rank=8 / top-k density=0.4", ratio_min=10.0, points_max=1.0),
        Claim(line="fed-sb rank=8 / int4", ratio_min=50.0, points_max=None),
        Claim(line="fed-sb rank=16 / uniform step_rms=1.0", ratio_min=230.0, points_max=None),
    ),
    run={
        **_COMMON,
        "task": {"validation_rows": 200, "test_rows": 200},
        "training": {"steps_per_round": 2, "batch_size": 12},
        "schedule": _schedule(14),
    },
    head_learning_rate=1e-2,
    rates={
        "lora rank=8 / float32": (2e-3, 5e-3),
        "lora rank=8 / top-k density=0.4": (5e-3,),
        "ffa-lora rank=8 / float32": (2e-3, 5e-3, 1e-2),
        "fed-sb rank=8 / float32": (1e-2, 3e-2, 1e-1),
    },
    peer_counts_line="fed-sb rank=8 / int4",
    peer_counts_rounds=4,
)

# Digits ----------------------------------------------------------------------------------------

# The two layers of the task's network are called 0 and 2.
_SMALL = {"targets": ["0"], "modules": ["2"]}
_SMALL_LORA = {"name": "lora", "rank": 8, "alpha": 16.0, **_SMALL}
_SMALL_LORA_FAIR = {**_SMALL_LORA, "name": "lora-fair"}
_SMALL_FFA_LORA = {**_SMALL_LORA, "name": "ffa-lora"}
_SMALL_FED_SB = {"name": "fed-sb", "rank": 8, **_SMALL}
_SMALL_HEAD = {"name": "head", "modules": ["2"]}
_FULL = {"name": "full"}
_STEP = 0.3  # as in the run file that `p2pfed init` writes
_FFA_STEP, _FED_SB_STEP = 0.3, 1.0

DIGITS = Bench(
    title="Accuracy against bytes: digits",
    lines=(
        Line(method=_SMALL_LORA, codec=_FLOAT32, learning_rate=_STEP),
        Line(method=_SMALL_LORA, codec=_BFLOAT16, learning_rate=_STEP),
        Line(method=_SMALL_LORA, codec=_INT8, learning_rate=_STEP),
        Line(method=_SMALL_LORA, codec=_INT4, learning_rate=_STEP),
        Line(method=_SMALL_LORA, codec=_COARSE, learning_rate=_STEP),
        Line(method=_SMALL_LORA, codec=_SIGN, learning_rate=_STEP),
        Line(method=_SMALL_LORA, codec=_top_k(0.5), learning_rate=_STEP, density=0.5),
        Line(method=_SMALL_LORA, codec=_top_k(0.3), learning_rate=_STEP, density=0.3),
        Line(method=_SMALL_LORA, codec=_top_k(0.1), learning_rate=_STEP, density=0.1),
        Line(method=_SMALL_LORA, codec=_rand_k(0.1), learning_rate=_STEP, density=0.1),
        Line(method=_SMALL_LORA, codec={"name": "sparse"}, learning_rate=_STEP, density=1 / 64),
        Line(method=_SMALL_LORA_FAIR, codec=_FLOAT32, learning_rate=_STEP),
        Line(method=_SMALL_FFA_LORA, codec=_FLOAT32, learning_rate=_FFA_STEP),
        Line(method=_SMALL_FFA_LORA, codec=_INT4, learning_rate=_FFA_STEP),
        Line(method=_SMALL_FED_SB, codec=_FLOAT32, learning_rate=_FED_SB_STEP),
        Line(method=_SMALL_FED_SB, codec=_INT4, learning_rate=_FED_SB_STEP),
        Line(method=_SMALL_HEAD, codec=_FLOAT32, learning_rate=_STEP),
        Line(method=_FULL, codec=_FLOAT32, learning_rate=_STEP),
        Line(method=_FULL, codec=_INT4, learning_rate=_STEP),
    ),
    denominator="lora rank=8 / float32",
    claims=(
        Claim(line="lora rank=8 / int4", ratio_min=6.0, points_max=1.0),
        Claim(line="ffa-lora rank=8 / int4", ratio_min=14.0, points_max=1.0),
        Claim(line="lora rank=8 / top-k density=0.5", ratio_min=10.0, points_max=1.0),
        Claim(line="fed-sb rank=8 / int4", ratio_min=50.0, points_max=None),
    ),
    run={
        **_COMMON,
        "task": {"hidden_size": 256},
        "training": {"steps_per_round": 5, "batch_size": 32, "step_rule": {"name": "sgd"}},
        "schedule": _schedule(20),
    },
    head_learning_rate=_STEP,
    rates={
        "lora rank=8 / float32": (0.1, 0.3, 1.0),
        "ffa-lora rank=8 / float32": (0.1, 0.3, 1.0, 3.0),
        "fed-sb rank=8 / float32": (0.3, 1.0, 3.0, 10.0),
    },
    peer_counts_line="fed-sb rank=8 / int4",
    peer_counts_rounds=10,
)

BENCHES: Mapping[str, Bench] = {"digits": DIGITS, "reuters": REUTERS}
