"""Who is probed, how probes become ratings, and whom the gate turns away."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robust import LossGate, RuleError
from robust.reputation.copies import find_copies
from robust.reputation.loss_gate import LossGatePolicy, Rating

ORIGINS = tuple(f"origin {index}" for index in range(7))


@pytest.mark.parametrize("probe_count", [2, 3, 7, 9])
@pytest.mark.parametrize("n", [2, 5, 7])
def test_everyone_is_probed_once_per_cycle(n: int, probe_count: int) -> None:
    gate = LossGate(3, LossGatePolicy(probe_count=probe_count))
    cycle = math.ceil(n / probe_count)
    for start in range(0, 10 * cycle, cycle):
        probed = [gate.probes(start + index, ORIGINS[:n]) for index in range(cycle)]
        assert {origin for chosen in probed for origin in chosen} == set(ORIGINS[:n])
        assert all(len(chosen) == min(probe_count, n) for chosen in probed)
        assert all(len(set(chosen)) == len(chosen) for chosen in probed)


def test_choice_depends_on_the_seed_and_the_round_alone() -> None:
    first, second, other = LossGate(3), LossGate(3), LossGate(4)
    first.record(0, {"origin 1": 0.5, "origin 2": 0.1})  # what was seen does not matter
    chosen = [first.probes(index, ORIGINS) for index in range(40)]
    assert chosen == [second.probes(index, reversed(ORIGINS)) for index in range(40)]
    assert chosen != [other.probes(index, ORIGINS) for index in range(40)]
    # Who meets whom changes, or a pair would rank each other for ever.
    assert len({frozenset(pair) for pair in chosen}) > 15


def test_one_alone_is_not_probed_and_its_gain_says_nothing() -> None:
    gate = LossGate(3)
    assert gate.probes(0, ["a"]) == ()
    gate.record(0, {"a": -0.5})
    assert gate.rating("a") == Rating()


def test_ranks_by_hand() -> None:
    # 0.2 leaves both others behind, 0.1 one of them, -0.3 none.
    gate = LossGate(0, LossGatePolicy(memory=0.5))
    gate.record(7, {"a": 0.2, "b": 0.1, "c": -0.3})
    # From a rank of 1/2, half of the way. Of gains, from 0: 1/2 * 0.2 and 1/2 * 1/2 * 0.04.
    assert gate.rating("a") == Rating(
        mean=0.75, gain=0.1, gain_variance=pytest.approx(0.01), scores=1, seen=7
    )
    assert gate.rating("b").mean == 0.5
    assert gate.rating("c").mean == 0.25
    assert gate.rating("nobody") == Rating()


def test_zero_update_has_the_middle_rank_whatever_the_others_do() -> None:
    for others in ((0.2, 0.1), (-0.2, -0.1), (0.3, -0.3)):
        gate = LossGate(0)
        for index in range(30):
            gate.record(index, {"zero": 0.0, "first": others[0], "second": others[1]})
        assert gate.rating("zero") == Rating(scores=30, seen=29)
        assert "zero" not in gate.rejected(["zero", "first", "second"])


def test_two_that_are_as_good_share_a_rank() -> None:
    gate = LossGate(0)
    gate.record(0, {"a": 0.1, "b": 0.1})
    assert gate.rating("a") == gate.rating("b")
    assert gate.rating("a").mean == 0.5


def gate_after(rounds: int, gains: dict[str, float]) -> LossGate:
    """Return a gate that has seen the same gains again and again."""
    gate = LossGate(0)
    for index in range(rounds):
        gate.record(index, gains)
    return gate


LIAR = {"bad": -0.1, "good": 0.1, "fair": 0.05}


def test_rejection_takes_ten_probes() -> None:
    for rounds in (1, 9, 10, 30):
        assert gate_after(rounds, LIAR).rejected(LIAR) == (("bad",) if rounds >= 10 else ())


def test_who_mends_its_ways_comes_back() -> None:
    gate = gate_after(30, LIAR)
    for index in range(30, 60):
        gate.record(index, {**LIAR, "bad": 0.1})
    assert gate.rejected(LIAR) == ()


def test_harm_is_no_reason_while_half_of_the_others_harm_too() -> None:
    gains = {"worst": -0.4, "bad": -0.2, "fair": 0.1, "good": 0.2}
    assert gate_after(60, gains).rejected(gains) == ()
    gains = {**gains, "better": 0.3}
    assert gate_after(60, gains).rejected(gains) == ("worst",)  # the other one is not the last


@pytest.mark.parametrize("gains", [{"bad": -0.5}, {"bad": -0.5, "good": 0.1}])
def test_of_one_or_two_nobody_is_rejected(gains: dict[str, float]) -> None:
    assert gate_after(60, gains).rejected(gains) == ()


def test_who_is_not_at_hand_is_not_compared_with() -> None:
    # Names that came, harmed and left would make half of all harmful for ever.
    gone = {f"gone {index}": -0.05 for index in range(5)}
    gate = gate_after(30, {**LIAR, **gone})
    assert gate.rejected(LIAR) == ("bad",)
    assert gate.rejected([*LIAR, *gone]) == ()


def test_newcomers_are_not_compared_with() -> None:
    gate = gate_after(30, LIAR)
    assert gate.rejected([*LIAR, "new"]) == ("bad",)
    assert gate.rejected(["bad", "good", "new"]) == ()  # two are rated


def test_low_rank_alone_is_no_reason() -> None:
    gains = {"last": 0.01, "second": 0.1, "first": 0.2}
    assert gate_after(60, gains).rejected(gains) == ()


def test_harm_that_is_as_great_as_that_of_most_is_no_reason() -> None:
    # Clearly below zero and always last, but no more below the median than its gain is uncertain.
    gate = LossGate(0)
    gains = {"last": 0.0, "second": 0.0, "first": 0.0}
    for index in range(200):
        noise = 0.1 if index % 2 else -0.1
        gains = {"last": noise - 0.08, "second": noise - 0.06, "first": noise - 0.02}
        gate.record(index, gains)
    assert gate.rating("last").mean < 0.01
    assert gate.rating("last").gain < -0.07
    assert gate.rejected(gains) == ()


@pytest.mark.parametrize(("gain", "is_rejected"), [(-0.29, False), (-0.31, True)])
def test_margin_is_three_standard_errors_of_the_moving_average(
    gain: float, *, is_rejected: bool
) -> None:
    # With a memory of 0.9 the average has 0.1 / 1.9 of the variance of a gain: 0.01 of 0.19.
    gate = LossGate(0)
    gate.record(0, {"harmful": gain, "first": 0.1, "second": 0.1})
    snapshot = gate.snapshot()
    for peer, rating in snapshot["peers"].items():
        is_liar = bytes.fromhex(peer) == b"harmful"
        rating |= {"mean": 0.1 if is_liar else 0.9, "gain": gain if is_liar else 0.0}
        rating |= {"gain_variance": 0.19, "scores": 50}
    restored = LossGate.restore(snapshot, 0)
    assert restored.rejected(["harmful", "first", "second"]) == (
        ("harmful",) if is_rejected else ()
    )


def probes_until_found(harm: float) -> float:
    """Return after how many probes, the median, two liars of six are rejected.

    Args:
        harm: What the liars lose and the honest ones gain, in units of the noise.
    """
    noise = torch.randn(30, 200, 6, generator=torch.Generator().manual_seed(0)) * 0.1
    counts, names = [], ORIGINS[:6]
    for seed, rounds in enumerate(noise.tolist()):
        gate, found = LossGate(seed), dict[str, int]()
        for index, gains in enumerate(rounds):
            drawn = {
                name: gain + 0.1 * (-harm if place < 2 else harm)
                for place, (name, gain) in enumerate(zip(names, gains, strict=True))
            }
            gate.record(index, {name: drawn[name] for name in gate.probes(index, names)})
            for name in gate.rejected(names[:6]):
                found.setdefault(name, gate.rating(name).scores)
            if found.keys() >= set(names[:2]):
                break
        counts += [found.get(name, len(rounds)) for name in names[:2]]
    return statistics.median(counts)


def test_liars_who_lose_what_is_noise_are_found_after_sixteen_probes() -> None:
    assert 15 <= probes_until_found(1.0) <= 17


def rejected_for_noise(policy: LossGatePolicy) -> int:
    """Count, of 120 origins whose gains are noise, those rejected within 33 probes."""
    noise = torch.randn(20, 100, 6, generator=torch.Generator().manual_seed(0)) * 0.1
    count, names = 0, ORIGINS[:6]
    for seed, rounds in enumerate(noise.tolist()):
        gate, rejected = LossGate(seed, policy), set()
        for index, gains in enumerate(rounds):
            drawn = dict(zip(names, gains, strict=True))
            gate.record(index, {name: drawn[name] for name in gate.probes(index, names)})
            rejected |= set(gate.rejected(names))
        count += len(rejected)
    return count


def test_noise_is_no_reason() -> None:
    assert rejected_for_noise(LossGatePolicy()) <= 3
    # The negative control: it would do to be a bit below the middle, and the median.
    assert rejected_for_noise(LossGatePolicy(value_min=0.49, margin_errors=0.0)) >= 20


@pytest.mark.parametrize("probe_count", [2, 3, 6])
def test_six_alike_that_all_harm_a_little_stay(probe_count: int) -> None:
    gate, names = LossGate(0, LossGatePolicy(probe_count=probe_count)), ORIGINS[:6]
    noise = torch.randn(120, 6, generator=torch.Generator().manual_seed(1)) * 0.03 - 0.05
    for index, gains in enumerate(noise.tolist()):
        drawn = dict(zip(names, gains, strict=True))
        gate.record(index, {name: drawn[name] for name in gate.probes(index, names)})
        assert gate.rejected(names) == ()
    assert all(gate.rating(name).gain < -0.02 for name in names)


@pytest.mark.parametrize(("liars", "count"), [(1, 3), (2, 6)])
def test_few_liars_are_found_two_probes_at_a_time(liars: int, count: int) -> None:
    gate, names = LossGate(0), ORIGINS[:count]
    noise = torch.randn(100, count, generator=torch.Generator().manual_seed(1)) * 0.05
    for index, gains in enumerate(noise.tolist()):
        drawn = {
            name: gain + (-0.1 if place < liars else 0.1)
            for place, (name, gain) in enumerate(zip(names, gains, strict=True))
        }
        gate.record(index, {name: drawn[name] for name in gate.probes(index, names)})
    assert gate.rejected(names) == names[:liars]


def test_gains_that_are_no_numbers_are_the_worst() -> None:
    gate = LossGate(0)
    gate.record(0, {"nan": math.nan, "minus": -math.inf, "bad": -0.5})
    assert gate.rating("nan").gain == gate.rating("minus").gain == pytest.approx(-0.1)
    assert gate.rating("nan").mean < gate.rating("bad").mean


@settings(max_examples=100)
@given(rounds=st.lists(st.dictionaries(st.sampled_from(ORIGINS), st.floats(), max_size=4)))
def test_ratings_stay_in_range(rounds: list[dict[str, float]]) -> None:
    gate = LossGate(0)
    for index, gains in enumerate(rounds):
        gate.record(index, gains)
    for origin in ORIGINS:
        rating = gate.rating(origin)
        assert 0.0 <= rating.mean <= 1.0
        assert -1.0 <= rating.gain <= 1.0
    assert 2 * len(gate.rejected(ORIGINS)) < len(ORIGINS)


def test_memory_is_bounded_and_who_was_probed_longest_ago_goes_first() -> None:
    gate = LossGate(0, LossGatePolicy(origins_max=3))
    for index in range(50):
        gate.record(index, {"steady": 0.1, f"stranger {index}": 0.1})
    assert len(gate.snapshot()["peers"]) == 3
    assert gate.rating("steady").scores == 50
    assert gate.rating("stranger 48").scores == 1


def test_a_flood_of_names_does_not_wash_out_a_rejection() -> None:
    gate = LossGate(0, LossGatePolicy(origins_max=8))
    honest = {f"honest {index}": 0.1 + 0.01 * index for index in range(4)}
    for index in range(20):
        gate.record(index, {**honest, "liar": -0.9})
    for index in range(20, 60):
        gate.record(index, {**honest, f"stranger {index}": 0.1})
    assert gate.rejected([*honest, "liar"]) == ("liar",)
    assert gate.rating("stranger 59").scores == 1
    assert gate.rating("stranger 50").scores == 0


def test_newcomer_is_rated_although_the_memory_is_full() -> None:
    gate = LossGate(0, LossGatePolicy(origins_max=4))
    for index in range(40):
        gate.record(index, {"a": 0.1, "b": 0.2, "gone": 0.1, "long gone": 0.1})
    for index in range(40, 60):
        gate.record(index, {"a": 0.1, "b": 0.2, "new": -0.5})
    assert gate.rating("new").scores == 20
    assert gate.rejected(["a", "b", "new"]) == ("new",)


def test_negative_round_is_the_callers_mistake() -> None:
    with pytest.raises(RuleError, match="round_index=-1"):
        LossGate(0).probes(-1, ORIGINS)
    with pytest.raises(RuleError, match="round_index=-1"):
        LossGate(0).record(-1, {})


CLASSES, FEATURES = 10, 20
STEP, PROBE_STEP = 0.05, 0.2  # slow enough that fifty rounds do not end the learning


class Lesson:
    """Softmax regression, of which each origin has its own examples."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.centers = torch.randn(CLASSES, FEATURES, generator=self.generator)
        self.theta = torch.zeros(FEATURES, CLASSES)

    def batch(self, count: int, classes: int, first: int = 0) -> tuple[Tensor, Tensor]:
        labels = first + torch.randint(classes, (count,), generator=self.generator)
        return self.centers[labels] + torch.randn(count, FEATURES, generator=self.generator), labels

    def loss(self, theta: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        features, labels = batch
        return torch.nn.functional.cross_entropy(features @ theta, labels)

    def update(self, classes: int = CLASSES, first: int = 0) -> Tensor:
        """Return the gradient on forty fresh examples of some classes."""
        theta = self.theta.clone().requires_grad_()
        self.loss(theta, self.batch(40, classes, first)).backward()
        assert theta.grad is not None
        return theta.grad

    def gains(self, updates: dict[str, Tensor], classes: int = CLASSES) -> dict[str, float]:
        """Probe with eight fresh examples of the first classes that no update has seen."""
        probe = self.batch(8, classes)
        before = self.loss(self.theta, probe)
        return {
            origin: float((before - self.loss(self.theta - PROBE_STEP * update, probe)) / before)
            for origin, update in updates.items()
        }


def ranks_in_round(gate: LossGate, index: int, gains: dict[str, float]) -> dict[str, float]:
    """Record a round and return the ranks that the gate gave, read from what became of ratings."""
    memory = LossGatePolicy().memory
    before = {origin: gate.rating(origin).mean for origin in gains}
    gate.record(index, gains)
    return {
        origin: before[origin] + (gate.rating(origin).mean - before[origin]) / (1.0 - memory)
        for origin in gains
    }


def rounds_in_last_place(*, sign: float, seed: int) -> int:
    """Count, of fifty rounds, those in which the gate ranks an eighth below seven honest ones."""
    lesson, gate = Lesson(seed), LossGate(seed, LossGatePolicy(probe_count=8))
    count = 0
    for index in range(50):
        updates = {f"honest {place}": lesson.update() for place in range(7)}
        updates["eighth"] = sign * lesson.update()
        chosen = gate.probes(index, updates)
        ranks = ranks_in_round(gate, index, lesson.gains({it: updates[it] for it in chosen}))
        assert len(ranks) == 8
        rank_of_eighth = ranks.pop("eighth")
        count += all(rank_of_eighth < rank - 1e-9 for rank in ranks.values())
        lesson.theta -= STEP * updates["honest 0"]
    return count


@pytest.mark.parametrize("seed", range(3))
def test_gate_ranks_a_sign_flip_last_in_nine_rounds_of_ten(seed: int) -> None:
    assert rounds_in_last_place(sign=-1.0, seed=seed) >= 45
    # The negative control: one of eight that are alike is last in an eighth of the rounds.
    assert rounds_in_last_place(sign=1.0, seed=seed) <= 15


@pytest.mark.parametrize("seed", range(5))
def test_fifty_rounds_reject_the_liar_and_no_honest_neighbor(seed: int) -> None:
    lesson, gate = Lesson(seed), LossGate(seed)
    rejected = set()
    for index in range(50):
        updates = {f"honest {place}": lesson.update() for place in range(4)}
        updates |= {"skewed": lesson.update(classes=2), "flipped": -lesson.update()}
        updates["zero"] = torch.zeros(FEATURES, CLASSES)
        chosen = gate.probes(index, updates)
        gate.record(index, lesson.gains({origin: updates[origin] for origin in chosen}))
        rejected |= set(gate.rejected(updates))
        lesson.theta -= STEP * updates["honest 0"]
    assert rejected == {"flipped"}
    assert gate.rating("skewed").scores >= 10
    assert gate.rating("zero").gain == 0.0
    assert gate.rating("zero").mean == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_honest_neighbors_with_other_data_than_the_own_stay(seed: int) -> None:
    # Everybody has rows of two classes, and nobody else has the own two.
    lesson, gate = Lesson(seed), LossGate(seed)
    first_class = {"a": 2, "b": 4, "c": 2, "d": 4}
    for index in range(60):
        start = lesson.theta
        models = {
            name: start - lesson.update(classes=2, first=first)
            for name, first in first_class.items()
        }
        lesson.theta = start - lesson.update(classes=2)  # the own model
        chosen = gate.probes(index, first_class)
        steps = {name: lesson.theta - models[name] for name in chosen}
        gate.record(index, lesson.gains(steps, classes=2))
        assert gate.rejected(first_class) == ()
        lesson.theta = torch.stack([lesson.theta, *models.values()]).mean(dim=0)
    assert all(gate.rating(name).gain < -0.01 for name in first_class)


def test_copycat_is_caught_in_the_first_round() -> None:
    generator = torch.Generator().manual_seed(0)
    kept = {
        f"peer {index}": set(torch.randperm(10_000, generator=generator)[:156].tolist())
        for index in range(10)
    }
    seen = {origin: 1.0 for origin in kept}
    assert find_copies(kept, seen) == {}
    kept["copycat"] = set(kept["peer 3"])
    assert find_copies(kept, seen | {"copycat": 2.0}) == {"copycat": "peer 3"}
    # Half copied, half drawn, and more added to hide it.
    copied = set(sorted(kept["peer 3"])[:78])
    kept["copycat"] = copied | set(range(10_000, 10_078)) | set(range(20_000, 20_500))
    assert find_copies(kept, seen | {"copycat": 2.0}) == {"copycat": "peer 3"}
    kept["copycat"] = set(sorted(kept["peer 3"])[:62]) | set(range(10_000, 10_094))
    assert find_copies(kept, seen | {"copycat": 2.0}) == {}  # 62 of 156 is below 0.4


def test_of_two_alike_the_later_is_held_and_of_two_as_old_both() -> None:
    kept = {"a": {1, 2, 3}, "b": {1, 2, 4}, "c": {7, 8, 9}, "empty": set()}
    times = {"a": 5.0, "b": 4.0, "c": 1.0, "empty": 0.0}
    assert find_copies(kept, times) == {"a": "b"}
    assert find_copies(kept, times | {"b": 5.0}) == {"a": "b", "b": "a"}
    assert find_copies(kept, times, overlap_max=0.9) == {}


@pytest.mark.parametrize(("shared", "is_copy"), [(3, False), (4, True)])
def test_two_are_alike_from_four_tenths_on(shared: int, *, is_copy: bool) -> None:
    kept = {"first": set(range(10)), "later": set(range(10 - shared, 20 - shared))}
    held = find_copies(kept, {"first": 0.0, "later": 1.0})
    assert held == ({"later": "first"} if is_copy else {})


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(RuleError, match=r"overlap_max=0\.0"):
        find_copies({}, {}, overlap_max=0.0)
    with pytest.raises(RuleError, match=r"no time for \['a'\]"):
        find_copies({"a": {1}}, {})
