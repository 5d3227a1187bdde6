"""Who survives whom: ten peers, two of them lie, a softmax regression on skewed data."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

import robust
from robust.reputation.loss_gate import LossGatePolicy
from sim.rounds import RoundsConfig, RoundsResult, run
from sim.rounds.pipeline import Post

MakeConfig = Callable[..., RoundsConfig]

# f = 2 of 10.
TOLERANT = {"beta_max": 0.2}
ROUNDS = 11
ATTACKS = {
    "sign-flip": ("sign-flip", {}),
    "sign-flip-x10": ("sign-flip", {"scale": 10.0}),
    "alie": ("alie", {}),
    "inner-product": ("inner-product", {"epsilon": 0.5}),
    "nan": ("non-finite", {}),
}
RULES = (
    "trimmed-mean",
    "nnm+trimmed-mean",
    "self-centered-clipping",
    "multi-krum",
    "reputation",
    "bristle",
)
KEPT_RATIO = 0.9


class PlainMean:
    """What one writes first: no checks, no cap, no weights."""

    def __init__(self, post: Post) -> None:
        del post

    def integrate(
        self, own: Tensor, rows: Sequence[robust.Row], **others: object
    ) -> robust.Integration:
        del others
        count = len(rows) + 1
        return robust.Integration(
            vector=torch.stack([own, *(row.vector for row in rows)]).mean(dim=0),
            verdicts=tuple(
                robust.Verdict(row.peer, 1.0 / count, robust.Reason.ACCEPTED) for row in rows
            ),
            own_weight=1.0 / count,
            byzantine_count=0,
            kept_own=False,
            note="",
        )


@pytest.fixture(scope="module")
def clean(make_config: MakeConfig) -> Callable[[str], RoundsResult]:
    return cache(lambda rule: run(make_config(rule=rule, liars=2, integrator=TOLERANT)))


@pytest.mark.no_cover
@pytest.mark.parametrize("attack", list(ATTACKS))
@pytest.mark.parametrize("rule", RULES)
def test_robust_rules_keep_their_accuracy(
    make_config: MakeConfig, clean: Callable[[str], RoundsResult], rule: str, attack: str
) -> None:
    name, params = ATTACKS[attack]
    config = make_config(rule=rule, liars=2, attack=name, attack_params=params, integrator=TOLERANT)
    assert run(config).mean_accuracy >= KEPT_RATIO * clean(rule).mean_accuracy


@pytest.mark.parametrize("attack", ["sign-flip-x10", "nan"])
def test_a_mean_without_checks_fails(
    make_config: MakeConfig, clean: Callable[[str], RoundsResult], attack: str
) -> None:
    name, params = ATTACKS[attack]
    config = make_config(rule="mean", liars=2, attack=name, attack_params=params)
    assert run(config, pipeline=PlainMean).mean_accuracy < 0.3
    # Not for lack of checks alone: what no check can see turns the mean around as well.
    hidden = make_config(rule="mean", liars=2, attack="sign-flip", integrator=TOLERANT)
    assert run(hidden).mean_accuracy < 0.8 * clean("mean").mean_accuracy
    # The checks alone stop what they can see, whatever the rule.
    assert run(config).mean_accuracy >= KEPT_RATIO * clean("mean").mean_accuracy


def test_rejected_lies_weigh_nothing_and_are_counted(make_config: MakeConfig) -> None:
    result = run(make_config(liars=2, attack="non-finite", integrator=TOLERANT))
    rows = ROUNDS * 8 * 2  # rounds, honest peers, liars that each of them hears
    assert result.liar_reasons == {"not-finite": rows}
    assert result.honest_reasons == {"accepted": ROUNDS * 8 * 7}
    assert (result.liar_weight, result.liar_rejected_ratio) == (0.0, 1.0)
    assert result.false_rejected_ratio == 0.0
    assert result.kept_own_ratio == 0.0
    assert result.overrun_peers == ()


def test_rows_that_a_rule_does_not_choose_are_not_turned_away(make_config: MakeConfig) -> None:
    result = run(make_config(rule="krum", integrator=TOLERANT, rounds=1))
    assert result.honest_reasons["not-chosen"] > result.honest_reasons["accepted"]
    assert result.false_rejected_ratio == 0.0


def test_more_liars_than_a_rule_allows_for_are_told(make_config: MakeConfig) -> None:
    config = make_config(liars=3, attack="sign-flip", integrator=TOLERANT)
    result = run(config)
    assert result.overrun_peers == tuple(p for p in range(10) if p not in config.place_liars())
    assert result.worst_covered_accuracy is None


def test_a_ledger_bans_liars_and_nobody_else(make_config: MakeConfig) -> None:
    config = make_config(
        liars=2,
        attack="sign-flip",
        rounds=21,
        rule="reputation",
        integrator=TOLERANT,
        reputation=robust.ReputationPolicy(),
    )
    result = run(config)
    assert (result.false_ban_ratio, result.liar_ban_ratio) == (0.0, 1.0)
    assert result.liar_reasons["no-mass"] > 8 * 2  # more than the first round, of strangers
    # The first round, and a few that did not agree in it with the only one who had a say, own.
    assert 8 * 7 <= result.honest_reasons["no-mass"] < 8 * 9
    unbound = run(replace(config, reputation=None))
    assert (unbound.false_ban_ratio, unbound.liar_ban_ratio) == (None, None)
    assert "no-mass" not in unbound.honest_reasons


def test_a_loss_gate_turns_liars_away_and_nobody_else(make_config: MakeConfig) -> None:
    # Behind the plain mean, which by itself believes everybody.
    config = make_config(
        liars=2,
        attack="sign-flip",
        rounds=21,
        rule="mean",
        integrator=TOLERANT,
        loss_gate=LossGatePolicy(probe_count=9),
    )
    result = run(config)
    assert result.liar_reasons["no-mass"] >= 0.8 * 8 * 2 * 11  # from about the tenth probe on
    assert "no-mass" not in result.honest_reasons
    assert result.mean_accuracy > run(replace(config, loss_gate=None)).mean_accuracy + 0.1


@pytest.mark.parametrize("attack", ["non-finite", "scaling"])
def test_a_loss_gate_judges_no_rows_that_are_no_models(
    make_config: MakeConfig, attack: str
) -> None:
    # A node says of them what the sanitizer or the norm cap says, and does not evaluate them.
    config = make_config(
        liars=2,
        attack=attack,
        rounds=12,
        rule="mean",
        integrator=TOLERANT,
        loss_gate=LossGatePolicy(probe_count=9),
    )
    reason = {"non-finite": "not-finite", "scaling": "norm-cap"}[attack]
    assert run(config).liar_reasons == {reason: 12 * 8 * 2}


def test_a_ledger_gives_no_mass_to_whom_the_gate_turns_away(make_config: MakeConfig) -> None:
    # Who trains on wrong labels agrees with the others well enough for the ledger alone.
    config = make_config(
        liars=2,
        data_attack="mirror-labels",
        data_params={"class_count": 5},
        rounds=16,
        rule="mean",
        integrator=TOLERANT,
        reputation=robust.ReputationPolicy(ban_ratio=1e-6),  # nobody is banned
    )
    gated = run(replace(config, loss_gate=LossGatePolicy(probe_count=9)))
    assert gated.liar_reasons["no-mass"] > run(config).liar_reasons["no-mass"]
    assert gated.liar_ban_ratio == 0.0
