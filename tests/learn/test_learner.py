"""The learner: it learns, repeats itself to the bit, and undoes what it did not finish."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn.device import Placement, resolve_device
from p2pfed.learn.learner import JobCancelled, Plan, TaskLearner
from p2pfed.learn.loss_meter import LossMeter
from p2pfed.learn.steps import STEP_RULES, AdamW, Sgd, StepRule, create_step_rule
from p2pfed.learn.task import Task
from p2pfed.updates.methods import Full, Head
from tests.learn.peers import digits_task, make_examples, make_learner

RULES: list[StepRule] = [Sgd(learning_rate=0.1), Sgd(momentum=0.9), AdamW(learning_rate=0.01)]
rules = pytest.mark.parametrize("rule", RULES, ids=repr)


def never() -> bool:
    return False


def after(calls: int) -> Callable[[], bool]:
    """Return a stop flag that is raised after so many questions."""
    count = iter(range(calls))
    return lambda: next(count, None) is None


def make_task(create_model: Callable[[], nn.Module], **changes: object) -> Task:
    rows = {name: make_examples(size) for name, size in (("train", 40), ("validation", 20))}
    task = Task(name="test", create_model=create_model, test=make_examples(30), **rows)
    return replace(task, **changes)  # type: ignore[arg-type]


def make_own_learner(
    task: Task, *, rule: StepRule | None = None, placement: Placement | None = None
) -> TaskLearner:
    plan = Plan(step_rule=rule or Sgd(), steps_per_round=2, batch_size=8)
    return TaskLearner(task, Full(), plan=plan, seed=0, peer="a", placement=placement)


def same_state(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@pytest.mark.slow
def test_digits_are_learned() -> None:
    learner = make_learner(rule=AdamW(learning_rate=0.01), steps=150)
    score, loss = learner.evaluate("test", should_stop=never)
    assert score < 0.4
    reports = [learner.train(round, should_stop=never) for round in range(2)]
    assert reports[1].loss is not None
    assert reports[0].loss is not None
    assert reports[1].loss < reports[0].loss
    assert reports[0].examples == 150 * 16
    trained_score, trained_loss = learner.evaluate("test", should_stop=never)
    assert trained_score > 0.85
    assert trained_loss < loss


@rules
def test_saving_and_loading_changes_nothing(rule: StepRule) -> None:
    learner = make_learner(rule=rule)
    learner.train(0, should_stop=never)
    state = learner.state()
    learner.train(1, should_stop=never)
    restored = make_learner(rule=rule)
    restored.train(7, should_stop=never)  # leaves traces that loading has to remove
    restored.load_state(state)
    assert same_state(restored.state(), state)
    restored.train(1, should_stop=never)
    assert same_state(restored.state(), learner.state())


def test_state_is_a_copy() -> None:
    learner = make_learner()
    learner.train(0, should_stop=never)
    state = learner.state()
    kept = {name: value.clone() for name, value in state.items()}
    learner.train(1, should_stop=never)
    assert same_state(state, kept)
    learner.load_state(state)
    learner.train(2, should_stop=never)
    assert same_state(state, kept)


def test_batches_follow_from_peer_and_round() -> None:
    def vector_after(peer: str, round: int) -> list[float]:
        learner = make_learner(peer)
        learner.train(round, should_stop=never)
        return learner.vector().tolist()

    assert vector_after("a", 3) == vector_after("a", 3)
    assert vector_after("a", 3) != vector_after("a", 4)
    assert vector_after("a", 3) != vector_after("b", 3)


def test_no_global_generator_is_touched() -> None:
    before = torch.random.get_rng_state()
    make_learner().train(0, should_stop=never)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("calls", [0, 1, 2])
@rules
def test_a_cancelled_training_leaves_no_trace(rule: StepRule, calls: int) -> None:
    learner = make_learner(rule=rule)
    learner.train(0, should_stop=never)
    before = learner.state()
    with pytest.raises(JobCancelled, match="round 1"):
        learner.train(1, should_stop=after(calls))
    assert same_state(learner.state(), before)


def test_a_cancelled_evaluation_ends() -> None:
    with pytest.raises(JobCancelled, match="validation"):
        make_learner().evaluate("validation", should_stop=after(1))


def test_divergence_is_undone_and_named() -> None:
    learner = make_learner(rule=Sgd(learning_rate=1e30))
    before = learner.state()
    with pytest.raises(LocalError, match="diverged"):
        learner.train(0, should_stop=never)
    assert same_state(learner.state(), before)


def test_an_error_of_the_model_is_undone() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)
            self.calls = 0

        def forward(self, inputs: Tensor) -> Tensor:
            self.calls += 1
            if self.calls == 2:
                raise RuntimeError("out of memory")
            logits: Tensor = self.layer(inputs)
            return logits

    learner = make_own_learner(make_task(Fragile))
    before = learner.state()
    with pytest.raises(RuntimeError, match="out of memory"):
        learner.train(0, should_stop=never)
    assert same_state(learner.state(), before)


def test_few_rows_are_repeated() -> None:
    task = replace(digits_task(), train=digits_task().rows("train").subset(torch.arange(5)))
    learner = make_learner(task=task)
    assert learner.example_count == 5
    assert learner.train(0, should_stop=never).examples == 3 * 16


def test_no_rows_are_named() -> None:
    empty = make_examples(4).batch(torch.arange(0))
    learner = make_own_learner(make_task(lambda: nn.Linear(4, 2), train=empty, test=empty))
    with pytest.raises(LocalError, match="no training rows"):
        learner.train(0, should_stop=never)
    with pytest.raises(LocalError, match="no test rows"):
        learner.evaluate("test", should_stop=never)


def test_losses_are_measured_on_the_batches_that_training_takes() -> None:
    learner = make_learner(rule=Sgd(learning_rate=1e-9), steps=4)
    assert isinstance(learner, LossMeter)
    before = learner.vector()
    losses = learner.training_losses(2)
    measured = [losses.measure(before, step) for step in range(4)]
    report = learner.train(2, should_stop=never)
    assert report.loss == pytest.approx(sum(measured) / 4)
    assert report.examples == losses.examples == 4 * 16
    assert losses.measure(torch.zeros_like(before), 0) == pytest.approx(math.log(10))


def test_measuring_losses_leaves_statistics_alone() -> None:
    layers = OrderedDict(norm=nn.BatchNorm1d(4), dropout=nn.Dropout(0.9), head=nn.Linear(4, 2))
    with pytest.warns(UserWarning, match="running statistics"):
        learner = make_own_learner(make_task(lambda: nn.Sequential(layers)))
    state = learner.state()
    losses = learner.training_losses(0)
    assert losses.measure(learner.vector(), 0) == losses.measure(learner.vector(), 0)
    assert same_state(learner.state(), state)


def test_dropout_is_off_while_training() -> None:
    def vector_after(dropout: float) -> Tensor:
        learner = make_own_learner(
            make_task(lambda: nn.Sequential(nn.Dropout(dropout), nn.Linear(4, 2)))
        )
        learner.train(0, should_stop=never)
        return learner.vector()

    assert torch.equal(vector_after(0.0), vector_after(0.9))


@pytest.mark.filterwarnings("ignore:1 normalization layers")
def test_running_statistics_are_measured_kept_and_saved() -> None:
    task = make_task(lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)))
    learner = make_own_learner(task)
    before = learner.state()
    learner.train(0, should_stop=never)
    state = learner.state()
    assert not torch.equal(state["buffer/0.running_mean"], before["buffer/0.running_mean"])
    learner.evaluate("test", should_stop=never)
    assert same_state(learner.state(), state)
    with pytest.raises(JobCancelled):
        learner.train(1, should_stop=after(1))
    assert same_state(learner.state(), state)
    # They are no part of what travels, nor of what peers have to share.
    assert learner.specification.size == 4 + 4 + 4 * 2 + 2
    restored = make_own_learner(task)
    assert restored.adapted.base_digest() == learner.adapted.base_digest()
    restored.load_state(state)
    assert same_state(restored.state(), state)


def test_a_step_needs_no_particular_device() -> None:
    # Nothing is computed on this device: a tensor left on another one is an error at once.
    meta = Placement(device=resolve_device("meta"))
    learner = make_own_learner(
        make_task(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))),
        rule=AdamW(),
        placement=meta,
    )
    batch = make_examples(8).to(meta.device)
    loss = learner.take_step(batch)
    assert loss.device == meta.device
    assert all(parameter.device == meta.device for parameter in learner.adapted.model.parameters())


def test_bfloat16_computes_and_float32_trains() -> None:
    task = make_task(lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))
    device = resolve_device("cpu")
    plan = Plan(step_rule=Sgd(learning_rate=1e-4), steps_per_round=2, batch_size=8)
    learner = TaskLearner(
        task,
        Head(modules=("1",)),
        plan=plan,
        seed=0,
        peer="a",
        placement=Placement(device=device, dtype=torch.bfloat16),
    )
    before = learner.vector()
    learner.train(0, should_stop=never)
    assert learner.adapted.model.get_parameter("0.weight").dtype == torch.bfloat16
    assert learner.adapted.model.get_parameter("1.weight").dtype == torch.float32
    # Changes far below the resolution of bfloat16 are kept.
    change = (learner.vector() - before).abs().max()
    assert 0 < float(change) < 1e-3


def test_a_torch_dataset_will_do() -> None:
    examples = make_examples(40)
    assert isinstance(examples.inputs, Tensor)
    dataset = TensorDataset(examples.inputs, examples.labels)
    task = make_task(lambda: nn.Linear(4, 2), train=dataset, validation=dataset)
    learner = make_own_learner(task)
    in_memory = make_own_learner(make_task(lambda: nn.Linear(4, 2)))
    assert learner.train(0, should_stop=never) == in_memory.train(0, should_stop=never)
    assert torch.equal(learner.vector(), in_memory.vector())
    score, loss = learner.evaluate("validation", should_stop=never)
    assert 0 <= score <= 1
    assert math.isfinite(loss)


def test_foreign_states_are_refused() -> None:
    learner = make_learner()
    learner.train(0, should_stop=never)
    state = learner.state()
    for wrong, words in (
        ({}, "no vector"),
        ({"vector": state["vector"][1:]}, "the run's vectors"),
        ({**state, "momentum": torch.zeros(1)}, "does not know"),
        ({**state, "optimizer/exp_avg/9.weight": torch.zeros(2)}, "does not fit"),
        ({**state, "optimizer/exp_avg/0.weight": torch.zeros(2)}, "does not fit"),
    ):
        with pytest.raises(LocalError, match=words):
            make_learner().load_state(wrong)


@pytest.mark.parametrize("made", STEP_RULES.values())
def test_heads_may_learn_faster(made: type[Sgd] | type[AdamW]) -> None:
    trainable = {name: nn.Parameter(torch.zeros(1)) for name in ("body", "head.bias", "head.w")}
    heads = frozenset({"head.bias", "head.w"})

    def rates(rule: StepRule, head_names: frozenset[str] = heads) -> list[tuple[int, float]]:
        groups = rule.create_optimizer(trainable, head_names).param_groups
        return [(len(group["params"]), group["lr"]) for group in groups]

    assert rates(made(learning_rate=1e-3, head_learning_rate=1e-2)) == [(1, 1e-3), (2, 1e-2)]
    assert rates(made(learning_rate=1e-3)) == [(1, 1e-3), (2, 1e-3)]
    assert rates(made(learning_rate=1e-3), frozenset()) == [(3, 1e-3)]


@pytest.mark.parametrize(
    ("name", "constants", "field"),
    [
        ("adam", {}, "steps"),
        ("sgd", {"learning_rate": 0}, "steps.learning_rate"),
        ("sgd", {"momentum": 1.0}, "steps.momentum"),
        ("adamw", {"beta2": 1}, "steps.beta2"),
        ("adamw", {"lr": 1}, "steps.lr"),
    ],
)
def test_mistakes_in_step_rules_are_named(
    name: str, constants: dict[str, object], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        create_step_rule(name, **constants)
    assert caught.value.field == field


def test_step_rules_are_in_the_table() -> None:
    assert {type(rule) for rule in RULES} == set(STEP_RULES.values())
    assert create_step_rule("sgd", learning_rate=1) == Sgd(learning_rate=1)
    assert AdamW().describe()["beta1"] == 0.9
    with pytest.raises(ConfigError, match="at least 1"):
        Plan(batch_size=0)


def test_frozen_running_statistics_stay_as_they_came() -> None:
    task = make_task(
        lambda: nn.Sequential(
            OrderedDict(norm=nn.BatchNorm1d(4), inner=nn.Linear(4, 4), head=nn.Linear(4, 2))
        )
    )
    learner = TaskLearner(task, Head(modules=("head",)), plan=Plan(), seed=0, peer="a")
    before = [buffer.clone() for buffer in learner.adapted.model.buffers()]
    learner.train(0, should_stop=never)
    for old, new in zip(before, learner.adapted.model.buffers(), strict=True):
        assert torch.equal(old, new)
