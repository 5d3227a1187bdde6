"""Who agrees with whom, and what a lie of several together can do to it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust
from robust import Observation, ReputationLedger
from robust.agreement import agreements
from robust.weighted_median import weighted_median

# Of ten rows, the last three lie. 3 of 10 is what rules allow for by default.
HONEST, LIARS, DIMENSION = 7, 3, 400


def test_trimmed_mean_of_cosines_by_hand() -> None:
    # Cosines of own (1, 0): 0.6, 0, -1, 0.8; f = 1 leaves 0 and 0.6. Of (3, 4): 0.6, 0.8, -0.6,
    # 0.96 leave 0.6 and 0.8. Of (0, 2): 0, 0.8, 0, 0.6. Of (-1, 0): -1, -0.6, 0, -0.8, below 0.
    # Of (4, 3): 0.8, 0.96, 0.6, -0.8.
    vectors = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [-1.0, 0.0], [4.0, 3.0]])
    found = agreements(vectors, own=vectors[0], byzantine_count=1)
    assert found == pytest.approx((0.3, 0.7, 0.3, 0.0, 0.7))


def test_own_speaks_again_where_liars_could_be_half() -> None:
    # Three rows, f = 1: own speaks 2 f + 2 - n = 1 time more. (0.6, 0.8) hears 0.6, -0.6 and 0.6.
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
    found = agreements(vectors, own=vectors[0], byzantine_count=1)
    assert found == pytest.approx((0.6, 0.6, 0.0))
    # All others may lie: of 3 + 3 voices, own's are more than half.
    found = agreements(vectors, own=vectors[0], byzantine_count=2)
    assert found[1:] == pytest.approx((0.6, 0.0))


def test_voices_by_hand() -> None:
    # Voices 1, 1, 2, 0 and 1 are 5 of 5 rows, so f = 1 drops 1 at either end. Own (1, 0) hears 0
    # twice, 0.6 and 0.8 once, and -1 not at all: 0 and 0.6 are left.
    vectors = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [-1.0, 0.0], [4.0, 3.0]])
    voices = [1.0, 1.0, 2.0, 0.0, 1.0]
    found = agreements(vectors, own=vectors[0], byzantine_count=1, voices=voices)
    assert found[0] == pytest.approx(0.3)
    # (0, 2) is heard by own 0, by (3, 4) 0.8 and by (4, 3) 0.6: the middle one.
    assert found[2] == pytest.approx(0.6)


def test_voices_of_zero_are_not_heard_and_are_judged() -> None:
    base = torch.tensor([1.0, 0.0, 0.0])
    vectors = torch.stack([base, base, base, *[-base] * 7])
    voices = [1.0, 1.0, 1.0, *[0.0] * 7]
    found = agreements(vectors, own=base, byzantine_count=3, voices=voices)
    assert found == pytest.approx((1.0,) * 3 + (0.0,) * 7)
    assert agreements(vectors, own=base, byzantine_count=3)[1] == 0.0  # seven voices outvote three
    # A silent row that agrees is seen to agree, and the lengths of silent rows are no scale.
    vectors[3:] *= 100.0
    vectors[9] = base
    found = agreements(vectors, own=base, byzantine_count=3, voices=voices)
    assert found == pytest.approx((1.0,) * 3 + (0.0,) * 6 + (1.0,))


def test_voices_may_be_split_and_scaled() -> None:
    vectors = torch.randn(6, 40, generator=torch.Generator().manual_seed(1)) + 0.5
    voices = [0.3, 0.1, 0.25, 0.05, 0.2, 0.1]
    found = agreements(vectors, own=vectors[0], byzantine_count=1, voices=voices)
    scaled = [7.0 * voice for voice in voices]
    again = agreements(vectors, own=vectors[0], byzantine_count=1, voices=scaled)
    assert again == pytest.approx(found)
    plain = agreements(vectors, own=vectors[0], byzantine_count=1)
    equal = agreements(vectors, own=vectors[0], byzantine_count=1, voices=[0.5] * 6)
    assert equal == pytest.approx(plain)


@pytest.mark.parametrize(
    ("values", "weights", "median"),
    [
        ([1.0, 2.0, 9.0], [1.0, 1.0, 1.0], 2.0),
        ([9.0, 1.0, 2.0, 4.0], [1.0, 1.0, 1.0, 1.0], 3.0),
        ([1.0, 2.0, 9.0], [1.0, 1.0, 3.0], 9.0),
        ([1.0, 2.0, 9.0], [0.0, 0.0, 3.0], 9.0),
        ([5.0, 7.0], [1.0, 1.0], 6.0),
    ],
)
def test_weighted_median_by_hand(values: list[float], weights: list[float], median: float) -> None:
    assert weighted_median(values, weights) == median


def test_rule_by_hand() -> None:
    # Agreements as above. Own counts as the best does: 0.7 + 0.7 + 0.3 + 0 + 0.7 = 2.4.
    vectors = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [-1.0, 0.0], [4.0, 3.0]])
    rule = robust.create("reputation", byzantine_count=1)
    result = rule.aggregate(vectors, own=vectors[0])
    torch.testing.assert_close(result.vector, torch.tensor([5.6 / 2.4, 5.5 / 2.4]))
    shares = [7 / 24, 7 / 24, 3 / 24, 0.0, 7 / 24]
    assert result.coefficients.tolist() == pytest.approx(shares)
    # Masses 0.5, 0.1, 0.3, 0.1, 0: times agreement 0.35, 0.07, 0.09, 0, 0, in sum 0.51.
    result = rule.aggregate(vectors, own=vectors[0], weights=[0.5, 0.1, 0.3, 0.1, 0.0])
    shares = [35 / 51, 7 / 51, 9 / 51, 0.0, 0.0]
    assert result.coefficients.tolist() == pytest.approx(shares)


def test_nobody_that_agrees_is_no_result() -> None:
    rule = robust.create("reputation", byzantine_count=1)
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 1.0], [0.0, -1.0], [-1.0, -1.0]])
    with pytest.raises(robust.InfeasibleError, match="keep the own vector"):
        rule(vectors[:2], own=vectors[0])
    # Only rows without weight agree.
    with pytest.raises(robust.InfeasibleError, match="none that has weight"):
        rule(vectors, own=vectors[0], weights=[0.0, 0.0, 0.0, 1.0, 0.0])


def test_alone_is_own() -> None:
    own = torch.tensor([2.0, 0.0])
    rule = robust.create("reputation", byzantine_count=0)
    assert rule(own[None], own=own).tolist() == [2.0, 0.0]
    assert rule(own.repeat(4, 1), own=own).tolist() == [2.0, 0.0]
    with pytest.raises(robust.InputError, match="own="):
        rule(own[None])


def test_copies_of_own_are_as_good_as_own() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    rule = robust.create("reputation", byzantine_count=0)
    shares = rule.aggregate(vectors, own=vectors[0]).coefficients
    assert shares[0] == shares[1] == shares[2] > shares[3]


def test_row_too_long_or_too_short_agrees_with_nothing() -> None:
    vectors = torch.ones(5, 3)
    for scale in (3.9, 4.1, 0.26, 0.24):
        vectors[4] = scale
        is_usual = 0.25 < scale < 4.0
        found = agreements(vectors, own=vectors[0], byzantine_count=1)
        assert found == pytest.approx((1.0, 1.0, 1.0, 1.0, float(is_usual)))


def test_zero_row_agrees_with_nothing() -> None:
    vectors = torch.eye(3)[torch.tensor([0, 0, 0, 0, 1])]
    vectors[4] = 0.0
    assert agreements(vectors, own=vectors[0], byzantine_count=1)[4] == 0.0
    assert agreements(vectors * 0.0, own=vectors[4], byzantine_count=1) == (0.0,) * 5


def test_gram_takes_the_place_of_the_vectors() -> None:
    vectors = torch.randn(6, 40, generator=torch.Generator().manual_seed(1)) + 0.5
    by_vectors = agreements(vectors, own=vectors[2], byzantine_count=1)
    gram = vectors.double() @ vectors.double().T
    by_gram = agreements(vectors, own=vectors[2], byzantine_count=1, gram=gram)
    assert by_gram == pytest.approx(by_vectors)
    rule = robust.create("reputation", byzantine_count=1)
    result = rule(vectors, own=vectors[2], gram=gram)
    torch.testing.assert_close(result, rule(vectors, own=vectors[2]))


def test_long_rows_and_short_rows_are_measured() -> None:
    vectors = torch.randn(6, 40, generator=torch.Generator().manual_seed(1)) + 0.5
    usual = agreements(vectors, own=vectors[2], byzantine_count=1)
    for scale in (1e30, 1e-30):
        scaled = vectors * scale
        assert agreements(scaled, own=scaled[2], byzantine_count=1) == pytest.approx(usual)


def test_behind_a_pre_aggregation() -> None:
    vectors = torch.randn(9, 40, generator=torch.Generator().manual_seed(1)) + 1.0
    vectors[8] = -vectors[0]
    rule = robust.create("nnm+reputation", byzantine_count=1)
    result = rule.aggregate(vectors, own=vectors[0])
    assert float(result.coefficients.sum()) == pytest.approx(1.0)
    assert float(result.coefficients[8]) < 0.02  # a part of what little is left of its own row


def test_moving_the_origin_changes_angles() -> None:
    vectors = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    near = agreements(vectors, own=vectors[0], byzantine_count=1)
    far = agreements(vectors + 9.0, own=vectors[0] + 9.0, byzantine_count=1)
    assert min(far) > 0.9 > max(near)


@pytest.mark.parametrize("count", [-1, 1.0, True])
def test_wrong_count_is_refused(count: object) -> None:
    with pytest.raises(robust.RuleError, match="byzantine_count"):
        agreements(torch.ones(3, 2), own=torch.ones(2), byzantine_count=count)


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 12), f=st.integers(0, 5))
def test_order_of_rows_does_not_matter(seed: int, n: int, f: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n, 17, generator=generator)
    order = torch.randperm(n, generator=generator)
    keys = list(range(n))
    found = agreements(vectors, own=vectors[0], byzantine_count=f, keys=keys)
    shuffled = agreements(vectors[order], own=vectors[0], byzantine_count=f, keys=order.tolist())
    assert shuffled == tuple(found[row] for row in order.tolist())
    assert all(0.0 <= value <= 1.0 for value in found)


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), scale=st.floats(0.5, 2.0))
def test_row_has_no_say_in_its_own_agreement(seed: int, scale: float) -> None:
    vectors = torch.randn(8, 17, generator=torch.Generator().manual_seed(seed)) + 0.3
    before = agreements(vectors, own=vectors[0], byzantine_count=2)
    vectors[7] *= scale  # within the allowed lengths
    after = agreements(vectors, own=vectors[0], byzantine_count=2)
    norms = vectors.norm(dim=1)
    if bool(((norms > norms.median() / 2.5) & (norms < norms.median() * 2.5)).all()):
        assert after == pytest.approx(before, abs=1e-6)


def collude(cosine: float, length: float, seed: int = 0) -> Tensor:
    """Make honest rows with this cosine between any two, and liars that are all against them.

    Liars send minus the honest mean at `length` times the usual length.
    """
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(DIMENSION, generator=generator)
    noise = torch.randn(HONEST, DIMENSION, generator=generator)
    honest = cosine**0.5 * common + (1 - cosine) ** 0.5 * noise
    mean = honest.mean(dim=0)
    lie = -mean / mean.norm() * honest.norm(dim=1).mean() * length
    return torch.cat((honest, lie.expand(LIARS, -1)))


def cosines_to(center: Tensor, vectors: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(vectors, center[None]).clamp_min(0.0)


@pytest.mark.parametrize("cosine", [0.5, 0.2])
@pytest.mark.parametrize("length", [0.3, 1.0, 3.5])
def test_colluders_agree_with_nobody_and_silence_nobody(cosine: float, length: float) -> None:
    vectors = collude(cosine, length)
    found = agreements(vectors, own=vectors[0], byzantine_count=LIARS)
    assert max(found[HONEST:]) == 0.0
    assert min(found[:HONEST]) > cosine / 2
    result = robust.create("reputation", byzantine_count=LIARS)(vectors, own=vectors[0])
    mean = vectors[:HONEST].mean(dim=0)
    assert float(torch.nn.functional.cosine_similarity(result, mean, dim=0)) > 0.9


def test_colluders_are_the_mean_of_the_paper() -> None:
    # The negative control: at 3.5 times the usual length, the reference is theirs.
    vectors = collude(0.5, 3.5)
    found = cosines_to(vectors.mean(dim=0), vectors)
    assert float(found[HONEST:].min()) > 0.99
    assert float(found[:HONEST].max()) == 0.0


@pytest.mark.parametrize("name", ["trimmed-mean", "geometric-median"])
def test_colluders_are_the_robust_center_of_rows_that_differ(name: str) -> None:
    # Why the reference is no center at all: honest rows with cosines of 0.2 are far from each
    # other and the liars close together. Leaving out the row in question does not help.
    vectors = collude(0.2, 1.0)
    rule = robust.create(name, byzantine_count=LIARS)
    for row in range(HONEST):
        others = torch.cat((vectors[:row], vectors[row + 1 :]))
        assert float(cosines_to(rule(others), vectors[row : row + 1])) < 0.05


def ledger_among_colluders(measure: str) -> tuple[float, float, set[str]]:
    """Return the mass of the honest and of the liars after 30 rounds, and who was ever banned."""
    ledger = ReputationLedger()
    peers = [f"honest {row}" for row in range(1, HONEST)] + [f"liar {row}" for row in range(LIARS)]
    banned = set()
    for index in range(30):
        vectors = collude(0.5, 3.5, seed=index)
        if measure == "agreements":
            found = list(agreements(vectors, own=vectors[0], byzantine_count=LIARS))
        else:
            found = cosines_to(vectors.mean(dim=0), vectors).tolist()
        observations = [Observation(agreement=value) for value in found[1:]]
        ledger.observe(index, dict(zip(peers, observations, strict=True)))
        banned |= {peer for peer in peers if ledger.is_banned(peer, index)}
    masses = list(ledger.masses(29, peers).values())
    return sum(masses[: HONEST - 1]), sum(masses[HONEST - 1 :]), banned


def test_ledger_gives_colluders_nothing_and_bans_them() -> None:
    honest_mass, liars_mass, banned = ledger_among_colluders("agreements")
    assert honest_mass > 0.8
    assert liars_mass == 0.0
    assert banned == {f"liar {row}" for row in range(LIARS)}


def test_ledger_fed_with_cosines_to_the_mean_belongs_to_colluders() -> None:
    honest_mass, liars_mass, banned = ledger_among_colluders("cosine to the mean")
    assert honest_mass == 0.0
    assert liars_mass > 0.8
    # At least, a third of a median of 0 bans nobody.
    assert banned == set()
