"""All peers at once learn what they would learn one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples
from p2pfed.learn.learner import Plan
from p2pfed.learn.partition import Dirichlet
from p2pfed.learn.steps import AdamW, Sgd, StepRule
from p2pfed.learn.task import Task
from sim.rounds import population
from sim.rounds.population import Batched, Population, Sequential

NAMES = ("a", "b", "c")
# Of the length of a drift: batched matrix products add up in another order.
TOLERANCE = 1e-5


def shares(task: Task) -> list[Task]:
    rule = Dirichlet(alpha=0.5)
    return [task.for_peer(rule, seed=0, index=index, count=3) for index in range(3)]


def make(
    kind: Callable[..., Population], tasks: Sequence[Task], step_rule: StepRule | None = None
) -> Population:
    plan = Plan(step_rule=step_rule or Sgd(learning_rate=0.3), steps_per_round=3, batch_size=16)
    return kind(tasks, NAMES, plan=plan, seed=4)


def learn(population: Population, rounds: int) -> Tensor:
    """Train, and let all move half way to the mean after each round."""
    initial = population.vectors()
    for round in range(rounds):
        population.train(round)
        vectors = population.vectors()
        population.load_vectors(0.5 * vectors + 0.5 * vectors.mean(dim=0))
    return population.vectors() - initial


@pytest.mark.parametrize(
    "step_rule",
    [
        Sgd(learning_rate=0.3),
        Sgd(learning_rate=0.1, momentum=0.9, weight_decay=0.01),
        AdamW(learning_rate=0.01, weight_decay=0.01),
    ],
    ids=["sgd", "momentum", "adamw"],
)
def test_batched_and_sequential_agree(blobs: Task, step_rule: StepRule) -> None:
    tasks = [replace(task, create_model=mlp) for task in shares(blobs)]
    expected = learn(make(Sequential, tasks, step_rule), rounds=6)
    drifts = learn(make(Batched, tasks, step_rule), rounds=6)
    errors = torch.linalg.vector_norm(drifts - expected, dim=1)
    assert torch.all(errors < TOLERANCE * torch.linalg.vector_norm(expected, dim=1))
    # Peers have their own rows and batches.
    assert not torch.allclose(drifts[0], drifts[1], atol=0.01)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 5))


@pytest.mark.parametrize("kind", [Sequential, Batched])
def test_all_start_from_one_vector_and_load_what_they_are_given(
    blobs: Task, kind: Callable[..., Population]
) -> None:
    population = make(kind, shares(blobs))
    vectors = population.vectors()
    assert torch.equal(vectors, vectors[0].expand(3, -1))
    assert torch.equal(vectors, make(Sequential, shares(blobs)).vectors())
    wanted = torch.arange(3 * 105, dtype=torch.float32).view(3, 105)
    population.load_vectors(wanted)
    assert torch.equal(population.vectors(), wanted)
    population.vectors().zero_()  # a copy
    assert torch.equal(population.vectors(), wanted)


@pytest.mark.parametrize("step_rule", [Sgd(learning_rate=0.3), AdamW(learning_rate=0.01)])
@pytest.mark.parametrize("kind", [Sequential, Batched])
def test_a_peer_that_diverges_stays_where_it_was(
    blobs: Task, kind: Callable[..., Population], step_rule: StepRule
) -> None:
    tasks = shares(blobs)
    rows = tasks[1].rows("train")
    broken = Examples(torch.full((len(rows), 20), float("inf")), rows.labels)
    tasks[1] = replace(tasks[1], train=broken)
    population = make(kind, tasks, step_rule)
    before = population.vectors()
    population.train(0)
    population.train(1)
    after = population.vectors()
    assert torch.equal(after[1], before[1])
    expected = make(Sequential, shares(blobs), step_rule)
    expected.train(0)
    expected.train(1)
    assert torch.allclose(after[[0, 2]], expected.vectors()[[0, 2]], atol=1e-5)


def test_all_at_once_keep_the_memory_that_they_free(
    blobs: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(population, "keep_freed_memory", lambda: calls.append("kept"))
    make(Sequential, shares(blobs))
    assert not calls
    make(Batched, shares(blobs))
    assert calls == ["kept"]


def test_inputs_may_have_names(blobs: Task) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(20, 5)

        def forward(self, points: Tensor, scale: Tensor) -> Tensor:
            result: Tensor = self.inner(points) * scale
            return result

    def named(task: Task) -> Task:
        rows = task.rows("train")
        examples = rows.batch(torch.arange(len(rows)))
        assert isinstance(examples.inputs, Tensor)
        inputs = {"scale": torch.full((len(rows), 1), 2.0), "points": examples.inputs}
        return replace(task, create_model=Named, train=Examples(inputs, examples.labels))

    tasks = [named(task) for task in shares(blobs)]
    expected = learn(make(Sequential, tasks), rounds=2)
    assert torch.allclose(learn(make(Batched, tasks), rounds=2), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [Sequential, Batched])
@pytest.mark.filterwarnings("ignore:1 normalization layers:UserWarning")
def test_running_statistics_are_refused(blobs: Task, kind: Callable[..., Population]) -> None:
    def create() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 5), nn.BatchNorm1d(5))

    tasks = [replace(task, create_model=create) for task in shares(blobs)]
    with pytest.raises(ConfigError, match="running statistics are not part of the vector"):
        make(kind, tasks)


def test_a_peer_without_rows_is_refused(blobs: Task) -> None:
    tasks = shares(blobs)
    tasks[2] = replace(tasks[2], train=Examples(torch.empty(0, 20), torch.empty(0).long()))
    with pytest.raises(ConfigError, match="peer 2 has no rows"):
        make(Batched, tasks)


def test_peers_share_what_is_frozen(blobs: Task) -> None:
    models: list[nn.Module] = []

    def create() -> nn.Module:
        models.append(mlp())
        nn.init.ones_(models[-1][0].weight)  # as pretrained ones: equal at all peers
        models[-1][0].requires_grad_(False)
        return models[-1]

    make(Sequential, shares(replace(blobs, create_model=create)))
    frozen = {model[0].weight.data_ptr() for model in models}
    trained = {model[3].weight.data_ptr() for model in models}
    assert len(models) > 2
    assert (len(frozen), len(trained)) == (1, len(models))
