"""From a scenario to what `sim.rounds` is told."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import robust
from p2pfed.config.assembly import standing_config
from p2pfed.config.learning import assemble
from p2pfed.config.model import RunConfig
from p2pfed.config.naming import run_file_fields
from p2pfed.errors import ConfigError
from p2pfed.learn.learner import Plan, TaskLearner
from p2pfed.learn.mixing import MIXINGS
from p2pfed.learn.partition import create_partition
from p2pfed.learn.steps import Sgd
from p2pfed.learn.task import Task
from p2pfed.learn.tasks import load_task
from p2pfed.learn.workbench import Exchange, Workbench
from sim.identities import check_seed, identity_of
from sim.rounds.config import SEQUENTIAL, RoundsConfig
from sim.rounds.threat import lie_of_kind
from sim.scenario import Scenario, load_scenario
from sim.sharing import SharedRows

# What `sim.rounds` and tasks call a field -> where it stands in a scenario.
_FIELDS: Final = {
    "rounds.codec": "codec.name",
    "rounds.data_attack": "adversaries",
    "rounds.liars": "adversaries",
    "rounds.lies": "adversaries",
    "rounds.mixing": "integration.weights",
    "rounds.peers": "topology.nodes",
    "rounds.rule": "integration.rule",
    "rounds.task": "run.task",
    "rounds.topology": "topology",
    "task": "run.task",
    "steps.steps_per_round_min": "training.steps_per_round_min",
}
_USUAL_WEIGHTS: Final = "metropolis"


@contextmanager
def scenario_fields() -> Iterator[None]:
    """Name fields in a ConfigError of `sim.rounds` as a scenario does.

    Raises:
        ConfigError: The one that the block raised, under its field's name in a scenario.
    """
    try:
        yield
    except ConfigError as error:
        options = "rounds.integrator."
        field = _FIELDS.get(error.field, error.field)
        if field.startswith(options):
            field = f"integration.{field.removeprefix(options)}"
        raise ConfigError(field, error.value, error.fix) from error


@run_file_fields()
@scenario_fields()
def rounds_config(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    *,
    seed: int = 0,
    pool: Task | None = None,
) -> RoundsConfig:
    """Return what `sim.rounds.run` needs to play a scenario whose fidelity is `rounds`.

    Peers have the identities, rows, initial values and batches that they have with messages. What
    rules draw and what loss gates probe is drawn anew.

    Args:
        scenario: As for `sim.run`.
        seed: Of the simulation.
        pool: The task with all its rows, where it is loaded already.

    Raises:
        ConfigError: If a value cannot be used, named as the scenario does.
    """
    check_seed(seed)
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    config = scenario.run_config(0, seed=seed)
    if pool is None:
        pool = load_task(config.run.task, config.task)
    exchange, plan, learner = _assembled(config, pool, seed=seed)
    if exchange.correct is not None:
        fix = 'write another method, such as lora, or fidelity = "messages"'
        raise ConfigError("method.name", config.method.name, fix)
    topology = scenario.world.topology
    standing = standing_config(config)
    lies = {
        number: lie_of_kind(entry.kind, entry.params)
        for number, entry in scenario.world.liars(seed=seed).items()
    }
    compute = scenario.world.compute.jobs
    if plan.steps_per_round_min is not None and not isinstance(plan.step_rule, Sgd):
        compute = SEQUENTIAL  # such a rule counts the steps of all at once
    return RoundsConfig(
        task=pool,
        partition=create_partition(config.share.name, **config.share.constants),
        plan=plan,
        method=learner.method,
        codec=exchange.codec,
        normal_steps=config.training.normal_steps,
        topology=topology.name,
        topology_params=topology.params,
        topology_seed=topology.seed,
        peers=topology.nodes,
        lies=lies,
        rule=config.integration.rule,
        integrator=_options(exchange.integrator),
        reputation=None if standing is None else standing.policy,
        loss_gate=None if standing is None else standing.loss_gate,
        mixing=config.integration.weights,
        rounds=config.schedule.rounds_max,
        gossip_steps=config.schedule.gossip_steps,
        measures_spread=False,  # no result tells of it
        compute=compute,
        seed=seed,
        run_seed=config.run.seed,
    )


def _assembled(config: RunConfig, pool: Task, *, seed: int) -> tuple[Exchange, Plan, TaskLearner]:
    """Return what a real peer would be made of: what it refuses, rounds refuse with its words."""
    weights = config.integration.weights
    if weights not in MIXINGS:  # `sim.rounds` knows more of them
        usual = config.integration.model_copy(update={"weights": _USUAL_WEIGHTS})
        config = config.model_copy(update={"integration": usual})
    made = assemble(config, identity_of(seed, 0), task=SharedRows(pool).task_of(config))
    assert isinstance(made.bench, Workbench)
    learner = made.bench.learner
    assert isinstance(learner, TaskLearner)
    return made.bench.exchange, learner.plan, learner


def _options(integrator: robust.Integrator) -> dict[str, Any]:
    """Return what the integrators of `sim.rounds` are told; what is as by default is left out."""
    usual = robust.Integrator()
    names = ("beta_max", "norm_cap_ratio", "gamma", "prioritizer", "params")
    found = {name: getattr(integrator, name) for name in names}
    return {name: value for name, value in found.items() if value != getattr(usual, name)}
