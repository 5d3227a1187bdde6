"""Peers that choose how many steps they take, and count alike all the same (Anarchic FL)."""

import random
from dataclasses import replace

import pytest
import torch

from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn.application import ApplicationLearner
from p2pfed.learn.jobs import never
from p2pfed.learn.learner import Plan, TaskLearner, TrainingReport
from p2pfed.learn.step_normalization import scaled_to_steps
from p2pfed.learn.steps import Sgd
from p2pfed.learn.workbench import Workbench
from p2pfed.updates.methods import Full
from tests.learn.peers import digits_task, make_bench, make_learner, training
from tests.learn.quadratics import Quadratics, Setting, jitter, mean

COUNT = 10
TARGETS = [2.0 * number / (COUNT - 1) - 1.0 for number in range(COUNT)]
SECONDS = 600.0


def anarchic(*, normal_steps: int | None, keeps_rows: bool) -> Setting:
    """Return peers that choose 1 to 20 steps for each round; those with larger targets more."""
    generator = random.Random(1)

    def learned(peer: int) -> float:
        steps = generator.randint(1, 2 + 2 * peer)
        after = torch.tensor(1.0 - 0.995**steps, dtype=torch.float64)
        if normal_steps is not None:
            before = torch.zeros((), dtype=torch.float64)
            after = scaled_to_steps(before, after, steps=steps, normal_steps=normal_steps)
        return float(after)

    return Setting(
        targets=TARGETS, train_s=[1.0] * COUNT, learned=learned, keeps_rows=keeps_rows, jitter=0.5
    )


def seen(*, normal_steps: int | None, keeps_rows: bool) -> list[list[float]]:
    return Quadratics(anarchic(normal_steps=normal_steps, keeps_rows=keeps_rows)).run(SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("keeps_rows", [False, True], ids=["AFA-CD", "AFA-CS"])
def test_step_normalization_leaves_a_fifth_of_the_bias(keeps_rows: bool) -> None:
    plain, normalized = (
        abs(mean(seen(normal_steps=steps, keeps_rows=keeps_rows))) for steps in (None, 10)
    )
    assert plain > 0.2
    assert normalized < plain / 5.0


@pytest.mark.slow
def test_rows_that_stay_in_use_move_peers_less_to_and_fro() -> None:
    once, kept = (
        jitter(seen(normal_steps=10, keeps_rows=keeps_rows)) for keeps_rows in (False, True)
    )
    assert kept < once


def test_what_was_learned_is_scaled_and_not_the_vector() -> None:
    before, after = torch.tensor([1.0, 2.0]), torch.tensor([1.5, 2.0])
    scaled = scaled_to_steps(before, after, steps=2, normal_steps=6)
    assert scaled.tolist() == [2.5, 2.0]
    assert torch.equal(scaled_to_steps(before, after, steps=6, normal_steps=6), after)


def test_what_grows_beyond_all_numbers_is_an_error() -> None:
    before, after = torch.zeros(1), torch.tensor([1e38])
    with pytest.raises(LocalError, match="1 steps scaled to 10 diverged"):
        scaled_to_steps(before, after, steps=1, normal_steps=10)


# In a peer -----------------------------------------------------------------------------------


def test_a_peer_scales_what_its_round_learned() -> None:
    plain, scaled = make_bench(), make_bench()  # of three steps a round
    scaled.exchange = replace(scaled.exchange, normal_steps=6)
    learned = []
    for bench in (plain, scaled):
        bench.train(training())
        learned.append(bench.learner.vector() - bench.initial)
    assert torch.allclose(learned[1], 2.0 * learned[0], rtol=1e-4, atol=1e-6)


def application_bench(normal_steps: int | None) -> tuple[ApplicationLearner, Workbench]:
    learner = ApplicationLearner(make_learner().adapted, evaluate=None, example_count=1)
    exchange = replace(make_bench().exchange, normal_steps=normal_steps)
    return learner, Workbench(learner, exchange)


def test_a_program_says_how_many_steps_it_took() -> None:
    learner, bench = application_bench(normal_steps=6)
    report = TrainingReport(loss=None, examples=1, steps=12)
    learner.submit(bench.initial + 1.0, report)
    bench.train(training())
    assert torch.allclose(learner.vector(), bench.initial + 0.5)


def test_the_steps_of_a_program_that_does_not_say_cannot_be_scaled() -> None:
    learner, bench = application_bench(normal_steps=6)
    learner.submit(bench.initial + 1.0, TrainingReport(loss=None, examples=1))
    with pytest.raises(LocalError, match=r"exchange\(steps=...\)"):
        bench.train(training())
    assert torch.equal(learner.vector(), bench.initial)


def step_counts(peer: str) -> list[int | None]:
    plan = Plan(
        step_rule=Sgd(learning_rate=0.1), steps_per_round=4, steps_per_round_min=2, batch_size=4
    )
    learner = TaskLearner(digits_task(), Full(), plan=plan, seed=1, peer=peer)
    return [learner.train(round, should_stop=never).steps for round in range(12)]


def test_peers_draw_how_many_steps_they_take_in_each_round() -> None:
    counts = step_counts("a")
    assert set(counts) == {2, 3, 4}
    assert step_counts("a") == counts
    assert step_counts("b") != counts


@pytest.mark.parametrize("fewest", [0, 5])
def test_bounds_of_steps_are_checked(fewest: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Plan(steps_per_round=4, steps_per_round_min=fewest)
    assert (caught.value.field, caught.value.value) == ("steps.steps_per_round_min", fewest)
