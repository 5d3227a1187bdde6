"""Vectors worked by hand, one story per rule. Never edited, only added to."""

import pytest
import torch

import robust


def test_mean() -> None:
    # Columns: (1 + 2 + 6) / 3 = 3 and (0 + 4 - 1) / 3 = 1.
    vectors = torch.tensor([[1.0, 0.0], [2.0, 4.0], [6.0, -1.0]])
    result = robust.create("mean").aggregate(vectors)
    torch.testing.assert_close(result.vector, torch.tensor([3.0, 1.0]))
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_mean_with_weights() -> None:
    # Weights 1 : 2 : 1 become 1/4, 1/2, 1/4. Columns: 1/4 + 1 + 3/2 = 2.75 and 2 - 1/4 = 1.75.
    vectors = torch.tensor([[1.0, 0.0], [2.0, 4.0], [6.0, -1.0]])
    result = robust.create("mean").aggregate(vectors, weights=[1.0, 2.0, 1.0])
    assert result.vector.tolist() == [2.75, 1.75]
    assert result.coefficients.tolist() == [0.25, 0.5, 0.25]


def test_trimmed_mean() -> None:
    # f = 1 of 5. First column sorted: -9 | 1, 2, 3 | 100, mean 2. Second: 0 | 1, 4, 4 | 5, mean 3.

    vectors = torch.tensor([[1.0, 5.0], [2.0, 4.0], [-9.0, 0.0], [3.0, 1.0], [100.0, 4.0]])
    result = robust.create("trimmed-mean", byzantine_count=1).aggregate(vectors)
    torch.testing.assert_close(result.vector, torch.tensor([2.0, 3.0]))
    # Of 3 kept values in each of 2 columns: 1, 2, 0, 2 and 1.
    assert result.coefficients.tolist() == pytest.approx([1 / 6, 2 / 6, 0.0, 2 / 6, 1 / 6])


def test_trimmed_mean_shares_ties() -> None:
    # f = 1 of 4, one column: 0 | 0, 0 | 8. Dropped are one of the zeros and the 8, kept are two of
    # three zeros: each counts for 2/3 of a value, of 2 values kept, which is 1/3.
    vectors = torch.tensor([[0.0], [8.0], [0.0], [0.0]])
    result = robust.create("trimmed-mean", byzantine_count=1).aggregate(vectors)
    assert result.vector.tolist() == [0.0]
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 0.0, 1 / 3, 1 / 3])


def test_trimmed_mean_shares_ties_at_both_ends() -> None:
    # f = 2 of 7: 1, 1 | 1, 2, 3 | 3, 3, mean 2. Of 3 kept values the 2 is one, and of the three
    # ones and the three threes one is kept each: 1/3 of a value apiece, which is 1/9.
    vectors = torch.tensor([[3.0], [1.0], [1.0], [2.0], [3.0], [1.0], [3.0]])
    result = robust.create("trimmed-mean", byzantine_count=2).aggregate(vectors)
    torch.testing.assert_close(result.vector, torch.tensor([2.0]))
    ninth = 1 / 9
    expected = [ninth, ninth, ninth, 3 * ninth, ninth, ninth, ninth]
    assert result.coefficients.tolist() == pytest.approx(expected)


def test_median_of_odd_count() -> None:
    # Sorted columns: -4, 1, 7 and 0, 2, 9.
    vectors = torch.tensor([[7.0, 2.0], [-4.0, 9.0], [1.0, 0.0]])
    result = robust.create("median", byzantine_count=1).aggregate(vectors)
    assert result.vector.tolist() == [1.0, 2.0]
    assert result.coefficients.tolist() == [0.5, 0.0, 0.5]


def test_median_of_even_count_is_the_mean_of_the_middle_two() -> None:
    # Sorted: 0, 1, 4, 50: (1 + 4) / 2, where torch.median would say 1.
    vectors = torch.tensor([[4.0], [0.0], [50.0], [1.0]])
    result = robust.create("median", byzantine_count=1).aggregate(vectors)
    assert result.vector.tolist() == [2.5]
    assert result.coefficients.tolist() == [0.5, 0.0, 0.0, 0.5]


def test_self_centered_clipping() -> None:
    # Own 0; the others at distances 5, 10 and 20. f = 1: the radius is the second largest, 10, and
    # (0, 20) becomes (0, 10). A quarter of each: ((3 + 6 + 0) / 4, (4 + 8 + 10) / 4).
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [0.0, 20.0]])
    rule = robust.create("self-centered-clipping", byzantine_count=1)
    result = rule.aggregate(vectors, own=vectors[0])
    torch.testing.assert_close(result.vector, torch.tensor([2.25, 5.5]))
    # The clipped row has half of its quarter, and the other half is own's.
    assert result.coefficients.tolist() == pytest.approx([0.25, 0.25, 0.25, 0.125])
    assert result.own_coefficient == pytest.approx(0.125)


def test_self_centered_clipping_with_radius_and_weights() -> None:
    # Own (1, 1), radius 1, weights 1/2, 1/4, 1/4. Differences (3, 4) -> (0.6, 0.8) and (0, -1),
    # which is as long as the radius. 1 + 0.6 / 4 = 1.15 and 1 + 0.8 / 4 - 1 / 4 = 0.95.
    vectors = torch.tensor([[1.0, 1.0], [4.0, 5.0], [1.0, 0.0]])
    rule = robust.create("self-centered-clipping", byzantine_count=1, radius=1.0)
    result = rule.aggregate(vectors, own=vectors[0], weights=[0.5, 0.25, 0.25])
    torch.testing.assert_close(result.vector, torch.tensor([1.15, 0.95]))
    assert result.coefficients.tolist() == pytest.approx([0.5, 0.05, 0.25])
    assert result.own_coefficient == pytest.approx(0.2)


def test_self_centered_clipping_in_the_geometry_of_a_gram_matrix() -> None:
    # Of what the rows stand for, own is 0 and the others are 1 and 4 long: radius 1 (f = 1), so
    # the last row is scaled by 1/4. A third of each: (3 + 8 / 4) / 3 and 0.
    vectors = torch.tensor([[0.0, 0.0], [3.0, 0.0], [8.0, 0.0]])
    gram = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 16.0]])
    rule = robust.create("self-centered-clipping", byzantine_count=1)
    result = rule(vectors, own=vectors[0], gram=gram)
    torch.testing.assert_close(result, torch.tensor([5 / 3, 0.0]))


def test_count_of_liars() -> None:
    # floor(0.3 n), at least 1 from n = 3 on, at most (n - 1) // 2.
    expected = {1: 0, 2: 0, 3: 1, 4: 1, 6: 1, 7: 2, 10: 3, 20: 6}
    assert {n: robust.byzantine_count(n) for n in expected} == expected
    assert robust.byzantine_count(5, beta_max=0.49) == 2
    assert robust.byzantine_count(3, beta_max=0.0) == 1
