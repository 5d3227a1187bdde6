"""What a peer can judge models on: F1 by hand, and what a learner makes of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from p2pfed.errors import LocalError
from p2pfed.learn.examples import Examples, Rows
from p2pfed.learn.familiar import FamiliarClasses
from p2pfed.learn.learner import JobCancelled, Plan, ShardScorer, TaskLearner
from p2pfed.learn.task import Task, accuracy
from p2pfed.updates.methods import Full

# Ten training rows of class 0, twelve of class 1, nine of class 2: this one is not familiar.
OWN_LABELS = [0] * 10 + [1] * 12 + [2] * 9

# What a model that takes the largest of three features for the class makes of each row, and truth.
# Ten times, because fewer than ten rows of a class judge nobody.
FEATURES = [0, 0, 1, 1, 2, 2, 0] * 10
LABELS = [0, 1, 1, 1, 1, 0, 2] * 10


def never() -> bool:
    return False


def identity_model() -> nn.Module:
    model = nn.Linear(3, 3, bias=False)
    model.weight.data = torch.eye(3)
    return model


def rows_of(features: Sequence[int], labels: Sequence[int]) -> Examples:
    return Examples(torch.eye(3)[list(features)], torch.tensor(labels, dtype=torch.long))


def make_task(own_labels: Sequence[int] = OWN_LABELS, **changes: object) -> Task:
    task = Task(
        name="three features",
        create_model=identity_model,
        train=rows_of(own_labels, own_labels),
        validation=rows_of(FEATURES, LABELS),
        test=rows_of([0], [0]),
    )
    return replace(task, **changes)  # type: ignore[arg-type]


def make_learner(task: Task, *, evaluation_batch_size: int = 64) -> TaskLearner:
    plan = Plan(evaluation_batch_size=evaluation_batch_size)
    return TaskLearner(task, Full(initial="given"), plan=plan, seed=0, peer="a")


@pytest.mark.parametrize(
    ("own_labels", "numbers"),
    [
        (OWN_LABELS, (0, 1)),
        ([2, 2, 1], (2,)),  # nothing has ten rows: the most common one
        ([1, 0], (0, 1)),
        ([2] * 30 + [0] * 10, (0, 2)),
    ],
)
def test_ten_rows_make_a_class_familiar(own_labels: list[int], numbers: tuple[int, ...]) -> None:
    found = FamiliarClasses.of(make_task(own_labels))
    assert found is not None
    assert found.numbers == numbers
    assert found.labels.tolist() == [label for label in LABELS if label in numbers]


def test_scores_by_hand() -> None:
    # Class 0: a hit, class 1 taken for it, itself taken for the foreign 2: 2 / (2 + 1 + 1).
    # Class 1: two hits, one taken for 0, one for 2: 4 / (4 + 0 + 2). The row of class 2 is out.
    assert make_learner(make_task()).shard_scores(should_stop=never) == pytest.approx(
        [1 / 2, 2 / 3]
    )


@pytest.mark.parametrize("count", [0, 1, 9])
def test_class_of_fewer_than_ten_validation_rows_is_not_familiar(count: int) -> None:
    labels = [0] * 10 + [1] * count
    found = FamiliarClasses.of(make_task(validation=rows_of(labels, labels)))
    assert found is not None
    assert found.numbers == (0,)
    assert found.labels.tolist() == [0] * 10
    # Else it would score 0 for everybody, and a perfect neighbor would look mediocre.
    learner = make_learner(make_task(validation=rows_of(labels, labels)))
    assert learner.shard_scores(should_stop=never) == [1.0]


def test_where_no_class_has_ten_validation_rows_all_rows_are_one_shard() -> None:
    task = make_task(validation=rows_of([0, 1, 0, 2], [0, 1, 1, 2]))
    assert FamiliarClasses.of(task) is None
    assert make_learner(task).shard_scores(should_stop=never) == [pytest.approx(3 / 4)]


def test_rows_with_a_label_below_zero_are_ignored() -> None:
    ignored = [-100, -1] * 20
    held_out = Examples(torch.eye(3)[[0] * 40 + FEATURES], torch.tensor(ignored + LABELS))
    train = Examples(torch.eye(3)[[0] * 71], torch.tensor(ignored + OWN_LABELS))
    found = FamiliarClasses.of(make_task(train=train, validation=held_out))
    assert found is not None
    assert found.numbers == (0, 1)
    assert found.labels.tolist() == [label for label in LABELS if label in (0, 1)]


@pytest.mark.parametrize("evaluation_batch_size", [7, 16, 59, 60])
def test_batches_change_nothing(evaluation_batch_size: int) -> None:
    expected = make_learner(make_task()).shard_scores(should_stop=never)
    learner = make_learner(make_task(), evaluation_batch_size=evaluation_batch_size)
    asked = []

    def count() -> bool:
        asked.append(True)
        return False

    assert learner.shard_scores(should_stop=count) == expected
    assert len(asked) == -(-60 // evaluation_batch_size)  # sixty rows are of familiar classes


def test_cancelled_scores_end() -> None:
    learner = make_learner(make_task(), evaluation_batch_size=2)
    answers = iter([False, True])
    with pytest.raises(JobCancelled, match="validation"):
        learner.shard_scores(should_stop=lambda: next(answers))


def test_scores_are_those_of_evaluation_mode_and_change_nothing() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3, affine=False)
            self.last = identity_model()

        def forward(self, inputs: Tensor) -> Tensor:
            kept = nn.functional.dropout(inputs, 0.9, training=self.training)
            logits: Tensor = self.last(self.norm(kept))
            return logits

    learner = make_learner(make_task(create_model=Dropping))
    before = learner.state()
    assert learner.shard_scores(should_stop=never) == pytest.approx([1 / 2, 2 / 3])
    after = learner.state()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def scaled_accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    return 0.5 * accuracy(outputs, labels)


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": scaled_accuracy},
        {"train": rows_of([], [])},  # a relay
        {"train": Examples(torch.eye(3), torch.zeros(3, 2, dtype=torch.long))},
        {"train": Examples(torch.eye(3), torch.tensor([-100, -100, -100]))},
    ],
    ids=["another metric", "no training rows", "two labels a row", "ignored rows only"],
)
def test_else_validation_rows_are_one_shard(changes: dict[str, object]) -> None:
    task = make_task(**changes)
    assert FamiliarClasses.of(task) is None
    learner = make_learner(task)
    score, _ = learner.evaluate("validation", should_stop=never)
    assert score in (pytest.approx(3 / 7), pytest.approx(3 / 14))
    assert learner.shard_scores(should_stop=never) == [score]


def test_labels_are_not_read_for_another_metric() -> None:
    class Unreadable(TensorDataset):
        def __getitem__(self, index: int) -> tuple[Tensor, ...]:
            raise AssertionError(f"row {index} was read")

    dataset = Unreadable(torch.eye(3), torch.arange(3))
    assert FamiliarClasses.of(make_task(train=dataset, metric=scaled_accuracy)) is None


def test_nothing_to_judge_on_is_named() -> None:
    learner = make_learner(make_task([2] * 10, validation=rows_of([0, 1], [0, 1])))
    with pytest.raises(LocalError, match=r"knows \(2,\); give the task some, or take a rule"):
        learner.shard_scores(should_stop=never)


def test_model_that_answers_nothing_is_never_right() -> None:
    learner = make_learner(make_task())
    learner.load_vector(torch.full((9,), float("nan")))
    assert learner.shard_scores(should_stop=never) == [0.0, 0.0]


def test_labels_of_a_dataset_are_read_once() -> None:
    class Counted(TensorDataset):
        reads = 0

        def __getitem__(self, index: int) -> tuple[Tensor, ...]:
            self.reads += 1
            return super().__getitem__(index)

    examples = rows_of(FEATURES, LABELS)
    assert isinstance(examples.inputs, Tensor)
    dataset = Counted(examples.inputs, examples.labels)
    learner = make_learner(make_task(validation=dataset))
    reads = []
    for _ in range(3):
        assert learner.shard_scores(should_stop=never) == pytest.approx([1 / 2, 2 / 3])
        reads.append(dataset.reads)
    assert reads == [70 + 60, 70 + 2 * 60, 70 + 3 * 60]


def test_predictions_may_name_classes_that_nobody_has() -> None:
    found = FamiliarClasses.of(make_task())
    assert found is not None

    def predict(rows: Rows) -> Tensor:
        return torch.tensor([0, 8, 8, 1, 1, 0] * 10)[: len(rows)]

    # In the order of the rows: 0, 1, 1, 1, 1, 0, and so on.
    assert found.scores(predict) == pytest.approx([1.0, 4 / 6])


def test_a_task_learner_says_shards_and_others_need_not() -> None:
    class Plain:
        evaluate: Callable[..., tuple[float, float]]

    assert isinstance(make_learner(make_task()), ShardScorer)
    assert not isinstance(Plain(), ShardScorer)
