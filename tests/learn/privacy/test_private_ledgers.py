"""A private peer of a ledger: what its operations tell, what it counts, and what it saves."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load, save
from torch import Tensor, nn

from p2pfed.errors import LocalError
from p2pfed.learn.examples import Examples
from p2pfed.learn.learner import JobCancelled
from p2pfed.learn.ledger_bench import LedgerBench
from p2pfed.learn.loss_meter import ExampleLosses
from p2pfed.learn.privacy.accountant import BudgetSpent, Gaussian
from p2pfed.learn.privacy.losses import SingleLosses
from p2pfed.learn.privacy.probes import PrivateProbes, PrivateProbing
from p2pfed.learn.privacy.secret import SecretNumbers
from p2pfed.learn.privacy.steps import PrivateSteps
from p2pfed.updates.registry import METHODS
from tests.learn.ledger_peers import LedgerPeer, make_ledger_assembly, operation_in
from tests.learn.peers import make_learner, training

CASES = pytest.mark.parametrize(
    ("name", "mechanism", "per_round"),
    [
        ("seeds", "per-step", 5),
        ("projected", "per-step", 5),
        ("projected", "per-release", 1),
        ("sparse-sum", "per-step", 5),
        ("sparse-sum", "per-release", 1),
        ("adapter-set", "per-step", 5),
        ("adapter-set", "per-release", 1),
    ],
)
NOISE = {"per-step": 2.0, "per-release": 20.0}


def make_peer(name: str = "seeds", mechanism: str = "per-step", **privacy: Any) -> LedgerPeer:
    table = {
        "enabled": True,
        "mechanism": mechanism,
        "noise_multiplier": NOISE[mechanism],
        "sample_rate": 0.05,
        **privacy,
    }
    return LedgerPeer({}, name, tables={"privacy": table}, entropy=bytes(32))


def releases(bench: LedgerBench) -> int:
    assert bench.privacy_spent is not None
    return bench.privacy_spent.releases


# What leaves ---------------------------------------------------------------------------------


def test_the_operations_of_probes_carry_the_promised_noise() -> None:
    steps, clip, rate, share = 200, 1e-3, 0.5, 0.5
    made = make_ledger_assembly(
        "seeds",
        0,
        share=share,
        fraction_bits=30,
        tables={
            "training": {
                "steps_per_round": steps,
                "batch_size": 8,
                "device": "cpu",
                "step_rule": {"name": "sgd", "learning_rate": rate},
            },
            "privacy": {
                "enabled": True,
                "clip_norm": clip,
                "noise_multiplier": 3.0,
                "sample_rate": 1e-5,  # nobody takes part
            },
        },
        entropy=bytes(32),
    )
    peer = LedgerPeer({}, "seeds")
    peer.bench = made.bench
    operation = operation_in(peer.train().payload, made.bench.exchange.ledger.terms)
    unit = share * rate * 2.0**30
    deviation = np.sqrt(np.square(operation.coefficients / unit).sum() / steps)
    assert deviation == pytest.approx(3.0 * clip / 8, rel=0.1)


@CASES
def test_operations_follow_from_entropy_and_not_from_the_runs_seed(
    name: str, mechanism: str, per_round: int
) -> None:
    del per_round
    first, same = (make_peer(name, mechanism).train().payload for _ in range(2))
    assert first == same
    other = make_peer(name, mechanism)
    other.bench = make_ledger_assembly(
        name,
        0,
        tables={
            "privacy": {
                "enabled": True,
                "mechanism": mechanism,
                "noise_multiplier": NOISE[mechanism],
                "sample_rate": 0.05,
            }
        },
        entropy=b"1" * 32,
    ).bench
    assert other.train().payload != first


def test_every_kind_of_ledger_can_be_private() -> None:
    ledgers = {name for name, method in METHODS.items() if method.is_ledger}
    assert {name for name, _, _ in CASES.args[1]} == ledgers


def test_a_release_is_clipped_and_has_the_promised_noise() -> None:
    tables = {
        "training": {
            "steps_per_round": 2,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": 5.0},  # steps far beyond the clip
        },
        "privacy": {
            "enabled": True,
            "mechanism": "per-release",
            "clip_norm": 1e-3,
            "noise_multiplier": 20.0,
        },
    }
    made = make_ledger_assembly(
        "projected", 0, tables=tables, entropy=bytes(32), share=1.0, direction_count=2048
    )
    peer = LedgerPeer({}, "projected")
    peer.bench = made.bench
    operation = operation_in(peer.train().payload, made.bench.exchange.ledger.terms)
    found = np.linalg.norm(operation.coefficients / 2.0**24)
    # A direction has 2410 signs, and its coefficient is their product with the change over 4096,
    # the next multiple of 2048.
    assert found == pytest.approx(20.0 * 1e-3 * np.sqrt(2048 * 2410) / 4096, rel=0.05)


def fake_losses(rows: Tensor) -> ExampleLosses:
    """Return losses that say which rows were asked for: row i has rows[i] times the vector."""
    return ExampleLosses(
        measure=lambda vector, indices: rows[indices] * float(vector[0]),
        row_count=len(rows),
        device=torch.device("cpu"),
    )


def probes_of(rows: Tensor, *, sample_rate: float = 1.0) -> PrivateProbes:
    steps = PrivateSteps(
        gaussian=Gaussian(noise_multiplier=1.0, sample_rate=sample_rate),
        clip_norm=0.5,
        numbers=SecretNumbers(bytes(32)),
    )
    meter = make_learner()
    probing = PrivateProbing(meter=meter, steps=steps, batch_size=4)
    return PrivateProbes(probing, fake_losses(rows), probe_length=0.25)


def test_a_row_changes_a_slope_by_the_clip_over_the_batch_at_most() -> None:
    rows = torch.tensor([0.1, -0.2, 0.3, 0.2])
    found = []
    for last in (0.2, 1e6, float("nan")):
        rows[-1] = last
        probes = probes_of(rows)
        ends = [probes.measure(torch.tensor([side]), 0) for side in (0.25, -0.25)]
        found.append(probes.slope(ends[0], ends[1]))
    # The noise is the same and cancels out; 1e6 counts as 0.5, and what is no number as 0.
    assert found[1] - found[0] == pytest.approx((0.5 - 0.2) / 4)
    assert found[2] - found[0] == pytest.approx(-0.2 / 4)


def test_both_probes_of_a_step_see_the_rows_that_were_drawn_for_it() -> None:
    probes = probes_of(torch.arange(100.0), sample_rate=0.2)
    steps = [[probes.measure(torch.ones(1), step) for _ in range(2)] for step in range(2)]
    assert 0 < len(steps[0][0]) < 50
    for ends in steps:
        assert torch.equal(ends[0], ends[1])
    assert not torch.equal(steps[0][0], steps[1][0])


# Losses of single rows -----------------------------------------------------------------------


def singles_of(model: nn.Module) -> SingleLosses:
    return SingleLosses(model, nn.functional.cross_entropy, computing=torch.no_grad)


class Picky(nn.Module):
    """Looks at numbers, so that it cannot be mapped."""

    def forward(self, inputs: Tensor) -> Tensor:
        assert len(inputs) == 1
        return inputs if float(inputs.sum()) > 0 else -inputs


class Named(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right


@pytest.mark.parametrize("model", [nn.Linear(3, 3), Picky()], ids=["mapped", "one by one"])
def test_each_row_is_measured_as_if_it_was_alone(model: nn.Module) -> None:
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    batch = Examples(inputs=inputs, labels=torch.tensor([0, 1, 2, 0, 1]))
    found = singles_of(model).measure(batch)
    for index in range(5):
        row = batch.batch(torch.tensor([index]))
        assert isinstance(row.inputs, Tensor)
        wanted = nn.functional.cross_entropy(model(row.inputs), row.labels)
        torch.testing.assert_close(found[index], wanted)


def test_rows_of_named_tensors_are_measured_too() -> None:
    parts: Mapping[str, Tensor] = {"left": torch.eye(3), "right": 2.0 * torch.eye(3)}
    labels = torch.arange(3)
    found = singles_of(Named()).measure(Examples(inputs=parts, labels=labels))
    wanted = nn.functional.cross_entropy(3.0 * torch.eye(3), labels)
    torch.testing.assert_close(found, wanted.expand(3))


def test_no_rows_have_no_losses() -> None:
    empty = Examples(inputs=torch.empty(0, 3), labels=torch.empty(0, dtype=torch.int64))
    assert singles_of(Picky()).measure(empty).shape == (0,)


def test_a_model_that_remembers_rows_is_refused() -> None:
    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(3))

        def forward(self, inputs: Tensor) -> Tensor:
            self.seen.add_(inputs.mean(dim=0))  # type: ignore[operator]
            return inputs

    batch = Examples(inputs=torch.ones(2, 3), labels=torch.tensor([0, 1]))
    with pytest.raises(LocalError, match="changes its buffers"):
        singles_of(Remembers()).measure(batch)


# What is counted -----------------------------------------------------------------------------


@CASES
def test_every_release_counts(name: str, mechanism: str, per_round: int) -> None:
    peer = make_peer(name, mechanism)
    peer.publish()
    peer.publish()
    assert releases(peer.bench) == 2 * per_round
    assert peer.bench.privacy_spent is not None
    assert peer.bench.privacy_spent.mechanism == mechanism
    assert 0.0 < peer.bench.privacy_spent.epsilon_left < 8.0


@CASES
def test_a_snapshot_tells_nothing_more(name: str, mechanism: str, per_round: int) -> None:
    peer = make_peer(name, mechanism)
    peer.publish()
    peer.publish(needs_full=True)
    assert releases(peer.bench) == per_round


def test_a_relay_pays_nothing() -> None:
    peer = make_peer()
    peer.publish(train=False)
    assert releases(peer.bench) == 0


def test_a_canceled_round_counts() -> None:
    peer = make_peer()
    effect = replace(training(), own=peer.place())
    with pytest.raises(JobCancelled):
        peer.bench.train(effect, lambda: True)
    assert releases(peer.bench) == 5


def test_a_round_beyond_the_budget_does_not_begin() -> None:
    peer = make_peer(epsilon_max=0.45)
    peer.publish()
    peer.integrate()
    before = peer.bench.save()
    with pytest.raises(BudgetSpent, match="the privacy budget is spent"):
        peer.train()
    assert peer.bench.save() == before


# What is saved -------------------------------------------------------------------------------


@CASES
def test_a_saved_round_is_counted_once(name: str, mechanism: str, per_round: int) -> None:
    peer = make_peer(name, mechanism)
    peer.publish()
    peer.restart(peer.bench.save())  # as it is saved before anybody is told of the update
    assert releases(peer.bench) == per_round


@CASES
def test_a_restart_counts_the_round_in_progress(name: str, mechanism: str, per_round: int) -> None:
    peer = make_peer(name, mechanism)
    peer.publish()
    peer.integrate()
    saved = peer.bench.save()
    peer.train()  # the process ends before this is saved
    peer.restart(saved)
    assert releases(peer.bench) == 2 * per_round


def test_privacy_cannot_begin_or_end_between_two_lives() -> None:
    private, public = make_peer(), LedgerPeer({}, "seeds")
    private.publish()
    public.publish()
    with pytest.raises(LocalError, match="was trained with privacy"):
        public.restart(private.bench.save())
    with pytest.raises(LocalError, match="was trained without privacy"):
        private.restart(public.bench.save())
    state = load(private.bench.save())
    name = "ledger/training/privacy/history"
    state[name] = state[name].float()
    with pytest.raises(LocalError, match="does not say"):
        make_peer().bench.load(save(state))


# What it is good for -------------------------------------------------------------------------


@pytest.mark.slow
def test_digits_are_learned_by_private_losses_with_a_modest_epsilon() -> None:
    tables = {
        "training": {
            "steps_per_round": 50,
            "batch_size": 64,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": 0.02},
        },
        "privacy": {
            "enabled": True,
            "clip_norm": 3.0,
            "noise_multiplier": 2.0,
            "epsilon_max": 3.0,
        },
    }
    constants = {"direction_count": 1024, "share": 1.0, "epoch_count": 8, "rounds_per_epoch": 2}
    peer = LedgerPeer({}, "seeds", count=1, tables=tables, entropy=bytes(32), **constants)
    with suppress(BudgetSpent):
        while True:
            peer.publish()
            peer.integrate()
    assert peer.bench.privacy_spent is not None
    assert 2.5 < peer.bench.privacy_spent.epsilon <= 3.0
    score, _ = peer.bench.learner.evaluate("test", should_stop=lambda: False)
    assert score > 0.4  # 0.68
