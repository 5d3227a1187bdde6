"""Clipped gradients: no example counts for more than the bound, whatever it is."""

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from p2pfed.learn.examples import Examples
from p2pfed.learn.privacy.gradients import ClippedGradients

CLIP = 0.5
values = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from(
    [float("inf"), float("nan"), 0.0]
)
rows_of_inputs = st.lists(st.lists(values, min_size=3, max_size=3), min_size=1, max_size=6)


class Model(nn.Module):
    """Two layers, one of which trains, and an argument by name."""

    def __init__(self, *, is_mapped: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.last = nn.Linear(4, 2)
        self.is_mapped = is_mapped
        with torch.no_grad():
            for number, parameter in enumerate(self.parameters(), start=1):
                parameter.copy_(
                    torch.linspace(-1, 1, parameter.numel()).view_as(parameter) / number
                )

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.is_mapped:
            float(inputs.sum())  # which no mapped tensor can answer
        logits: Tensor = self.last(torch.tanh(self.first(inputs)))
        return logits


def clipped(model: nn.Module, batch: Examples, *, clip_norm: float = CLIP) -> tuple[Tensor, Tensor]:
    gradients = ClippedGradients(
        model,
        dict(model.named_parameters()),
        functional.cross_entropy,
        clip_norm=clip_norm,
        computing=nullcontext,
    )
    sums, losses = gradients.sum(batch)
    return torch.cat([sums[name].view(-1) for name in sorted(sums)]), losses


def make_batch(inputs: list[list[float]]) -> Examples:
    return Examples(torch.tensor(inputs), torch.arange(len(inputs)) % 2)


@settings(deadline=None, max_examples=40)
@given(rows_of_inputs, st.integers(0, 5), st.booleans())
def test_one_example_changes_the_sum_by_no_more_than_the_bound(
    inputs: list[list[float]], place: int, is_mapped: bool
) -> None:
    batch = make_batch(inputs)
    others = [index for index in range(len(batch)) if index != place % len(batch)]
    without = batch.batch(torch.tensor(others, dtype=torch.long))
    model = Model(is_mapped=is_mapped)
    with_it = clipped(model, batch)[0]
    assert bool(with_it.isfinite().all())
    change = with_it - (clipped(model, without)[0] if others else torch.zeros_like(with_it))
    assert float(change.double().norm()) <= CLIP * (1 + 1e-5)


@pytest.mark.parametrize("is_mapped", [True, False])
def test_without_a_bound_it_is_the_gradient_of_the_sum(is_mapped: bool) -> None:
    batch = make_batch([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0], [-2.0, 1.0, 1.0]])
    model = Model(is_mapped=is_mapped)
    total, losses = clipped(model, batch, clip_norm=1e6)
    each = functional.cross_entropy(model(batch.inputs), batch.labels, reduction="none")
    found = torch.autograd.grad(each.sum(), list(model.parameters()))
    by_name = dict(zip(dict(model.named_parameters()), found, strict=True))
    expected = torch.cat([by_name[name].reshape(-1) for name in sorted(by_name)])
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(losses, each.detach())


def test_a_long_gradient_is_scaled_to_the_bound_and_a_short_one_is_not() -> None:
    batch = make_batch([[1.0, 2.0, -1.0]])
    raw = clipped(Model(), batch, clip_norm=1e3)[0]
    bounded = clipped(Model(), batch, clip_norm=float(raw.norm()) / 2)[0]
    torch.testing.assert_close(bounded, raw / 2, rtol=1e-5, atol=0)


def test_inputs_may_have_names() -> None:
    batch = make_batch([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    assert isinstance(batch.inputs, Tensor)
    named = Examples({"inputs": batch.inputs}, batch.labels)
    torch.testing.assert_close(clipped(Model(), named)[0], clipped(Model(), batch)[0])


def test_what_does_not_reach_the_loss_has_no_gradient() -> None:
    for is_mapped in (True, False):
        model = Model(is_mapped=is_mapped)
        model.register_parameter("unused", nn.Parameter(torch.ones(2)))
        total, _ = clipped(model, make_batch([[1.0, 2.0, -1.0]]))
        assert total[-2:].tolist() == [0.0, 0.0]  # the last by name
