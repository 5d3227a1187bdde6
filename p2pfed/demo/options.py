"""What the demonstration can be asked to do, and what it found."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from p2pfed.errors import ConfigError

TASKS: Final = ("reuters", "digits")
PEERS_MIN: Final = 2
PEERS_MIN_ATTACKED: Final = 4  # three rows beside the own one, of which one lies
PEERS_MAX: Final = 64  # processes of some 300 MB each
HOSTILE_SCALE: Final = -10.0  # times its difference from the genesis


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """A demonstration to run.

    Attributes:
        task: `reuters` or `digits`.
        peers: Processes to start.
        hostile: How many of them attack; 0 or 1.
        rule: Name of the robust rule; `mean` is run without a norm cap, as plain averaging.
        mode: How rounds are scheduled.
        rounds: Rounds to run, or None for the task's own number.
        seed: Of data shares, overlay, initial values and batches.
        folder: Where everything is kept; must not exist yet.

    Raises:
        ConfigError: If a value cannot be used.
    """

    task: str = "reuters"
    peers: int = 8
    hostile: int = 1
    rule: str = "trimmed-mean"
    mode: Literal["synchronous", "asynchronous"] = "synchronous"
    rounds: int | None = None
    seed: int = 0
    folder: Path = Path("p2pfed-demo")

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError("task", self.task, f"write one of {', '.join(TASKS)}")
        _check_rule(self.rule)
        if not PEERS_MIN <= self.peers <= PEERS_MAX:
            raise ConfigError("peers", self.peers, f"write {PEERS_MIN} to {PEERS_MAX}")
        if self.hostile not in (0, 1):
            raise ConfigError("hostile", self.hostile, "write one or none")
        if self.hostile and self.peers < PEERS_MIN_ATTACKED:
            fix = f"write at least {PEERS_MIN_ATTACKED}, or --hostile none: two cannot outvote one"
            raise ConfigError("peers", self.peers, fix)
        if self.rounds is not None and self.rounds < 1:
            raise ConfigError("rounds", self.rounds, "write at least 1")


def _check_rule(name: str) -> None:
    import robust  # makes torch load, which only a demonstration needs

    try:
        # Only the name is looked at: nothing is drawn or scored here.
        robust.Integrator(name, evaluate=lambda _: [0.0], seed=0)
    except robust.RuleError as error:
        fix = f"{error}; trimmed-mean is the default"
        raise ConfigError("rule", name, fix) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerResult:
    """What one peer reached.

    Attributes:
        index: Its number in the demonstration.
        peer_id: Its libp2p PeerID.
        hostile: Whether it attacked.
        examples: Its private training examples.
        accuracy: On test data, together; None if it did not finish.
        alone_accuracy: On test data, after as many steps without neighbors; None for a hostile one.
        history: (round, test accuracy) as far as measured.
        bytes_sent: Bytes on the wire.
        hostile_weight: Mean coefficient that hostile rows got in its integrations; None if it has
            no hostile neighbor.
        rejected: Rejected rows by reason.
        outcome: Why it stopped.
    """

    index: int
    peer_id: str
    hostile: bool
    examples: int
    accuracy: float | None
    alone_accuracy: float | None
    history: tuple[tuple[int, float], ...]
    bytes_sent: int
    hostile_weight: float | None
    rejected: dict[str, int]
    outcome: str

    @property
    def has_finished(self) -> bool:
        """Whether it trained to its end and was tested there."""
        return self.outcome == "rounds" and self.accuracy is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What a demonstration found.

    Attributes:
        options: What was run.
        peers: Each peer.
        majority_accuracy: Test accuracy of always naming the most common class.
        wall_s: Time from the first process to the last figure, in seconds.
        adapter_path: Folder with the best honest peer's model, in a standard format.
        plot_path: A picture of accuracy over rounds.
    """

    options: DemoOptions
    peers: tuple[PeerResult, ...]
    majority_accuracy: float
    wall_s: float
    adapter_path: Path
    plot_path: Path

    @property
    def honest(self) -> list[PeerResult]:
        """The honest peers that finished."""
        return [p for p in self.peers if not p.hostile and p.has_finished]

    @property
    def lost(self) -> list[int]:
        """Numbers of the honest peers that did not finish."""
        return [p.index for p in self.peers if not p.hostile and not p.has_finished]

    def to_json_object(self) -> dict[str, Any]:
        """Return all figures; accuracies are those of the honest peers."""
        together = [p.accuracy for p in self.honest if p.accuracy is not None]
        alone = [p.alone_accuracy for p in self.honest if p.alone_accuracy is not None]
        hostile = [p.hostile_weight for p in self.honest if p.hostile_weight is not None]
        return {
            "mean_accuracy": _mean(together),
            "worst_accuracy": min(together, default=None),
            "alone_mean_accuracy": _mean(alone),
            "majority_accuracy": self.majority_accuracy,
            "bytes_sent_per_peer": _mean([float(p.bytes_sent) for p in self.honest]),
            "wall_s": self.wall_s,
            "hostile_weight_mass": _mean(hostile),
            "adapter_path": str(self.adapter_path),
            "plot_path": str(self.plot_path),
            "task": self.options.task,
            "rule": self.options.rule,
            "mode": self.options.mode,
            "seed": self.options.seed,
            "lost": self.lost,
            "peers": [asdict(peer) for peer in self.peers],
        }

    def sentence(self) -> str:
        """Say what happened, in one sentence."""
        found = self.to_json_object()
        together, alone = found["mean_accuracy"], found["alone_mean_accuracy"]
        if together is None or alone is None:
            return "No honest peer finished; look into the log files in the folder."
        count = len(self.honest)
        end = "."
        if self.options.hostile:
            mass = found["hostile_weight_mass"]
            end = (
                ", while one peer attacked all of them"
                if mass is None
                else f", while one peer attacked and got {mass:.1%} of the weight"
            )
            end += "."
        if self.lost:
            end += f" Peers {', '.join(map(str, self.lost))} did not finish."
        rule = self.options.rule + (" without a norm cap" if self.options.rule == "mean" else "")
        verb = "rose" if together > alone else "fell"
        return (
            f"Learning together without a server, {count} honest peers {verb} from {alone:.1%} "
            f"(each alone) to {together:.1%} mean test accuracy under {rule}{end}"
        )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
