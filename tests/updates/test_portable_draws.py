"""Draws of a library that are the same on every machine, whatever torch's generators hold."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from p2pfed.errors import LocalError
from p2pfed.updates.portable_draws import PortableDraws

DRAWS: dict[str, Callable[[], Tensor]] = {
    "uniform_": lambda: torch.empty(3, 4).uniform_(-2.0, 3.0),
    "normal_": lambda: torch.empty(3, 4).normal_(1.0, 0.5),
    "rand": partial(torch.rand, 3, 4),
    "randn": partial(torch.randn, 3, 4, dtype=torch.float64),
    "rand_like": lambda: torch.rand_like(torch.ones(3, 4)),
    "randn_like": lambda: torch.randn_like(torch.ones(3, 4)),
    "normal": partial(torch.normal, 0.0, 1.0, (3, 4)),
    "randint": partial(torch.randint, 7, (3, 4)),
    "randint from": partial(torch.randint, -3, 7, (3, 4)),
    "randperm": partial(torch.randperm, 12),
    "generator": lambda: torch.rand(3, 4, generator=torch.Generator().manual_seed(1)),
    "kaiming": lambda: nn.init.kaiming_uniform_(torch.empty(3, 4), a=5**0.5),
}


def draw(name: str, *, seed: int = 0, noise: int = 0) -> Tensor:
    with torch.random.fork_rng(devices=[]), PortableDraws(seed, "test"):
        torch.default_generator.manual_seed(noise)
        return DRAWS[name]()


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_belongs_to_the_seed_alone(name: str) -> None:
    assert torch.equal(draw(name), draw(name, noise=1))
    assert not torch.equal(draw(name), draw(name, seed=1))


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_has_the_shape_and_type_that_torch_gives(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        expected = DRAWS[name]()
    assert draw(name).shape == expected.shape
    assert draw(name).dtype == expected.dtype


def test_draws_follow_each_other() -> None:
    with PortableDraws(0, "test"):
        first, second = (draw() for draw in (partial(torch.rand, 4),) * 2)
    assert not torch.equal(first, second)


def test_golden_bits() -> None:
    with PortableDraws(5, "golden"):
        uniform, normal = torch.empty(3).uniform_(-1.0, 1.0), torch.empty(3).normal_()
    assert uniform.tolist() == [-0.24483513832092285, -0.4732851982116699, -0.19070398807525635]
    assert normal.tolist() == [0.9709408283233643, -1.7680777311325073, -1.1732213497161865]


def test_values_are_distributed_as_asked() -> None:
    with PortableDraws(0, "test"):
        uniform, normal = torch.empty(20_000).uniform_(-2.0, 3.0), torch.empty(20_000).normal_(1, 2)
        whole, order = partial(torch.randint, -3, 7, (20_000,))(), partial(torch.randperm, 100)()
    assert -2.0 <= float(uniform.min()) < -1.99 < 2.99 < float(uniform.max()) <= 3.0
    assert abs(float(uniform.mean()) - 0.5) < 0.05
    assert abs(float(normal.mean()) - 1.0) < 0.05
    assert abs(float(normal.std()) - 2.0) < 0.05
    assert (int(whole.min()), int(whole.max())) == (-3, 6)
    assert sorted(order.tolist()) == list(range(100))


def test_long_draws_begin_as_short_ones() -> None:
    # They are made piece by piece, and no border between two pieces shows.
    drawn = []
    for size in (3, (1 << 16) + 3):
        with PortableDraws(0, "test"):
            drawn.append(torch.empty(size).normal_())
    assert torch.equal(drawn[0], drawn[1][:3])
    assert len(set(drawn[1][-6:].tolist()) - set(drawn[1][:6].tolist())) == 6


def test_integers_of_a_generator_with_a_seed_are_torchs_own() -> None:
    def order() -> Tensor:
        return torch.randperm(20, generator=torch.Generator().manual_seed(4))

    with PortableDraws(0, "test"):
        found = order()
    assert torch.equal(found, order())


def test_what_has_no_portable_form_is_refused() -> None:
    with PortableDraws(0, "test"), pytest.raises(LocalError, match="not the same on every machine"):
        torch.empty(3).exponential_()
