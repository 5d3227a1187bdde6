"""Looking at a neighbor's model on own data before believing it."""

import math

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


def make_scoring(learner: OneNumber | None = None) -> tuple[Scoring, OneNumber]:
    learner = learner or OneNumber()
    return Scoring(learner), learner  # type: ignore[arg-type]  # it has what is asked of it here


def test_scores_the_place_that_a_difference_leads_to_and_comes_back() -> None:
    scoring, learner = make_scoring()
    learner.load_vector(torch.tensor([0.7]))
    assert scoring(torch.tensor([0.25], dtype=torch.float64)) == [0.75]
    assert float(learner.value) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("sent", "score"), [(math.nan, 0.0), (math.inf, 0.0), (-math.inf, 0.0), (2.0, 1.0), (-3.0, 0.0)]
)
def test_no_model_of_a_neighbor_raises(sent: float, score: float) -> None:
    scoring, learner = make_scoring()
    assert scoring(torch.tensor([sent])) == [score]
    assert float(learner.value) == 0.5


@pytest.mark.parametrize("score", [2.5, -0.5, math.nan, math.inf])
def test_own_score_that_is_no_share_is_the_users_error(score: float) -> None:
    scoring, learner = make_scoring()
    own = learner.value + 0.25
    learner.load_vector(own)
    learner.factor = score / 0.75
    expected = rf"validation score {score} is not in \[0, 1\].*: take accuracy"
    with pytest.raises(LocalError, match=expected):
        scoring(torch.full_like(own, 0.25))
    assert torch.equal(learner.value, own)


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
