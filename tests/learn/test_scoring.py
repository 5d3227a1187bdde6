"""Looking at a neighbor's model on own data before believing it."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.learn.learner import JobCancelled
from p2pfed.learn.scoring import Scoring


class OneNumber:
    """A learner whose score is its one parameter, times a factor."""

    def __init__(self) -> None:
        self.value = torch.tensor([0.5])
        self.factor = 1.0

    def vector(self) -> Tensor:
        return self.value.clone()

    def load_vector(self, vector: Tensor) -> None:
        self.value = vector.clone()

    def evaluate(self, split: str, *, should_stop: object) -> tuple[float, float]:
        del should_stop
        assert split == "validation"
        return self.factor * float(self.value), 0.0


class Shards(OneNumber):
    """A learner with one score per parameter."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.value = torch.tensor(values)

    def shard_scores(self, *, should_stop: object) -> list[float]:
        del should_stop
        scores: list[float] = (self.factor * self.value).tolist()
        return scores


def make_scoring(learner: OneNumber | None = None) -> tuple[Scoring, OneNumber]:
    learner = learner or OneNumber()
    scoring = Scoring(learner=learner, initial=learner.vector())  # type: ignore[arg-type]
    return scoring, learner


def test_scores_the_place_that_a_difference_leads_to_and_comes_back() -> None:
    scoring, learner = make_scoring()
    learner.load_vector(torch.tensor([0.7]))
    assert scoring(torch.tensor([0.25], dtype=torch.float64)) == [0.75]
    assert float(learner.value) == pytest.approx(0.7)


def test_learner_with_shards_is_scored_on_each() -> None:
    scoring, learner = make_scoring(Shards(0.5, 0.25, 0.0))
    assert scoring(torch.tensor([0.25, 0.25, 1.0])) == [0.75, 0.5, 1.0]
    assert learner.value.tolist() == [0.5, 0.25, 0.0]


@pytest.mark.parametrize(
    ("sent", "score"), [(math.nan, 0.0), (math.inf, 0.0), (-math.inf, 0.0), (2.0, 1.0), (-3.0, 0.0)]
)
def test_no_model_of_a_neighbor_raises(sent: float, score: float) -> None:
    scoring, learner = make_scoring()
    assert scoring(torch.tensor([sent])) == [score]
    shards, _ = make_scoring(Shards(0.5, 0.5))
    assert shards(torch.tensor([0.25, sent])) == [0.75, score]
    assert float(learner.value) == 0.5


@pytest.mark.parametrize("score", [2.5, -0.5, math.nan, math.inf])
@pytest.mark.parametrize("make", [OneNumber, lambda: Shards(0.5, 0.5)])
def test_own_score_that_is_no_share_is_the_users_error(
    make: Callable[[], OneNumber], score: float
) -> None:
    scoring, learner = make_scoring(make())
    own = learner.value + 0.25
    learner.load_vector(own)
    learner.factor = score / 0.75
    expected = rf"validation score {score} is not in \[0, 1\].*: take accuracy"
    with pytest.raises(LocalError, match=expected):
        scoring(torch.full_like(own, 0.25))
    assert torch.equal(learner.value, own)


def test_learner_without_any_shard_is_the_users_error() -> None:
    scoring, _ = make_scoring(Shards())
    with pytest.raises(LocalError, match="no validation score; give one"):
        scoring(torch.empty(0))


@pytest.mark.parametrize("error", [JobCancelled("stopped"), RuntimeError("out of memory")])
def test_model_is_as_before_after_an_error(error: Exception) -> None:
    class Failing(OneNumber):
        def evaluate(self, split: str, *, should_stop: object) -> tuple[float, float]:
            del split, should_stop
            raise error

    scoring, learner = make_scoring(Failing())
    learner.load_vector(torch.tensor([0.7]))
    with pytest.raises(type(error), match=str(error)):
        scoring(torch.tensor([0.25]))
    assert float(learner.value) == pytest.approx(0.7)


class Picky(OneNumber):
    """A learner whose metric refuses models below 0."""

    def evaluate(self, split: str, *, should_stop: object) -> tuple[float, float]:
        score, loss = super().evaluate(split, should_stop=should_stop)
        if score < 0.0:
            raise ValueError("Input contains what the metric does not take")
        return score, loss


def test_what_a_metric_refuses_is_the_worst(caplog: pytest.LogCaptureFixture) -> None:
    scoring, learner = make_scoring(Picky())
    with pytest.raises(ValueError, match="does not take"):
        scoring(torch.tensor([-2.0]))  # before the own score: it may be this machine
    assert scoring(torch.tensor([0.0])) == [0.5]
    assert not caplog.records
    assert scoring(torch.tensor([-2.0])) == [0.0]
    assert "counts as the worst" in caplog.text
    learner.load_vector(torch.tensor([-1.0]))
    with pytest.raises(ValueError, match="does not take"):
        scoring(torch.tensor([-1.5]))  # its own model is no neighbor's


def test_a_job_that_is_to_stop_is_no_bad_model() -> None:
    scoring, learner = make_scoring(Shards(0.5))
    assert scoring(torch.tensor([0.0])) == [0.5]

    def stop(*, should_stop: object) -> list[float]:
        del should_stop
        raise JobCancelled("stopped")

    learner.shard_scores = stop  # type: ignore[attr-defined]
    with pytest.raises(JobCancelled):
        scoring(torch.tensor([0.25]))
