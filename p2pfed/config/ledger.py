"""Builds the bench of a run whose model is a ledger, from a run file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from torch import Tensor

from p2pfed.config.codecs import check_only_codec
from p2pfed.config.model import IntegrationTable, RunConfig
from p2pfed.config.privacy import Privacy
from p2pfed.errors import ConfigError
from p2pfed.identity import Identity
from p2pfed.learn.learner import Learner
from p2pfed.learn.ledger_adapters import LowRankChanges
from p2pfed.learn.ledger_author import LedgerAuthor
from p2pfed.learn.ledger_bench import LedgerBench, LedgerExchange
from p2pfed.learn.ledger_directions import Directions
from p2pfed.learn.ledger_entries import AnyLedger
from p2pfed.learn.ledger_privacy import HiddenChanges, PrivateAuthor
from p2pfed.learn.ledger_sparse import LargestValues
from p2pfed.learn.ledger_training import Probing, Projecting
from p2pfed.learn.loss_meter import ExampleLossMeter, LossMeter
from p2pfed.learn.outer import NONE
from p2pfed.learn.privacy.probes import PrivateProbing
from p2pfed.learn.steps import Sgd, create_step_rule
from p2pfed.updates.codec import Codec
from p2pfed.updates.methods import (
    AdapterSetMethod,
    LedgerMethod,
    Projected,
    Seeds,
    SparseSumMethod,
)
from p2pfed.updates.methods.ledger_method import OPERATION
from p2pfed.updates.methods.seeds import BY_HISTORY
from p2pfed.updates.registry import create_codec
from p2pfed.updates.seed_ledger.zeroth_order import ZerothOrder

_STEP_RULE: Final = "training.step_rule"
_DEFENSELESS: Final[Mapping[str, str]] = {"rule": "mean", "norm_cap_ratio": "off"}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an author is to write.

    Attributes:
        config: The run file.
        identity: Who writes.
        learner: Trains.
        ledger: Of the run, empty.
        privacy: What keeps the learner's rows private, if anything.
    """

    config: RunConfig
    identity: Identity
    learner: Learner
    ledger: AnyLedger
    privacy: Privacy | None


def check_for_ledger(config: RunConfig, method: LedgerMethod) -> None:
    """Refuse what a run file says and a ledger cannot do.

    Raises:
        ConfigError: If there is such a thing.
    """
    ledger_codec(config, method)
    _check_integration(config.integration, method)
    if config.reputation.enabled:
        fix = f"write false: under {method.name} every author's log counts alike at all peers"
        raise ConfigError("reputation.enabled", True, fix)
    weights = config.participation.weights
    if weights != "alike":
        fix = f"write alike: under {method.name} every entry counts once, whenever it comes"
        raise ConfigError("participation.weights", weights, fix)
    training = config.training
    for field, value in (
        ("steps_per_round_min", training.steps_per_round_min),
        ("normal_steps", training.normal_steps or None),
    ):
        if value is not None:
            fix = (
                f"leave it out: under {method.name} an entry adds what it says to all models alike"
            )
            raise ConfigError(f"training.{field}", value, fix)
    is_scalar = config.privacy.enabled and isinstance(method, Seeds)
    if is_scalar and config.privacy.mechanism != "per-step":
        fix = f"write per-step: the noise of a step of {method.name} is that of one number"
        raise ConfigError("privacy.mechanism", config.privacy.mechanism, fix)
    if config.outer.name != NONE:
        fix = f"write {NONE}: under {method.name} the model is a sum, and nobody mixes"
        raise ConfigError("outer.name", config.outer.name, fix)


def _check_integration(table: IntegrationTable, method: LedgerMethod) -> None:
    """Refuse a defense that would not be there, and weights of what nobody mixes.

    What a run file has by itself is no wish, and a mean without a cap is none either: tables that
    compare methods give it to all of them.
    """
    unset = _fields(IntegrationTable())
    for field, value in _fields(table).items():
        if value not in (unset[field], _DEFENSELESS.get(field, unset[field])):
            fix = (
                f"leave it out: under {method.name} nobody mixes, all logs add up; what bounds a "
                "liar is method.budget"
            )
            raise ConfigError(f"integration.{field}", value, fix)


def _fields(table: IntegrationTable) -> dict[str, Any]:
    """Return the values of all fields by their dotted names."""
    found = table.model_dump()
    inner = found.pop("prioritizer")
    return found | {f"prioritizer.{name}": value for name, value in inner.items()}


def ledger_codec(config: RunConfig, method: LedgerMethod) -> Codec | None:
    """Return the codec of a ledger's vectors, None where its operations hold none.

    Raises:
        ConfigError: If the run file names another one than the method's, or a constant is unknown
            or out of range.
    """
    codec = config.codec
    if method.codec_name == OPERATION:
        check_only_codec(config, method)
        return None
    if codec.name != method.codec_name:
        raise ConfigError("codec.name", codec.name, f"write {method.codec_name}, the only one")
    return create_codec(codec.name, **codec.constants)


def ledger_bench(
    config: RunConfig,
    identity: Identity,
    learner: Learner,
    method: LedgerMethod,
    *,
    run_id: bytes,
    before_publish: Callable[[Tensor], Tensor],
    privacy: Privacy | None = None,
) -> LedgerBench:
    """Build the bench of a peer.

    Args:
        config: The run file.
        identity: Who writes; decides which directions it draws.
        learner: As it was created.
        method: The run file's.
        run_id: Of the run.
        before_publish: As of `LedgerExchange`.
        privacy: What keeps its rows private.

    Raises:
        ConfigError: If a value cannot be used.
    """
    codec = ledger_codec(config, method)
    ledger = method.ledger(learner.specification, run_id=run_id, codec=codec)
    hidden = learner
    if privacy is not None and privacy.steps is None:
        hidden = HiddenChanges(learner, privacy.guard.hide)
    place = _Place(
        config=config,
        identity=identity,
        learner=hidden,
        ledger=ledger,
        privacy=privacy,
    )
    author = _AUTHORS[type(method)](place, method)
    exchange = LedgerExchange(
        method=method.name,
        codec=method.codec_name,
        ledger=ledger,
        author=identity.peer,
        training=author if privacy is None else PrivateAuthor(author, privacy.guard),
        before_publish=before_publish,
    )
    return LedgerBench(learner, exchange)


def _by_losses(place: _Place, method: Seeds) -> Directions:
    if not isinstance(place.learner, LossMeter):
        fix = "write projected, or give your learner a method training_losses"
        raise ConfigError("method.name", method.name, fix)
    training = Probing(
        place.learner,
        place.ledger.terms,
        ZerothOrder(
            learning_rate=_learning_rate(place.config),
            share=method.share,
            probe_length=method.probe_length,
            step_count=place.config.training.steps_per_round,
        ),
        seed=place.identity.secret_number("directions"),
        draws_by_history=method.sampling == BY_HISTORY,
        privacy=_probing(place),
    )
    return Directions(training, rounds_per_epoch=method.rounds_per_epoch)


def _probing(place: _Place) -> PrivateProbing | None:
    if place.privacy is None:
        return None
    if not isinstance(place.learner, ExampleLossMeter):
        fix = "write projected, or give your learner a method example_losses"
        raise ConfigError("method.name", place.config.method.name, fix)
    assert place.privacy.steps is not None
    return PrivateProbing(
        meter=place.learner,
        steps=place.privacy.steps,
        batch_size=place.config.training.batch_size,
    )


def _by_projection(place: _Place, method: Projected) -> Directions:
    training = Projecting(
        place.learner,
        place.ledger.terms,
        share=method.share,
        step_count=place.config.training.steps_per_round,
        feedback=method.feedback,
    )
    return Directions(training, rounds_per_epoch=method.rounds_per_epoch)


def _by_largest_values(place: _Place, method: SparseSumMethod) -> LargestValues:
    return LargestValues(place.learner, decay=method.decay)


def _by_low_rank_changes(place: _Place, method: AdapterSetMethod) -> LowRankChanges:
    return LowRankChanges(
        place.learner, rank=method.rank, share=method.share, feedback=method.feedback
    )


# Of each kind of method, what makes the author's side of its ledger.
_AUTHORS: Final[Mapping[type[LedgerMethod], Callable[[_Place, Any], LedgerAuthor[Any, Any]]]] = {
    AdapterSetMethod: _by_low_rank_changes,
    Projected: _by_projection,
    Seeds: _by_losses,
    SparseSumMethod: _by_largest_values,
}


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
