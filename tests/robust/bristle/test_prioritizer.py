"""The prioritizer keeps its quotas, wastes no slot, and draws the same for the same seed."""

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import robust
from robust.bristle.prioritizer import DistancePrioritizer, quotas

ROOT = Path(__file__).parents[3]


def make_distances(count: int) -> dict[bytes, float]:
    """Peer i at distance i; names are in another order than distances."""
    return {f"{(7 * i) % count:04} {i}".encode(): float(i) for i in range(count)}


def ranks(kept: set[bytes]) -> list[int]:
    return sorted(int(key.split()[1]) for key in kept)


def per_third(kept: set[bytes], count: int) -> tuple[int, ...]:
    thirds = Counter(min(rank // (count // 3), 2) for rank in ranks(kept))
    return thirds[0], thirds[1], thirds[2]


@pytest.mark.parametrize(
    ("exploration_ratio", "model_count_max", "expected"),
    [
        (0.4, 30, (11, 14, 5)),  # 10.8, 14.4, 4.8
        (0.4, 10, (4, 5, 2)),  # 3.6, 4.8, 1.6
        (0.1, 30, (24, 5, 0)),  # 24.3, 5.4, 0.3
        (0.5, 10, (3, 5, 3)),  # 2.5, 5, 2.5: halves go up
        (0.0, 30, (30, 0, 0)),
        (1.0, 30, (0, 0, 30)),
    ],
)
def test_quotas(
    exploration_ratio: float, model_count_max: int, expected: tuple[int, int, int]
) -> None:
    assert quotas(model_count_max, exploration_ratio) == expected


@pytest.mark.parametrize("draw", ["random", "nearest"])
@pytest.mark.parametrize(
    ("exploration_ratio", "model_count_max", "expected"),
    [(0.4, 30, (11, 14, 5)), (0.4, 10, (4, 5, 2)), (0.1, 30, (24, 5, 0))],
)
def test_each_third_gives_its_quota(
    draw: str, exploration_ratio: float, model_count_max: int, expected: tuple[int, ...]
) -> None:
    prioritizer = DistancePrioritizer(
        model_count_max=model_count_max, exploration_ratio=exploration_ratio, draw=draw, seed=0
    )
    kept = prioritizer.select(make_distances(90), round=0)
    assert per_third(kept, 90) == expected


def test_nearest_of_each_third() -> None:
    # Thirds of 4, 4 and 6 of 14; quotas 4, 5, 2: the middle third lacks one, the last takes it.
    prioritizer = DistancePrioritizer(model_count_max=10, draw="nearest")
    kept = prioritizer.select(make_distances(14), round=0)
    assert ranks(kept) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_what_the_far_third_cannot_give_is_taken_from_the_near_one() -> None:
    # All 6 of the far third (of 18), where 9 are wanted; then 3 of the nearest.
    prioritizer = DistancePrioritizer(model_count_max=9, exploration_ratio=1.0, draw="nearest")
    kept = prioritizer.select(make_distances(18), round=0)
    assert ranks(kept) == [0, 1, 2, 12, 13, 14, 15, 16, 17]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
def test_few_models_are_all_taken(count: int) -> None:
    distances = make_distances(count)
    prioritizer = DistancePrioritizer(model_count_max=10, seed=0)
    assert prioritizer.select(distances, round=0) == set(distances)


@given(
    count=st.integers(0, 100),
    model_count_max=st.integers(1, 40),
    exploration_ratio=st.floats(0.0, 1.0),
    draw=st.sampled_from(["random", "nearest"]),
)
def test_no_slot_is_wasted(
    count: int, model_count_max: int, exploration_ratio: float, draw: str
) -> None:
    prioritizer = DistancePrioritizer(
        model_count_max=model_count_max, exploration_ratio=exploration_ratio, draw=draw, seed=0
    )
    distances = make_distances(count)
    kept = prioritizer.select(distances, round=3)
    wanted = sum(quotas(model_count_max, exploration_ratio))
    assert abs(wanted - model_count_max) <= 1
    assert len(kept) == (count if count <= model_count_max else min(count, wanted))
    assert kept <= set(distances)


def test_draw_depends_on_seed_and_round_and_on_nothing_else() -> None:
    distances = make_distances(60)
    backwards = dict(reversed(distances.items()))
    prioritizer = DistancePrioritizer(model_count_max=10, seed=1)
    kept = prioritizer.select(distances, round=5)
    assert prioritizer.select(backwards, round=5) == kept
    assert prioritizer.select(distances, round=6) != kept
    other = DistancePrioritizer(model_count_max=10, seed=2)
    assert other.select(distances, round=5) != kept
    nearest = DistancePrioritizer(model_count_max=10, draw="nearest")
    assert nearest.select(distances, round=5) == nearest.select(distances, round=6)


def test_draw_within_a_third_is_uniform() -> None:
    # 4 of 20 near models a round: each 80 times in 400 rounds, give or take 8 (one deviation).
    prioritizer = DistancePrioritizer(model_count_max=10, seed=0)
    distances = make_distances(60)
    counts = Counter(
        rank for round in range(400) for rank in ranks(prioritizer.select(distances, round=round))
    )
    assert all(45 <= counts[rank] <= 115 for rank in range(20))


def test_equal_distances_are_ordered_by_key() -> None:
    keys = [f"peer {i:02}" for i in range(12)]
    prioritizer = DistancePrioritizer(model_count_max=3, exploration_ratio=0.0, draw="nearest")
    kept = prioritizer.select(dict.fromkeys(reversed(keys), 1.0), round=0)
    assert kept == set(keys[:3])


def test_infinitely_far_is_last() -> None:
    prioritizer = DistancePrioritizer(model_count_max=1, exploration_ratio=0.0, draw="nearest")
    assert prioritizer.select({1: math.inf, 2: 5.0, 3: 7.0}, round=0) == {2}


@pytest.mark.parametrize("distance", [-1.0, math.nan])
def test_impossible_distance_is_refused(distance: float) -> None:
    with pytest.raises(robust.InputError, match=f"distance {distance} of 'a'"):
        DistancePrioritizer(seed=0).select({"a": distance}, round=0)


@pytest.mark.parametrize(
    "parameters",
    [
        {"model_count_max": 0},
        {"exploration_ratio": -0.1},
        {"exploration_ratio": math.nan},
        {"draw": "furthest"},
    ],
)
def test_wrong_parameter_is_refused(parameters: dict[str, object]) -> None:
    (name,) = parameters
    with pytest.raises(robust.RuleError, match=name):
        DistancePrioritizer(**{"seed": 0, **parameters})


def test_draws_need_a_secret_and_nearest_models_none() -> None:
    with pytest.raises(robust.RuleError, match="needs a seed that other peers do not know"):
        DistancePrioritizer()
    assert DistancePrioritizer(seed=0).seed == 0
    assert DistancePrioritizer(draw="nearest").seed is None


def test_it_integrates_with_the_integrator() -> None:
    rows = [robust.Row(f"{i:02}", torch.tensor([float(i)])) for i in range(1, 13)]
    prioritizer = DistancePrioritizer(model_count_max=3, exploration_ratio=0.0, draw="nearest")
    integrator = robust.Integrator("mean", norm_cap_ratio=None, prioritizer=prioritizer)
    integration = integrator.integrate(torch.tensor([0.0]), rows)
    reasons = {verdict.peer: verdict.reason for verdict in integration.verdicts}
    accepted = {peer for peer, reason in reasons.items() if reason == robust.Reason.ACCEPTED}
    assert accepted == {"01", "02", "03"}


def chosen(integrator: robust.Integrator, own: torch.Tensor, rows: list[robust.Row]) -> set[str]:
    verdicts = integrator.integrate(own, rows).verdicts
    return {str(it.peer) for it in verdicts if it.reason is not robust.Reason.NOT_PRIORITIZED}


def test_what_is_near_is_what_the_callers_products_say() -> None:
    # By its entries "turned" is the farthest from own, by their product it is own.
    def of_products(drifts: torch.Tensor) -> torch.Tensor:
        products = (drifts[:, :1] * drifts[:, 1:]).double()
        return products @ products.T

    own = torch.tensor([1.0, 4.0])
    sent = {"turned": [-1.0, -4.0], "a": [1.0, 4.5], "b": [1.0, 5.0], "c": [1.0, 5.5]}
    rows = [robust.Row(name, torch.tensor(entries)) for name, entries in sent.items()]
    nearest = DistancePrioritizer(model_count_max=1, exploration_ratio=0.0, draw="nearest")
    plain = robust.Integrator("mean", prioritizer=nearest)
    assert chosen(plain, own, rows) == {"a"}
    assert chosen(robust.Integrator("mean", prioritizer=nearest, gram=of_products), own, rows) == {
        "turned"
    }


def test_a_row_beyond_the_range_of_distances_is_the_farthest_and_raises_nothing() -> None:
    own = torch.tensor([-2e38, 0.0])
    rows = [robust.Row(name, own + torch.tensor([0.0, 1.0])) for name in "abc"]
    rows.append(robust.Row("far", torch.tensor([2e38, 0.0])))
    nearest = DistancePrioritizer(model_count_max=3, exploration_ratio=0.0, draw="nearest")
    assert chosen(robust.Integrator("mean", prioritizer=nearest), own, rows) == {*"abc"}

    def wild(drifts: torch.Tensor) -> torch.Tensor:
        products = torch.eye(len(drifts), dtype=torch.float64)
        products[0, 0] = math.inf
        return products

    found = robust.Integrator("mean", prioritizer=nearest, gram=wild).integrate(own, rows)
    assert found.kept_own


@pytest.mark.parametrize("rule", ["krum", "multi-krum", "bridge", "nnm+trimmed-mean"])
def test_rule_allows_for_liars_among_those_who_were_chosen(rule: str) -> None:
    # Of 40 neighbors 12 may lie, of the 10 that are looked at 3; 12 of 10 no rule bears.
    generator = torch.Generator().manual_seed(0)
    rows = [robust.Row(f"{i:02}", torch.randn(8, generator=generator)) for i in range(40)]
    prioritizer = DistancePrioritizer(seed=1, model_count_max=10)
    integrator = robust.Integrator(rule, norm_cap_ratio=None, prioritizer=prioritizer)
    integration = integrator.integrate(torch.zeros(8), rows)
    assert integration.byzantine_count == 3
    assert not integration.kept_own


@pytest.mark.parametrize("module", ["prioritizer", "weights", "shards"])
def test_module_needs_no_torch(module: str) -> None:
    program = f"import robust.bristle.{module}, sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {"torch", "numpy"} & set(run.stdout.split())
