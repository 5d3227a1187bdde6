"""Builds whoever learns from a run file: from its task, or around an application's own model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

import robust
from p2pfed.config.assembly import (
    Agreement,
    component,
    make_genesis,
    schedule_config,
    standing_config,
    update_family,
)
from p2pfed.config.codecs import check_only_codec
from p2pfed.config.coherence import check_coherence
from p2pfed.config.complaints import check_rule, rule_error
from p2pfed.config.gossip import check_gossip_steps
from p2pfed.config.ledger import check_for_ledger, ledger_bench, ledger_codec
from p2pfed.config.model import PrioritizerTable, RunConfig
from p2pfed.config.naming import run_file_fields
from p2pfed.config.privacy import Privacy, privacy_of
from p2pfed.core.recipients import check_recipients
from p2pfed.errors import ConfigError
from p2pfed.identity import Identity
from p2pfed.learn import ledger_entries
from p2pfed.learn.application import ApplicationLearner
from p2pfed.learn.decoded import DecodeCache, main_bytes_max
from p2pfed.learn.device import resolve_placement
from p2pfed.learn.jobs import unchanged
from p2pfed.learn.learner import Learner, Plan, TaskLearner
from p2pfed.learn.ledger_bench import LedgerBench
from p2pfed.learn.mixing import WEIGHING_RULES, is_weighing
from p2pfed.learn.outer import create_outer_step
from p2pfed.learn.partition import DisjointRule, create_partition
from p2pfed.learn.privacy.memory import check_no_statistics
from p2pfed.learn.scoring import Scoring
from p2pfed.learn.steps import create_step_rule
from p2pfed.learn.task import Task
from p2pfed.learn.tasks import check_task_name, load_task
from p2pfed.learn.workbench import Exchange, Workbench
from p2pfed.updates.codec import Codec
from p2pfed.updates.method import AdaptedModel, Method
from p2pfed.updates.methods import LedgerMethod, Seeds
from p2pfed.updates.registry import create_codec, create_method
from p2pfed.wire.genesis import Component, Initial, ParameterEntry

_PREPARED: Final = "prepares inputs with figures of private rows, which no noise hides"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A learner that is ready to take part in a run.

    Attributes:
        bench: Does the jobs.
        agreement: The run's genesis, as this machine computes it.
        task: What is learned; None when an application learns by itself.
        adapted: The model and which of its parameters travel; None for a learner of one's own.
    """

    bench: Workbench | LedgerBench
    agreement: Agreement
    task: Task | None
    adapted: AdaptedModel | None


@run_file_fields()
def assemble(
    config: RunConfig,
    identity: Identity,
    *,
    task: Task | None = None,
    before_publish: Callable[[Tensor], Tensor] = unchanged,
    cache: DecodeCache | None = None,
    entropy: bytes | None = None,
) -> Assembly:
    """Build the learner that a run file describes.

    Args:
        config: The run file.
        identity: Who learns; decides its order of batches, and by its secret what its rule draws
            and on which rows it tries out neighbors.
        task: Replaces the run file's task, with this peer's rows already.
        before_publish: Applied to the own update before it is encoded; see `Exchange` and
            `LedgerExchange`.
        cache: Decoded updates, shared by the peers of one process.
        entropy: Of the noise for privacy; by default the operating system's. A simulation may
            repeat it, a real peer must not.

    Raises:
        ConfigError: If a value cannot be used.
    """
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    method = _method(config)
    if task is None:
        task = peer_task(config)
    row_count = len(task.rows("train"))
    privacy = privacy_of(config, identity, row_count=row_count, entropy=entropy)
    if privacy is not None and task.is_prepared_by_rows:
        fix = f"task {task.name} {_PREPARED}; give it public ones, or set privacy.enabled = false"
        raise ConfigError("run.task", config.run.task, fix)
    learner = TaskLearner(
        task,
        method,
        plan=Plan(
            step_rule=create_step_rule(
                config.training.step_rule.name, **config.training.step_rule.constants
            ),
            steps_per_round=config.training.steps_per_round,
            steps_per_round_min=config.training.steps_per_round_min,
            batch_size=config.training.batch_size,
            evaluation_batch_size=config.training.evaluation_batch_size,
        ),
        seed=config.run.seed,
        peer=identity.peer.hex(),
        probe_secret=identity.secret_number("probe"),
        placement=resolve_placement(config.training.device, config.training.dtype),
        privacy=None if privacy is None else privacy.steps,
    )
    if privacy is not None:
        check_no_statistics(learner.adapted.model)
    if not len(task.rows("validation")):
        _refuse_loss_gate(config, "give the task validation rows")
    bench, agreement = _bench_and_agreement(
        config,
        identity,
        learner,
        method,
        adapted=learner.adapted,
        base_digest=learner.adapted.base_digest(),
        before_publish=before_publish,
        cache=cache,
        privacy=privacy,
    )
    return Assembly(bench=bench, agreement=agreement, task=task, adapted=learner.adapted)


@run_file_fields()
def check_parts(config: RunConfig) -> None:
    """Check what can be told of a run file before a task is loaded and a model made.

    What hangs on the model, such as modules of a method, is not looked at.

    Raises:
        ConfigError: If a part has an unknown name, or a constant cannot be used.
    """
    _method(config)
    create_step_rule(config.training.step_rule.name, **config.training.step_rule.constants)
    create_partition(config.share.name, **config.share.constants)
    create_outer_step(config.outer.name, **config.outer.constants)
    check_task_name(config.run.task)
    check_rule(config.integration)
    _check_weighs(config)


@run_file_fields()
def assemble_learner(
    config: RunConfig, identity: Identity, learner: Learner, *, adapted: AdaptedModel | None = None
) -> Assembly:
    """Build a peer around an application's own learner.

    Args:
        config: The run file.
        identity: Who learns.
        learner: As it was created; all peers' must start with equal vectors.
        adapted: Its model, when it was made by the run file's method.

    Raises:
        ConfigError: If a value cannot be used.
    """
    if isinstance(learner, ApplicationLearner) and not learner.can_evaluate:
        _refuse_loss_gate(config, "give join an evaluate function that returns (score, loss)")
    method = _method(config)
    privacy = privacy_of(config, identity, row_count=learner.example_count, entropy=None)
    if privacy is not None and privacy.steps is not None and not isinstance(method, Seeds):
        fix = "the steps of a learner of your own are out of reach; write per-release"
        raise ConfigError("privacy.mechanism", config.privacy.mechanism, fix)
    if privacy is not None and adapted is not None:
        check_no_statistics(adapted.model)
    bench, agreement = _bench_and_agreement(
        config,
        identity,
        learner,
        method,
        adapted=adapted,
        # What a learner of one's own keeps frozen is its own affair; its name stands in the task.
        base_digest=bytes(32) if adapted is None else adapted.base_digest(),
        privacy=privacy,
    )
    return Assembly(bench=bench, agreement=agreement, task=None, adapted=adapted)


@run_file_fields()
def adapt_model(config: RunConfig, model: torch.nn.Module) -> AdaptedModel:
    """Prepare an application's model as the run file's method says.

    Raises:
        ConfigError: If the method does not fit the model.
    """
    return _method(config).adapt(model, seed=config.run.seed)


@run_file_fields()
def peer_task(config: RunConfig, *, pool: Task | None = None) -> Task:
    """Load the run file's task with the rows of this peer's share.

    Args:
        config: The run file.
        pool: The task with all its rows, where it is loaded already.

    Raises:
        ConfigError: If the task, its options or the share cannot be used.
    """
    share = config.share
    # Made even where one peer has everything, so that a wrong name shows at once.
    rule = create_partition(share.name, **share.constants)
    has_all = share.count == 1 and not share.constants and isinstance(rule, DisjointRule)
    return load_task(
        config.run.task if pool is None else pool,
        config.task if pool is None else {},
        partition=None if has_all else rule,
        seed=config.run.seed,
        peer_index=share.index,
        peer_count=share.count,
    )


def _method(config: RunConfig) -> Method:
    """Make the method, and see that all else fits it before anything large is loaded."""
    schedule = schedule_config(config)
    method = create_method(config.method.name, **config.method.constants)
    check_gossip_steps(config, method)
    if isinstance(method, LedgerMethod):
        check_for_ledger(config, method)
    elif method.codec_name:
        check_only_codec(config, method)
    else:
        _tabled_codec(config)
    check_recipients(schedule, update_family(config.method.name, config.codec.name))
    check_coherence(config)
    return method


def _tabled_codec(config: RunConfig) -> Codec:
    return create_codec(config.codec.name, **config.codec.constants)


def _codec(config: RunConfig, method: Method, learner: Learner) -> Codec:
    own = method.codec(learner.specification, learner.vector())
    return _tabled_codec(config) if own is None else own


def _refuse_loss_gate(config: RunConfig, fix: str) -> None:
    """Refuse a loss gate without a loss now, not at the first probe."""
    standing = standing_config(config)
    if standing is not None and standing.loss_gate is not None:
        raise ConfigError("reputation.loss_gate.enabled", True, f"{fix}, or set it to false")


def _bench_and_agreement(
    config: RunConfig,
    identity: Identity,
    learner: Learner,
    method: Method,
    *,
    adapted: AdaptedModel | None,
    base_digest: bytes,
    before_publish: Callable[[Tensor], Tensor] = unchanged,
    cache: DecodeCache | None = None,
    privacy: Privacy | None = None,
) -> tuple[Workbench | LedgerBench, Agreement]:
    size = learner.specification.size
    if isinstance(method, LedgerMethod):
        vectors_codec = ledger_codec(config, method)
        # Of any run: bounds do not depend on it.
        any_ledger = method.ledger(learner.specification, run_id=bytes(32), codec=vectors_codec)
        agreement = _agree(
            config,
            learner,
            method,
            codec=component(
                method.codec_name, {} if vectors_codec is None else vectors_codec.describe()
            ),
            base_digest=base_digest,
            main_bytes_max=ledger_entries.main_bytes_max(any_ledger),
        )
        bench = ledger_bench(
            config,
            identity,
            learner,
            method,
            run_id=agreement.run_id,
            before_publish=before_publish,
            privacy=privacy,
        )
        return bench, agreement
    codec = _codec(config, method, learner)
    agreement = _agree(
        config,
        learner,
        method,
        codec=component(codec.name, codec.describe()),
        base_digest=base_digest,
        main_bytes_max=main_bytes_max(codec, size),
    )
    workbench = _workbench(
        config,
        identity,
        learner,
        method,
        codec,
        adapted=adapted,
        before_publish=before_publish,
        cache=cache,
        privacy=privacy,
    )
    return workbench, agreement


def _workbench(
    config: RunConfig,
    identity: Identity,
    learner: Learner,
    method: Method,
    codec: Codec,
    *,
    adapted: AdaptedModel | None,
    before_publish: Callable[[Tensor], Tensor],
    cache: DecodeCache | None,
    privacy: Privacy | None,
) -> Workbench:
    check_rule(config.integration)  # an integrator takes a seed that a run file must not give
    _check_weighs(config)
    integration = config.integration
    ratio = integration.norm_cap_ratio
    try:
        integrator = robust.Integrator(
            integration.rule,
            beta_max=integration.beta_max,
            norm_cap_ratio=None if isinstance(ratio, str) else ratio,
            gamma=_gamma(integration.gamma, codec),
            prioritizer=_prioritizer(integration.prioritizer, identity),
            evaluate=Scoring(learner=learner, initial=learner.vector()),
            observes=standing_config(config) is not None,
            gram=method.gram(
                learner.specification,
                learner.vector(),
                fixed={} if adapted is None else adapted.fixed,
            ),
            electing=method.electing(learner.specification, learner.vector()),
            params=integration.params,
            seed=identity.secret_number("rules"),
        )
    except robust.RuleError as error:
        raise rule_error(integration, error) from error
    exchange = Exchange(
        method=method.name,
        codec=codec,
        integrator=integrator,
        mixing=integration.weights,
        degree_max=integration.degree_max,
        before_publish=before_publish,
        correct=method.correction(learner.specification),
        outer=create_outer_step(config.outer.name, **config.outer.constants),
        normal_steps=config.training.normal_steps or None,
    )
    guard = None if privacy is None else privacy.guard
    return Workbench(learner, exchange, cache=cache, privacy=guard)


def _prioritizer(table: PrioritizerTable, identity: Identity) -> robust.DistancePrioritizer | None:
    if not table.enabled:
        return None
    return robust.DistancePrioritizer(
        model_count_max=table.model_count_max,
        exploration_ratio=table.exploration_ratio,
        draw=table.draw,
        # Not the rule's number: what one of the two reveals must say nothing about the other.
        seed=identity.secret_number("prioritizer"),
    )


def _agree(
    config: RunConfig,
    learner: Learner,
    method: Method,
    *,
    codec: Component,
    base_digest: bytes,
    main_bytes_max: int,
) -> Agreement:
    specification = learner.specification
    constants = method.describe()
    return make_genesis(
        config,
        base_digest=base_digest,
        parameters=[
            ParameterEntry(name=entry.name, shape=entry.shape, dtype=entry.dtype)
            for entry in specification.entries
        ],
        initial=Initial(
            kind=str(constants.get("initial", "portable")),
            digest=specification.digest(learner.vector()),
        ),
        method=component(method.name, constants),
        codec=codec,
        main_bytes_max=main_bytes_max,
    )


def _gamma(given: float | None, codec: Codec) -> float:
    """Return the step of an integration.

    Raises:
        ConfigError: If differences that are rounded like this would not converge with it.
    """
    limit = codec.gossip_step_max if codec.is_for_differences else 1.0
    if given is not None and given > limit:
        fix = f"write at most {limit:g}; with larger steps, gossip over {codec.name} diverges"
        raise ConfigError("integration.gamma", given, fix)
    return limit if given is None else given


def _check_weighs(config: RunConfig) -> None:
    """Refuse weights for rows of a rule that gives each one vote."""
    weights, rule = config.participation.weights, config.integration.rule
    if weights != "alike" and not is_weighing(rule):
        rules = ", ".join(sorted(WEIGHING_RULES))
        fix = f"write alike, or a rule that weighs rows ({rules}); {rule} gives each one vote"
        raise ConfigError("participation.weights", weights, fix)
