"""Whether what a `RoundsConfig` is given is of the kinds that it works with."""

from collections.abc import Mapping, Sequence
from typing import Final

from p2pfed.errors import ConfigError
from p2pfed.learn.learner import Plan
from p2pfed.learn.partition import PartitionRule
from p2pfed.learn.task import Task
from p2pfed.updates.codec import Codec
from p2pfed.updates.method import Method
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.policy import ReputationPolicy
from robust.rule import Rule
from sim.rounds.threat import Lie

_TABLE: Final = "give a mapping of names to values, such as {'degree': 4}"

# Field -> its kinds, and what to give instead of others.
_KINDS: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "task": ((str, Task), "give digits, reuters, package.module:factory or a Task"),
    "partition": (
        (PartitionRule,),
        "give a rule: p2pfed.learn.partition.create_partition('dirichlet', alpha=0.5)",
    ),
    "plan": ((Plan,), "give a p2pfed.learn.learner.Plan(step_rule=…, steps_per_round=…)"),
    "method": ((Method,), "give a method: p2pfed.updates.create_method('lora', …)"),
    "codec": (
        (Codec, type(None)),
        "give a codec: p2pfed.updates.create_codec('int8'), or None",
    ),
    "topology": ((str,), "give a name of topologies.names() or topologies.dynamic_names()"),
    "topology_params": ((Mapping,), _TABLE),
    "liar_indices": ((Sequence, type(None)), "give numbers of peers, such as (0, 3), or None"),
    "measures_spread": ((bool,), "give True or False"),
    "attack_params": ((Mapping,), _TABLE),
    "data_attack": ((str, type(None)), "give a name, or None"),
    "data_params": ((Mapping,), _TABLE),
    "lies": ((Mapping,), "give lies by number of the peer, such as {0: Lie(attack='zero')}"),
    "rule": ((str, Rule), "give a name of robust.names(), or a rule"),
    "integrator": ((Mapping,), "give arguments of robust.Integrator by name"),
    "reputation": ((ReputationPolicy, type(None)), "give a robust.ReputationPolicy, or None"),
    "loss_gate": ((LossGatePolicy, type(None)), "give a robust.LossGatePolicy, or None"),
}


def check_kinds(values: Mapping[str, object]) -> None:
    """Refuse what is of another kind than the fields of a `RoundsConfig`.

    Raises:
        ConfigError: Naming the first such field.
    """
    for name, (kinds, fix) in _KINDS.items():
        if not isinstance(values[name], kinds):
            raise ConfigError(f"rounds.{name}", values[name], fix)
    placed = values["liar_indices"] or ()
    assert isinstance(placed, Sequence)
    if not all(isinstance(it, int) for it in placed):
        raise ConfigError("rounds.liar_indices", placed, _KINDS["liar_indices"][1])
    lies = values["lies"]
    assert isinstance(lies, Mapping)
    for number, lie in lies.items():
        if not isinstance(number, int) or not isinstance(lie, Lie):
            fix = 'write the number of a peer and its lie, such as {0: Lie(attack="zero")}'
            raise ConfigError("rounds.lies", {number: lie}, fix)
