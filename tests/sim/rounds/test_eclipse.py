"""Liars in the places of one victim's neighbors: what the default bounds, and where it ends."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import robust
from p2pfed.errors import ConfigError
from sim.rounds import RoundsConfig, RoundsResult, run

MakeConfig = Callable[..., RoundsConfig]

VICTIM = 5
DEFAULT = robust.Integrator().rule
# f = 2 of seven rows: that of the victim and of six neighbors.
NET = {"topology": "k-regular", "topology_params": {"degree": 6}, "peers": 16, "rule": DEFAULT}


@pytest.fixture(scope="module")
def surround(make_config: MakeConfig) -> Callable[..., RoundsResult]:
    def surrounded(liars: int, attack: str, scale: float, **fields: Any) -> RoundsResult:
        placed = {"liars": liars, "placement": "around-victim", "victim": VICTIM}
        lies = {"attack": attack, "attack_params": {"scale": scale}}
        return run(make_config(**{**NET, **placed, **lies, **fields}))

    return surrounded


def test_drawn_liars_fill_the_places_around_the_victim_first(make_config: MakeConfig) -> None:
    def placed(liars: int, **fields: Any) -> set[int]:
        config = make_config(**NET, liars=liars, placement="around-victim", victim=VICTIM, **fields)
        return set(config.place_liars())

    near = set(make_config(**NET).create_topology().neighbors(VICTIM))
    assert placed(3) < near
    assert placed(6) == near
    assert placed(9) > near
    assert VICTIM not in placed(15)
    assert len({frozenset(placed(3, seed=seed)) for seed in range(4)}) > 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"placement": "behind"}, "scattered, around-victim"),
        ({"victim": 10}, r"rounds\.victim = 10: write at most 9"),
        ({"placement": "around-victim", "liar_indices": (1,)}, "each says who lies"),
        ({"victim": 3, "liars": 2}, r'victim = 3: write placement = "around-victim" as well'),
        ({"placement": "around-victim"}, r"rounds\.placement = .*: say who lies"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused(
    make_config: MakeConfig, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(**fields)


@pytest.mark.parametrize("scale", [-1.0, -10.0, -1000.0])
def test_a_victim_with_more_liars_than_f_moves_no_farther_than_its_cap(scale: float) -> None:
    # Four rows of seven are honest, and so is the median length.
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(50, generator=generator)
    honest = base + torch.randn(4, 50, generator=generator)  # the own row first
    rows = [robust.Row(f"honest {number}", row) for number, row in enumerate(honest[1:])]
    rows += [robust.Row(f"liar {number}", scale * base) for number in range(3)]
    found = robust.Integrator().integrate(honest[0], rows)
    assert robust.byzantine_count(7) == 2
    assert float(found.vector.norm()) <= 3.0 * float(honest.norm(dim=1).max())
    uncapped = robust.Integrator(norm_cap_ratio=None).integrate(honest[0], rows)
    is_long = scale < -3.0
    assert (float(uncapped.vector.norm()) > float(2.0 * found.vector.norm())) is is_long


@pytest.mark.slow
def test_long_lies_of_more_liars_than_f_do_the_victim_no_harm(
    surround: Callable[..., RoundsResult],
) -> None:
    result = surround(3, "scaling", -1000.0)
    assert VICTIM in result.overrun_peers
    assert result.liar_neighbor_ratio_max == 0.5
    assert set(result.liar_reasons) == {"norm-cap"}
    assert result.accuracies[VICTIM] > 0.85
    uncapped = surround(3, "scaling", -1000.0, integrator={"norm_cap_ratio": None})
    assert uncapped.accuracies[VICTIM] < 0.7


@pytest.mark.slow
def test_short_lies_of_more_liars_than_f_harm_the_victim_less_than_its_mean_would(
    surround: Callable[..., RoundsResult],
) -> None:
    result = surround(3, "sign-flip", 1.0)
    assert 0.5 < result.accuracies[VICTIM] < 0.8
    assert result.worst_covered_accuracy > 0.8  # who hears no more than f is well
    assert surround(3, "sign-flip", 1.0, rule="mean").accuracies[VICTIM] < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("rule", [DEFAULT, "self-centered-clipping", "mean"])
def test_no_rule_survives_where_every_neighbor_lies(
    surround: Callable[..., RoundsResult], rule: str
) -> None:
    result = surround(6, "sign-flip", 1.0, rule=rule)
    assert result.liar_neighbor_ratio_max == 1.0
    assert result.accuracies[VICTIM] < 0.2  # a guess is right in a fifth
