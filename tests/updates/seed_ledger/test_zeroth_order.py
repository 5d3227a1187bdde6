"""Local steps by losses alone: worked by hand, bounded, and good enough to learn digits."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from p2pfed.errors import ConfigError
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.operation import Operation, encode
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.zeroth_order import (
    DirectionHistory,
    LocalPhase,
    ZerothOrder,
    run_local_phase,
)
from tests.updates.seed_ledger.digits_lab import PEER_COUNT, SIZE, DigitsLab, make_start
from tests.updates.seed_ledger.ledgers import writer

TERMS = Terms(run_id=bytes(32), size=150, direction_count=64, coefficient_max=10**6)
START = torch.randn(150, generator=torch.Generator().manual_seed(0))


def only(index: int) -> Tensor:
    """Draw one direction every time."""
    return torch.nn.functional.one_hot(torch.tensor(index), 64).double()


def run(loss, *, steps: int = 1, probabilities: Tensor | None = None, **numbers) -> LocalPhase:
    settings = ZerothOrder(**{"learning_rate": 0.01, "share": 0.25, "step_count": steps, **numbers})
    return run_local_phase(
        loss,
        START,
        TERMS,
        settings,
        epoch=3,
        generator=torch.Generator().manual_seed(1),
        probabilities=probabilities,
    )


def test_a_step_by_hand() -> None:
    # The loss has slope 0.05 * 150 along direction 5.
    direction = TERMS.basis(3).direction(5)
    phase = run(lambda vector, _: 0.05 * float(vector @ direction), probabilities=only(5))
    assert phase.coefficients[5] == pytest.approx(-0.25 * 0.01 * 7.5 * 2**24, rel=1e-3)
    assert np.count_nonzero(phase.coefficients) == 1


def test_the_coefficients_lead_where_the_steps_led_times_the_share() -> None:
    seen = []

    def loss(vector: Tensor, step: int) -> float:
        seen.append(vector.clone())
        return float((vector - step).square().sum())

    before = START.clone()
    phase = run(loss, steps=20, learning_rate=1e-4)
    assert torch.equal(START, before)
    moved = TERMS.basis(3).decode(torch.from_numpy(phase.coefficients))[:150].double() * 2.0**-24
    # The last pair of probes lies around the weights before the last step.
    before_last = (seen[-1].double() + seen[-2].double()) / 2.0
    last = (moved - 0.25 * (before_last - START.double())).abs()
    assert float(last.mean()) > 1e-4
    assert float((last - last.mean()).abs().max()) < 1e-6  # along one direction: all alike


def test_both_probes_of_a_step_share_its_number() -> None:
    steps = []

    def loss(_: Tensor, step: int) -> float:
        steps.append(step)
        return 0.0

    phase = run(loss, steps=3)
    assert steps == [0, 0, 1, 1, 2, 2]
    assert not phase.coefficients.any()


def test_equal_generators_give_equal_phases() -> None:
    first, second = (run(lambda vector, _: float(vector.sum()), steps=9) for _ in range(2))
    assert first.coefficients.tolist() == second.coefficients.tolist()


def test_wild_slopes_are_clipped_to_what_terms_allow() -> None:
    direction = TERMS.basis(3).direction(5)
    for sign in (1e30, -1e30):
        phase = run(
            lambda vector, _, sign=sign: sign * float(vector @ direction),
            steps=4,
            learning_rate=1e-6,
            probabilities=only(5),
        )
        assert phase.coefficients[5] == -math.copysign(TERMS.coefficient_max, sign)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_steps_without_a_finite_loss_do_nothing(value: float) -> None:
    phase = run(lambda vector, step: value if step % 2 else float(vector.sum()), steps=6)
    assert phase.skipped == 3
    assert math.isfinite(phase.mean_loss)
    nothing = run(lambda _vector, _step: value, steps=6)
    assert (nothing.skipped, nothing.coefficients.any()) == (6, False)
    assert math.isnan(nothing.mean_loss)


@pytest.mark.parametrize(
    "constants", [{"learning_rate": 0.0}, {"share": -1.0}, {"probe_length": 0.0}, {"step_count": 0}]
)
def test_settings_out_of_range_are_refused(constants: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(constants))):
        ZerothOrder(**{"learning_rate": 0.1, "share": 0.5, **constants})


def operation(values: dict[int, int]) -> Operation:
    coefficients = np.zeros(64, dtype=np.int64)
    coefficients[list(values)] = list(values.values())
    return Operation(epoch=0, step_count=1, coefficients=coefficients, digest=bytes(32))


def test_directions_that_move_more_are_drawn_more_often() -> None:
    history = DirectionHistory(TERMS, unit=10.0)
    assert history.probabilities().tolist() == pytest.approx([1 / 64] * 64)
    for values in ({1: -8_000, 2: 4_000}, {1: 6_000}, {3: 20_000}):  # means 7,000, 4,000, 10,000
        history.observe(operation(values))
    found = history.probabilities()
    assert float(found.sum()) == pytest.approx(1.0)
    assert float(found[3] / found[0]) == pytest.approx(math.e)  # counts as 10,000 at most
    assert float(found[1] / found[0]) == pytest.approx(math.exp(0.7))
    assert float(found[2] / found[0]) == pytest.approx(math.exp(0.4))


def learn_digits(rounds: int, *, samples_by_history: bool = False) -> tuple[float, int]:
    """Let four peers in a ring learn; return the last accuracy and the largest operation's bytes.

    Every round, each peer takes 50 steps, and then takes in what its neighbors had before.
    """
    lab, start = DigitsLab(), make_start()
    terms = Terms(run_id=bytes(32), size=SIZE, direction_count=1_024, budget=2**24)
    settings = ZerothOrder(learning_rate=6e-3, share=1.0 / PEER_COUNT)
    ledgers = [SeedLedger(terms) for _ in range(PEER_COUNT)]
    histories = [DirectionHistory(terms, 6e-3 / PEER_COUNT * 2**24) for _ in range(PEER_COUNT)]
    bytes_max = 0
    for round_number in range(rounds):
        for peer, (ledger, shard) in enumerate(zip(ledgers, lab.shards, strict=True)):
            generator = torch.Generator().manual_seed(round_number * PEER_COUNT + peer)
            batches = shard.draw(settings.step_count, generator)
            phase = run_local_phase(
                lambda vector, step, shard=shard, batches=batches: float(
                    shard.loss(vector, batches[step])
                ),
                ledger.materialize(start),
                terms,
                settings,
                epoch=0,
                generator=generator,
                probabilities=histories[peer].probabilities() if samples_by_history else None,
            )
            made = ledger.next_operation(writer(peer), 0, 50, phase.coefficients)
            ledger.apply(writer(peer), round_number + 1, made)
            histories[peer].observe(made)
            bytes_max = max(bytes_max, len(encode(made)))
        before = [ledger.without(()) for ledger in ledgers]
        for peer, ledger in enumerate(ledgers):
            hear(ledger, before[peer - 1])
            hear(ledger, before[(peer + 1) % PEER_COUNT])
    for ledger in ledgers[1:]:
        hear(ledgers[0], ledger)
    return lab.accuracy(ledgers[0].materialize(start)), bytes_max


def hear(ledger: SeedLedger, other: SeedLedger) -> None:
    """Adopt what another ledger has more of."""
    for who, log in other.logs.items():
        if log.sequence > ledger.sequence(who):
            ledger.adopt(who, log.sequence, log.snapshot(), log.digest())


@pytest.mark.slow
def test_peers_learn_digits_from_small_operations() -> None:
    before = DigitsLab().accuracy(make_start())
    accuracy, bytes_max = learn_digits(10)
    assert before < 0.1
    assert accuracy > 0.4
    assert bytes_max < 240


@pytest.mark.slow
def test_peers_learn_digits_with_sampling_by_history() -> None:
    accuracy, _ = learn_digits(10, samples_by_history=True)
    assert accuracy > 0.4


@pytest.mark.nightly
def test_peers_learn_digits_as_well_as_published() -> None:
    accuracy, _ = learn_digits(60)
    assert accuracy > 0.84
