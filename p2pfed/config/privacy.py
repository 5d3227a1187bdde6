"""From the table `[privacy]` to what keeps a peer's rows private, and what does not go with it."""

import os
from dataclasses import dataclass
from typing import final

from p2pfed.config.assembly import standing_config
from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.identity import Identity
from p2pfed.learn.privacy.accountant import Accountant, Budget, Gaussian
from p2pfed.learn.privacy.guard import PrivacyGuard, PrivateReleases
from p2pfed.learn.privacy.secret import SecretNumbers
from p2pfed.learn.privacy.steps import PrivateSteps
from p2pfed.messages import Role
from p2pfed.updates.methods import FedSb
from robust.errors import RuleError
from robust.registry import accepts


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """What keeps a peer's rows private.

    Attributes:
        guard: For its workbench.
        steps: For its learner; None where a release as a whole is hidden.
    """

    guard: PrivacyGuard
    steps: PrivateSteps | None


def privacy_of(
    config: RunConfig, identity: Identity, *, row_count: int, entropy: bytes | None
) -> Privacy | None:
    """Return what the table `[privacy]` asks for, None where it is off.

    Args:
        config: The run file.
        identity: Whose rows.
        row_count: How many there are, 0 if that is not known.
        entropy: Secret and never used before; the operating system's where it is None.

    Raises:
        ConfigError: If a value cannot be used, if something else in the run file would tell of
            private rows, or if the budget is too small for a single round.
    """
    table = config.privacy
    if not table.enabled:
        return None
    refuse_side_channels(config)
    if row_count and table.delta >= 1.0 / row_count:
        fix = f"write a number far below 1 / {row_count}: with it, whole rows may be given away"
        raise ConfigError("privacy.delta", table.delta, fix)
    numbers = SecretNumbers.derive(
        os.urandom(32) if entropy is None else entropy,
        identity.secret_number("privacy").to_bytes(8),
    )
    steps = releases = None
    if table.mechanism == "per-step":
        steps = PrivateSteps(
            gaussian=Gaussian(
                noise_multiplier=table.noise_multiplier,
                sample_rate=_sample_rate(config, row_count),
            ),
            clip_norm=table.clip_norm,
            numbers=numbers,
        )
        gaussian, count = steps.gaussian, config.training.steps_per_round
    else:
        releases = PrivateReleases(
            clip_norm=table.clip_norm, noise_multiplier=table.noise_multiplier, numbers=numbers
        )
        gaussian, count = releases.gaussian, 1
    accountant = Accountant(Budget(epsilon_max=table.epsilon_max, delta=table.delta))
    # A relay keeps count of what it told before it became one.
    if config.node.role is not Role.RELAY and not accountant.affords(gaussian, count):
        cost = accountant.epsilon(gaussian, count)
        fix = f"one round costs {cost:.3g}; write more, or raise privacy.noise_multiplier"
        if releases is not None:
            # What the folder holds is read later: nobody should pay for what cannot be had.
            fix += ". If it was per-step before: a state folder with a model keeps its mechanism"
        raise ConfigError("privacy.epsilon_max", table.epsilon_max, fix)
    guard = PrivacyGuard(accountant, gaussian, releases_per_round=count, releases=releases)
    return Privacy(guard=guard, steps=steps)


def refuse_side_channels(config: RunConfig) -> None:
    """Refuse what lets others see more of private rows than noisy releases.

    Raises:
        ConfigError: Naming the first such field.
    """
    if config.integration.weights == "examples":
        fix = "the number of private rows decides then; write metropolis or uniform"
        raise ConfigError("integration.weights", "examples", fix)
    rule = config.integration.rule
    if _scores_models(rule):
        fix = "scores on private labels decide then; write a rule that does not evaluate"
        raise ConfigError("integration.rule", rule, fix)
    basis = config.method.constants.get("basis")
    if config.method.name == FedSb.name and basis and not config.privacy.basis_is_public:
        fix = (
            "if it was made of gradients of private rows, it tells of them without noise; remove "
            "it, or set privacy.basis_is_public = true if it was made of public rows"
        )
        raise ConfigError("method.basis", basis, fix)
    if config.privacy.validation_is_public:
        return
    fix = "scores on validation rows decide then; drop it, or set privacy.validation_is_public"
    if config.schedule.plateau_evaluations is not None:
        raise ConfigError("schedule.plateau_evaluations", config.schedule.plateau_evaluations, fix)
    standing = standing_config(config)
    if standing is not None and standing.loss_gate is not None:
        raise ConfigError("reputation.loss_gate.enabled", True, fix)


def _scores_models(rule: str) -> bool:
    try:
        return accepts(rule, "evaluate")
    except RuleError:
        return False  # an unknown rule is named by whoever makes it


def _sample_rate(config: RunConfig, row_count: int) -> float:
    if config.privacy.sample_rate is not None:
        return config.privacy.sample_rate
    return min(1.0, config.training.batch_size / row_count) if row_count else 1.0
