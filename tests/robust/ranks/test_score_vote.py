"""Elections among vectors of scores: only orders count, layer by layer, inside an integrator."""

import pytest
import torch
from torch import Tensor

import robust
from robust.errors import InputError, RuleError
from robust.ranks.codec import RankCodec
from robust.ranks.codecs import Levels, PackedRanks, TopIds
from robust.ranks.layer import RankedLayer
from robust.ranks.ranking import ranks_of
from robust.rule import Rule
from robust.rules.rank_vote import RankVote
from robust.rules.score_vote import ScoreVote

# The rankings of three voters and what they elect: Mozaffari et al. 2023, figure 2.
RANKINGS = torch.tensor([[5, 3, 0, 4, 2, 1], [4, 5, 0, 2, 1, 3], [1, 5, 0, 3, 2, 4]])
ELECTED = torch.tensor([4, 5, 0, 3, 1, 2])
LAYER = RankedLayer.of(6, fan_in=3)


def make(vote: str = "borda", *, f: int = 0, ballots: RankCodec | None = None) -> ScoreVote:
    return ScoreVote(
        vote=RankVote(byzantine_count=f, vote=vote, prefilter=False),
        layers=(LAYER, LAYER),
        origin=torch.linspace(-1.0, 1.0, 12),
        ballots=ballots or PackedRanks(),
    )


def rows(rankings: Tensor, rule: ScoreVote) -> Tensor:
    """Stand the rankings in both layers, upside down in the second."""
    both = torch.cat([LAYER.scores(rankings), LAYER.scores(5 - rankings)], dim=1)
    return both - rule.origin


def test_scores_of_ranks_are_exact_and_reach_the_bound_of_kaiming() -> None:
    layer = RankedLayer.of(1000, fan_in=64)
    scores = layer.scores(torch.arange(1000))
    assert torch.equal(scores / layer.step, torch.arange(1000.0))
    assert 0.99 / 8 <= float(scores.max()) < 2 / 8
    origin = scores.flip(0)
    assert torch.equal((scores - origin) + origin, scores)


@pytest.mark.parametrize("size", [0, 2**24 + 1])
def test_a_layer_whose_ranks_are_not_exact_is_refused(size: int) -> None:
    with pytest.raises(RuleError, match=f"size={size}"):
        RankedLayer(size=size, step=1.0)


def test_each_layer_has_its_own_election() -> None:
    rule = make()
    scores = rule(rows(RANKINGS, rule)) + rule.origin
    first, second = scores.split(6)
    assert torch.equal(ranks_of(first), ELECTED)
    # Edges 0 and 3 do not tie upside down either, so that the vote is the reverse.
    assert torch.equal(ranks_of(second), 5 - ELECTED)


def test_shares_in_layers_count_by_their_sizes() -> None:
    # The prefilter leaves out the fifth in the layer of six and the fourth in that of two.
    wide, narrow = RankedLayer.of(6, fan_in=3), RankedLayer.of(2, fan_in=3)
    voters = [torch.arange(6)] * 4 + [torch.arange(6).flip(0)]
    pairs = [torch.arange(2)] * 3 + [torch.arange(2).flip(0), torch.arange(2)]
    given = torch.stack(
        [
            torch.cat([wide.scores(one), narrow.scores(two)])
            for one, two in zip(voters, pairs, strict=True)
        ]
    )
    rule = ScoreVote(vote=RankVote(byzantine_count=1), layers=(wide, narrow), origin=torch.zeros(8))
    shares = rule.aggregate(given).coefficients.tolist()
    assert shares == pytest.approx([0.25] * 3 + [0.25 * 6 / 8, 0.25 * 2 / 8])


def test_only_the_order_of_a_row_counts() -> None:
    rule = make()
    given = rows(RANKINGS, rule)
    scaled = (given + rule.origin) * torch.tensor([[1.0], [1e6], [1e-3]]) - rule.origin
    assert torch.equal(rule(scaled), rule(given))


@pytest.mark.parametrize("vote", ["approval", "borda", "median", "trimmed"])
def test_who_agree_elect_what_they_say(vote: str) -> None:
    rule = make(vote, f=1)
    given = rows(RANKINGS[:1].expand(4, -1), rule)
    result = rule.aggregate(given)
    if vote != "approval":  # who only approves gives no order among the best
        assert torch.equal(result.vector + rule.origin, given[0] + rule.origin)
    assert result.coefficients.tolist() == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("ballots", [Levels(2), TopIds(0.5)])
def test_the_own_row_says_no_more_than_those_that_travelled(ballots: RankCodec) -> None:
    rule = make(ballots=ballots)
    given = rows(RANKINGS, rule)
    poorer = torch.cat(
        [
            LAYER.scores(torch.stack([ranks_of(ballots.ballot(row)) for row in part]))
            for part in (RANKINGS, 5 - RANKINGS)
        ],
        dim=1,
    )
    assert torch.equal(rule(given), rule(poorer - rule.origin))


def test_levels_cannot_be_asked_who_is_among_the_best() -> None:
    with pytest.raises(RuleError, match="approval"):
        make("approval", ballots=Levels(1))


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match="13 scores"):
        ScoreVote(vote=RankVote(byzantine_count=0), layers=(LAYER,), origin=torch.zeros(13))(
            torch.zeros(3, 13)
        )
    # What no layer covers would be whatever was in memory.
    for length in (4, 9):
        with pytest.raises(InputError, match=f"{length} scores: the layers have 6"):
            ScoreVote(vote=RankVote(byzantine_count=0), layers=(LAYER,), origin=torch.zeros(6))(
                torch.zeros(3, length)
            )


def electing(rule: Rule) -> Rule:
    assert isinstance(rule, RankVote)
    return ScoreVote(vote=rule, layers=(LAYER, LAYER), origin=torch.linspace(-1.0, 1.0, 12))


def integrate(honest: int, liars: int, **params: object) -> Tensor:
    """Integrate liars that reverse what all honest peers say, and return the elected ranks."""
    integrator = robust.Integrator(
        "rank-vote", norm_cap_ratio=None, electing=electing, params=params
    )
    said = torch.cat([ELECTED, ELECTED])
    origin = torch.linspace(-1.0, 1.0, 12)
    truth, lie = (torch.cat([LAYER.scores(it)] * 2) - origin for it in (ELECTED, 5 - ELECTED))
    given = [truth] * (honest - 1) + [lie * 1.0] * liars
    result = integrator.integrate(
        truth,
        [robust.Row(f"peer {i}", row, 1.0 / (honest + liars)) for i, row in enumerate(given)],
    )
    assert not result.kept_own
    assert len(said) == len(result.vector)
    return ranks_of((result.vector + origin)[:6])


@pytest.mark.parametrize("vote", ["borda", "median", "trimmed"])
def test_an_integrator_holds_elections(vote: str) -> None:
    assert torch.equal(integrate(7, 3, vote=vote), ELECTED)


def test_the_robust_budget_is_that_of_the_integrator() -> None:
    # With f = floor(0.3 * 10) = 3, each edge loses its 3 lowest and 3 highest ranks.
    integrator = robust.Integrator("rank-vote", electing=electing)
    row = torch.zeros(12)
    given = [robust.Row(f"peer {i}", row, 0.1) for i in range(9)]
    assert integrator.integrate(row, given).byzantine_count == 3


def test_a_peer_without_mass_has_no_vote() -> None:
    integrator = robust.Integrator("rank-vote", norm_cap_ratio=None, electing=electing)
    origin = torch.linspace(-1.0, 1.0, 12)
    own, other = (torch.cat([LAYER.scores(it)] * 2) - origin for it in (ELECTED, 5 - ELECTED))
    row = robust.Row("other", other, 0.5)
    result = integrator.integrate(own, [row, robust.Row("same", own, 0.1)], mass_caps={"other": 0})
    assert torch.equal(result.vector, own)


@pytest.mark.parametrize("mass_caps", [{}, {"peer 0": 0.1}])
def test_an_integrator_tells_what_the_election_could_not_do(
    mass_caps: dict[str, float] | None,
) -> None:
    integrator = robust.Integrator("rank-vote", norm_cap_ratio=None, electing=electing)
    row = torch.zeros(12)
    few = [robust.Row(f"peer {i}", row, 0.2) for i in range(3)]
    result = integrator.integrate(row, few, mass_caps=mass_caps)
    assert not result.kept_own
    assert "4 voters are fewer than 5" in result.note


def test_rankings_are_voted_on_and_not_mixed() -> None:
    with pytest.raises(RuleError, match="use rank-vote"):
        robust.Integrator("mean", electing=electing)
    with pytest.raises(RuleError, match="electing="):
        robust.Integrator("rank-vote")
