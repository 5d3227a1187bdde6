"""Builds the bench of a run whose model is a SeedLedger, from a run file."""

from collections.abc import Callable
from typing import Final

from torch import Tensor

from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.identity import Identity
from p2pfed.learn.learner import Learner
from p2pfed.learn.ledger_bench import LedgerBench, LedgerExchange
from p2pfed.learn.ledger_entries import CODEC
from p2pfed.learn.ledger_training import LocalTraining, Probing, Projecting
from p2pfed.learn.loss_meter import LossMeter
from p2pfed.learn.steps import Sgd, create_step_rule
from p2pfed.updates.methods import LedgerMethod, Projected, Seeds
from p2pfed.updates.methods.seeds import BY_HISTORY
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.zeroth_order import ZerothOrder

_STEP_RULE: Final = "training.step_rule"


def check_for_ledger(config: RunConfig, method: LedgerMethod) -> None:
    """Refuse what a run file says and a ledger cannot do.

    Raises:
        ConfigError: If there is such a thing.
    """
    if config.codec.name != CODEC:
        fix = f"write {CODEC}: the updates of {method.name} are integers already"
        raise ConfigError("codec.name", config.codec.name, fix)
    for name, value in config.codec.constants.items():
        raise ConfigError(f"codec.{name}", value, f"remove it; {CODEC} has no constants")
    if config.reputation.enabled:
        fix = f"write false: under {method.name} every author's log counts alike at all peers"
        raise ConfigError("reputation.enabled", True, fix)


def ledger_bench(
    config: RunConfig,
    identity: Identity,
    learner: Learner,
    method: LedgerMethod,
    *,
    run_id: bytes,
    before_publish: Callable[[Tensor], Tensor],
) -> LedgerBench:
    """Build the bench of a peer.

    Args:
        config: The run file.
        identity: Who writes; decides which directions it draws.
        learner: As it was created.
        method: The run file's.
        run_id: Of the run.
        before_publish: As of `LedgerExchange`.

    Raises:
        ConfigError: If a value cannot be used.
    """
    terms = method.terms(run_id=run_id, size=learner.specification.size)
    exchange = LedgerExchange(
        method=method.name,
        terms=terms,
        author=identity.peer,
        training=_training(config, identity, learner, method, terms),
        rounds_per_epoch=method.rounds_per_epoch,
        before_publish=before_publish,
    )
    return LedgerBench(learner, exchange)


def _training(
    config: RunConfig, identity: Identity, learner: Learner, method: LedgerMethod, terms: Terms
) -> LocalTraining:
    if isinstance(method, Seeds):
        if not isinstance(learner, LossMeter):
            fix = "write projected, or give your learner a method training_losses"
            raise ConfigError("method.name", method.name, fix)
        return Probing(
            learner,
            terms,
            ZerothOrder(
                learning_rate=_learning_rate(config),
                share=method.share,
                probe_length=method.probe_length,
                step_count=config.training.steps_per_round,
            ),
            seed=identity.secret_number("directions"),
            draws_by_history=method.sampling == BY_HISTORY,
        )
    assert isinstance(method, Projected)
    return Projecting(
        learner,
        terms,
        share=method.share,
        step_count=config.training.steps_per_round,
        feedback=method.feedback,
    )


def _learning_rate(config: RunConfig) -> float:
    """Return the rate of steps along directions.

    Raises:
        ConfigError: If the step rule is more than a rate.
    """
    table = config.training.step_rule
    rule = create_step_rule(table.name, **table.constants)
    if not isinstance(rule, Sgd):
        fix = "write sgd: a step along one direction has a rate, and no gradient to adapt it by"
        raise ConfigError(f"{_STEP_RULE}.name", table.name, fix)
    for name in ("momentum", "weight_decay", "head_learning_rate"):
        if getattr(rule, name):
            fix = "remove it; steps along directions of all weights have one rate and no memory"
            raise ConfigError(f"{_STEP_RULE}.{name}", getattr(rule, name), fix)
    return rule.learning_rate
