"""Elections on updates: which entries move, to which side, and by no more than a median."""

import pytest
import torch
from torch import Tensor

import robust
from robust.errors import RuleError
from robust.ranks.magnitudes import magnitudes_of, median_table
from robust.ranks.rank_of_update import elect_update, signed_top
from robust.rule import Rule
from robust.rules.rank_vote import RankVote
from robust.rules.update_vote import UpdateVote, signed_ballot

VOTES = ["approval", "borda", "median", "trimmed"]


def make(
    vote: str = "borda", *, f: int = 0, share: float = 0.5, prefilter: bool = False
) -> UpdateVote:
    return UpdateVote(vote=RankVote(byzantine_count=f, vote=vote, prefilter=prefilter), share=share)


def draw(rows: int, size: int = 40) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(rows))


def test_a_ballot_has_the_sign_and_the_rank_of_each_listed_entry() -> None:
    update = torch.tensor([0.5, -3.0, 0.0, 2.0, -0.1])
    assert signed_ballot(update, 3).tolist() == [2, -4, 0, 3, 0]
    assert signed_ballot(torch.zeros(3), 2).tolist() == [0, 0, 0]


def test_a_borda_vote_of_equal_weights_is_that_of_the_ballots_as_they_travel() -> None:
    rows = draw(5)
    # Whole multiples of the largest 255th, so that levels lose nothing.
    rows = (rows / rows.abs().amax(dim=1, keepdim=True) * 255).round() / 255
    tables = median_table([magnitudes_of(row, 20) for row in rows])
    expected = elect_update([signed_top(row, 20) for row in rows], tables)
    torch.testing.assert_close(make()(rows), expected)


@pytest.mark.parametrize("vote", VOTES)
@pytest.mark.parametrize("prefilter", [True, False])
def test_who_agree_stay_as_they_are(vote: str, prefilter: bool) -> None:
    row = draw(1)[0] * (torch.arange(40) % 2)  # half of the entries are listed
    result = make(vote, f=1, prefilter=prefilter).aggregate(row.expand(6, -1))
    found, expected = result.vector, row
    if vote == "approval":  # who only counts signs does not know who is larger
        found, expected = found.sign(), expected.sign()
    assert torch.equal(found, expected)
    assert float(result.coefficients.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("vote", VOTES)
def test_nothing_moves_further_than_honest_rows(vote: str) -> None:
    honest = draw(7)
    liars = draw(2) * 1e20
    update = make(vote, f=2)(torch.cat([honest, liars]))
    bound = honest.abs().sort().values.amax(dim=0)
    assert bool((update.abs().sort().values[20:] <= bound[20:]).all())
    assert int((update != 0).sum()) <= 20


@pytest.mark.parametrize("vote", VOTES)
def test_a_majority_decides_on_the_sides(vote: str) -> None:
    honest = draw(1)[0]
    update = make(vote, f=2, share=1.0)(torch.stack([honest] * 5 + [-honest * 100] * 2))
    least = int(honest.abs().argmin())  # rank 0 says nothing
    same = update.sign() == honest.sign()
    same[least] = True
    assert bool(same.all())


def test_the_prefilter_leaves_out_who_lies_apart() -> None:
    honest = draw(1)[0] + 0.1 * draw(6)
    rows = torch.cat([honest, -honest[:1] * 10])
    result = make(f=1, prefilter=True).aggregate(rows)
    assert float(result.coefficients[-1]) == 0.0
    assert torch.equal(result.vector, make()(honest))


def test_an_integrator_holds_elections_on_updates() -> None:
    def electing(rule: Rule) -> Rule:
        assert isinstance(rule, RankVote)
        return UpdateVote(vote=rule)

    row = draw(1)[0] * (torch.arange(40) % 2)
    integrator = robust.Integrator("rank-vote", norm_cap_ratio=None, electing=electing)
    rows = [robust.Row(f"peer {i}", row * (-10 if i < 2 else 1), 1 / 8) for i in range(7)]
    result = integrator.integrate(row, rows)
    assert torch.equal(result.vector, row)
    assert [verdict.weight > 0 for verdict in result.verdicts] == [False] * 2 + [True] * 5


def test_shares_are_those_of_the_ballots_that_count() -> None:
    rows, weights = draw(3), [3.0, 1.0, 1.0]
    for vote in ("approval", "borda"):
        shares = make(vote).aggregate(rows, weights=weights).coefficients.tolist()
        assert shares == pytest.approx([0.6, 0.2, 0.2])
    # Of the middle alone it is the row whose ballots lie between those of the others.
    between = torch.stack([rows[0], rows[0], -rows[0]])
    shares = make("median", f=1).aggregate(between).coefficients.tolist()
    assert shares[0] == shares[1] > shares[2]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(RuleError, match="share"):
        make(share=share)
