"""What a run of `sim.rounds` may be told."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Final, final

from torch import Tensor

import topologies
from p2pfed.errors import ConfigError
from p2pfed.learn.learner import Plan
from p2pfed.learn.mixing import MIXINGS, is_weighing
from p2pfed.learn.partition import Iid, PartitionRule
from p2pfed.learn.steps import Sgd
from p2pfed.learn.task import Task
from p2pfed.updates.codec import Codec
from p2pfed.updates.construction import check_choice, check_integer
from p2pfed.updates.method import Method
from p2pfed.updates.methods import Full
from robust.errors import RuleError
from robust.integrator import Integrator
from robust.parameters import meant
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.policy import ReputationPolicy
from robust.rule import Rule
from sim.adversaries.view import Attack
from sim.identities import random_for
from sim.rounds.kinds import check_kinds
from sim.rounds.pipeline import Post, make_pipeline
from sim.rounds.threat import NONE, Lie, Threat, attack_name, threats_of
from sim.topology_errors import check_known
from topologies.mixing import MIXING_MATRICES

SCATTERED: Final = "scattered"
AROUND_VICTIM: Final = "around-victim"
PLACEMENTS: Final = (SCATTERED, AROUND_VICTIM)
BATCHED: Final = "batched"
SEQUENTIAL: Final = "sequential"
COMPUTES: Final = (BATCHED, SEQUENTIAL)
PUSH_SUM: Final = "push-sum"
# By name: what real peers reckon with, and what needs somebody who knows the whole graph.
_FROM_ROWS: Final = (*sorted(MIXINGS.keys() - {"lazy"}), PUSH_SUM)
_FROM_GRAPH: Final = tuple(sorted(MIXING_MATRICES.keys() - set(_FROM_ROWS)))


def _default_plan() -> Plan:
    # Digits, trimmed mean, 6-regular, 4 of 16 silent: 0.95 after 30 such rounds, 0.967 after 100
    # (Dirichlet 0.3: 0.90 and 0.94).
    return Plan(step_rule=Sgd(learning_rate=0.5), steps_per_round=4, batch_size=32)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsConfig:
    """One run: who learns what, from whom, who lies, and how.

    Attributes:
        task: A name of `p2pfed.learn.tasks.TASKS`, `package.module:factory`, or a task.
        partition: How the task's training rows are shared out.
        plan: How every peer trains in a round.
        method: Which parameters train and travel; none with a ledger or a correction.
        codec: How rows travel; None as they are, counted as float32.
        normal_steps: What a round learned is scaled to that of so many steps; 0 leaves it.
        topology: A name of `topologies.names()`, or of `topologies.dynamic_names()`: then each
            gossip step is one round of it.
        topology_params: Its parameters besides nodes and seed.
        topology_seed: Of a random graph; by default the run's.
        peers: How many, at least 1.
        liars: How many of them lie; which ones is drawn from the seed. None where `liar_indices` or
            `lies` name them, or nobody lies.
        placement: Where drawn liars sit: "scattered" anywhere, "around-victim" first in the places
            of the victim's neighbors: an eclipse, if they fill them all (Singh et al. 2006,
            "Eclipse attacks on overlay networks: threats and defenses").
        victim: Number of the peer that is surrounded.
        liar_indices: Who lies, in place of `liars` drawn ones.
        attack: What liars send: "none" lets them behave, "silent" lets them send nothing, the rest
            is what `sim.adversaries.attacks.create_attack` knows. Or a function of one's own from
            a `sim.adversaries.view.View` to the row, (d,), that a liar sends to this target.
        attack_params: Parameters of an attack given by name.
        data_attack: What they do to the rows that they train on: a name of
            `sim.adversaries.attacks.data_attack_names()`, or None.
        data_params: Parameters of the data attack.
        lies: What each liar does, by number, where they do different things; in place of `liars`,
            `liar_indices` and the attacks above.
        rule: The honest peers' rule: a name that `robust.create` knows, or a rule.
        integrator: Further arguments of `robust.Integrator`; what needs the peer's own data or a
            seed is added by itself.
        reputation: The constants of a reputation ledger that every honest peer keeps, and whose
            masses bound what its neighbors may count; None for no ledger.
        loss_gate: How honest peers find neighbors that harm their held-out loss, and turn them
            away; None to probe nobody.
        mixing: How neighbors' rows are weighed: a name of `p2pfed.learn.mixing.MIXINGS`; for
            topologies that stay also `lazy`, `max-degree` or `optimized`, as
            `Topology.mixing_matrix` has them; or `push-sum`, with which peers come to the plain
            mean although edges are directed, for rules that weigh rows.
        rounds: How many, at least 1.
        gossip_steps: How often peers send and integrate what one training made, at least 1. Of what
            integrations show, ledgers and loss gates get the last of a round, as those of peers do.
        measures_spread: Whether to measure how far honest rows are apart, and results from their
            mean. Without it, `honest_spread` and `result_error` are None, and rounds of the mean
            are a seventh faster.
        compute: "batched" trains all peers at once, and integrates at once wherever rule and rows
            allow it; "sequential" does one after the other.
        seed: Of everything random, in [0, 2^53).
        run_seed: Of initial values, shares and batches, in [0, 2^53); by default the same.

    Raises:
        ConfigError: If a value cannot be used.
    """

    task: str | Task = "digits"
    partition: PartitionRule = field(default_factory=Iid)
    plan: Plan = field(default_factory=_default_plan)
    method: Method = field(default_factory=Full)
    codec: Codec | None = None
    normal_steps: int = 0
    topology: str = "k-regular"
    topology_params: Mapping[str, Any] = field(default_factory=dict)
    topology_seed: int | None = None
    peers: int = 16
    liars: int | None = None
    placement: str = SCATTERED
    victim: int = 0
    liar_indices: tuple[int, ...] | None = None
    attack: str | Attack = "none"
    attack_params: Mapping[str, Any] = field(default_factory=dict)
    data_attack: str | None = None
    data_params: Mapping[str, Any] = field(default_factory=dict)
    lies: Mapping[int, Lie] = field(default_factory=dict)
    rule: str | Rule = "trimmed-mean"
    integrator: Mapping[str, Any] = field(default_factory=dict)
    reputation: ReputationPolicy | None = None
    loss_gate: LossGatePolicy | None = None
    mixing: str = "metropolis"
    rounds: int = 50
    gossip_steps: int = 1
    measures_spread: bool = True
    compute: str = "batched"
    seed: int = 0
    run_seed: int | None = None

    def __post_init__(self) -> None:
        check_kinds({it.name: getattr(self, it.name) for it in fields(self)})
        check_integer(self.peers, "rounds.peers", least=1)
        if self.liars is not None:
            check_integer(self.liars, "rounds.liars", least=0)
        check_integer(self.rounds, "rounds.rounds", least=1)
        check_integer(self.gossip_steps, "rounds.gossip_steps", least=1)
        check_integer(self.seed, "rounds.seed", least=0)
        for name in ("run_seed", "topology_seed"):
            if getattr(self, name) is not None:
                check_integer(getattr(self, name), f"rounds.{name}", least=0)
        check_choice(self.compute, "rounds.compute", COMPUTES)
        check_integer(self.normal_steps, "rounds.normal_steps", least=0)
        self._check_steps()
        check_choice(self.placement, "rounds.placement", PLACEMENTS)
        check_integer(self.victim, "rounds.victim", least=0)
        if self.victim >= self.peers:
            raise ConfigError("rounds.victim", self.victim, f"write at most {self.peers - 1}")
        self._check_mixing()
        self._check_codec()
        self._check_lies()
        self._check_integrator()
        self._check_placement()

    @property
    def shared_seed(self) -> int:
        """Of initial values, shares and batches."""
        return self.seed if self.run_seed is None else self.run_seed

    @property
    def is_changing(self) -> bool:
        """Whether each exchange has a graph of its own."""
        return self.topology in topologies.dynamic_names()

    def place_liars(self) -> tuple[int, ...]:
        """Return the numbers of the peers that lie, ascending."""
        if self.lies:
            return tuple(sorted(self.lies))
        if self.liar_indices is not None:
            return tuple(sorted(self.liar_indices))
        generator = random_for(self.seed, "rounds/liars")
        if self.placement == SCATTERED:
            count = min(self.liars or 0, self.peers)
            return tuple(sorted(generator.sample(range(self.peers), count)))
        topology = self.create_topology()
        assert isinstance(topology, topologies.Topology)
        near = topology.neighbors(self.victim)
        far = [peer for peer in range(self.peers) if peer not in (self.victim, *near)]
        order = [*generator.sample(near, len(near)), *generator.sample(far, len(far)), self.victim]
        return tuple(sorted(order[: self.liars or 0]))

    def create_threats(self) -> dict[int, Threat]:
        """Make what the liars do, by number.

        Raises:
            ConfigError: If a name or a parameter cannot be used.
        """
        return threats_of(self.lies or dict.fromkeys(self.place_liars(), self._lie()))

    def create_topology(self) -> topologies.Topology | topologies.DynamicTopology:
        """Make the graph, or those of all exchanges.

        Raises:
            ConfigError: If the name or a parameter cannot be used.
        """
        check_known(self.topology, "rounds.topology")
        create: Callable[..., topologies.Topology | topologies.DynamicTopology]
        create = topologies.create_dynamic if self.is_changing else topologies.create
        seed = self.seed if self.topology_seed is None else self.topology_seed
        try:
            return create(self.topology, nodes=self.peers, seed=seed, **self.topology_params)
        except topologies.TopologyError as error:
            raise ConfigError("rounds.topology", self.topology, str(error)) from error

    def describe(self) -> dict[str, Any]:
        """Return everything as JSON knows it."""
        plan = {
            "step_rule": {"name": self.plan.step_rule.name, **self.plan.step_rule.describe()},
            "steps_per_round": self.plan.steps_per_round,
            "steps_per_round_min": self.plan.steps_per_round_min,
            "batch_size": self.plan.batch_size,
        }
        return {
            "task": self.task if isinstance(self.task, str) else self.task.name,
            "partition": {"name": self.partition.name, **_constants(self.partition)},
            "plan": plan,
            "method": {"name": self.method.name, **self.method.describe()},
            "codec": self.codec and {"name": self.codec.name, **self.codec.describe()},
            "normal_steps": self.normal_steps,
            "topology": {"name": self.topology, **self.topology_params},
            "topology_seed": self.topology_seed,
            "peers": self.peers,
            "liars": list(self.place_liars()),
            "placement": self.placement,
            "victim": self.victim,
            **self._lie().describe(),
            "lies": {str(number): lie.describe() for number, lie in sorted(self.lies.items())},
            "rule": _plain(self.rule),
            "integrator": {key: _plain(value) for key, value in self.integrator.items()},
            "reputation": None if self.reputation is None else asdict(self.reputation),
            "loss_gate": None if self.loss_gate is None else asdict(self.loss_gate),
            "mixing": self.mixing,
            "rounds": self.rounds,
            "gossip_steps": self.gossip_steps,
            "measures_spread": self.measures_spread,
            "compute": self.compute,
            "seed": self.seed,
            "run_seed": self.run_seed,
        }

    def _lie(self) -> Lie:
        return Lie(
            attack=self.attack,
            attack_params=self.attack_params,
            data_attack=self.data_attack,
            data_params=self.data_params,
        )

    def _check_steps(self) -> None:
        fewest, rule = self.plan.steps_per_round_min, self.plan.step_rule
        if fewest is not None and self.compute == "batched" and not isinstance(rule, Sgd):
            fix = f'write compute = "sequential"; {rule.name} counts steps, which would differ'
            raise ConfigError("steps.steps_per_round_min", fewest, fix)

    def _check_mixing(self) -> None:
        known = _FROM_ROWS if self.is_changing else (*_FROM_ROWS, *_FROM_GRAPH)
        check_choice(self.mixing, "rounds.mixing", tuple(sorted(known)))
        is_weighed = not isinstance(self.rule, str) or is_weighing(self.rule)
        if self.mixing == PUSH_SUM and not is_weighed:
            fix = f"write metropolis, or a rule that weighs rows; {self.rule} gives each one vote"
            raise ConfigError("rounds.mixing", self.mixing, fix)

    def _check_codec(self) -> None:
        codec = self.codec
        if codec is not None and codec.is_for_differences and self.is_changing:
            fix = f"write float32, or a graph that stays; in {self.topology} peers miss differences"
            raise ConfigError("rounds.codec", codec.name, fix)

    def _check_lies(self) -> None:
        self._lie().threat()
        threats_of(self.lies)
        if not self.lies:
            self._check_some_lie()
            return
        others = self.liars or 0, self.liar_indices, self.attack, self.data_attack, self.placement
        if others != (0, None, NONE, None, SCATTERED):
            fix = "leave out lies, or all of liars, liar_indices, placement, attack and data_attack"
            raise ConfigError("rounds.lies", sorted(self.lies), fix)
        if not self._fits(tuple(self.lies)):
            fix = f"name peers from 0 to {self.peers - 1}"
            raise ConfigError("rounds.lies", sorted(self.lies), fix)

    def _check_some_lie(self) -> None:
        """Refuse what liars would do where nobody said that there are any; 0 of them is a word."""
        if self.liars is not None or self.liar_indices is not None:
            return
        wanted = {
            "attack": attack_name(self.attack) if self.attack != NONE else None,
            "data_attack": self.data_attack,
            "placement": self.placement if self.placement != SCATTERED else None,
        }
        for name, value in wanted.items():
            if value is not None:
                fix = "say who lies by liars or liar_indices as well, or leave it out"
                raise ConfigError(f"rounds.{name}", value, fix)

    def _check_placement(self) -> None:
        placed = self.liar_indices
        is_other = self.liars not in (None, 0, len(placed or ()))
        if placed is not None and (is_other or not self._fits(placed)):
            fix = f"name different peers from 0 to {self.peers - 1}, as many as liars says"
            raise ConfigError("rounds.liar_indices", placed, fix)
        if placed is not None and self.placement != SCATTERED:
            fix = "leave out placement or liar_indices; each says who lies"
            raise ConfigError("rounds.placement", self.placement, fix)
        if self.placement == SCATTERED and self.victim:
            fix = f'write placement = "{AROUND_VICTIM}" as well, or leave it out'
            raise ConfigError("rounds.victim", self.victim, fix)
        if self.placement != SCATTERED and self.is_changing:
            fix = f"leave it out; in {self.topology} nobody keeps neighbors"
            raise ConfigError("rounds.placement", self.placement, fix)
        count = (self.liars or 0) if placed is None and not self.lies else len(self.place_liars())
        if count >= self.peers:
            raise ConfigError("rounds.liars", count, "leave at least one honest peer")

    def _check_integrator(self) -> None:
        known = sorted({it.name for it in fields(Integrator)} - {"rule"})
        for name, value in self.integrator.items():
            if name not in known:
                fix = f"remove it; robust.Integrator takes {', '.join(known)}{meant(name, known)}"
                raise ConfigError(f"rounds.integrator.{name}", value, fix)
        post = Post(
            index=0, rule=self.rule, options=self.integrator, scores=_no_scores, seed=self.seed
        )
        if not isinstance(self.method, Full):
            return  # what a method adds depends on the model
        try:
            make_pipeline(post)
        except RuleError as error:
            for name, value in self.integrator.items():
                if str(error).startswith(f"{name}="):
                    raise ConfigError(f"rounds.integrator.{name}", value, str(error)) from error
            raise ConfigError("rounds.rule", self.rule, str(error)) from error

    def _fits(self, placed: tuple[int, ...]) -> bool:
        return len(set(placed)) == len(placed) and all(0 <= i < self.peers for i in placed)


def _no_scores(_vector: Tensor) -> list[float]:
    return [0.0]


def _constants(value: PartitionRule) -> dict[str, Any]:
    assert is_dataclass(value)
    return asdict(value)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else repr(value)
