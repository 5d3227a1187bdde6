"""The integrator: what is rejected and why, what the rest is combined to, and what is said."""

import math
import re
import warnings
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from typing_extensions import override

import robust
from robust import Integrator, Reason, Row
from robust.inputs import Inputs
from robust.integrator import _RoundKey
from robust.rule import Aggregation, Rule

# One of each kind; tests/robust/properties tries every rule.
RULES = ("mean", "median", "monna", "nnm+trimmed-mean", "self-centered-clipping")


def make_rows(*vectors: list[float]) -> list[Row]:
    return [Row(f"peer {index}", torch.tensor(vector)) for index, vector in enumerate(vectors)]


def strided_nested_tensor() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are a prototype
        return torch.nested.nested_tensor([torch.ones(2)])


def quantized_tensor() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are going away
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


def reasons(integration: robust.Integration) -> dict[bytes | str, Reason]:
    return {verdict.peer: verdict.reason for verdict in integration.verdicts}


def weights(integration: robust.Integration) -> dict[bytes | str, float]:
    return {verdict.peer: verdict.weight for verdict in integration.verdicts}


def test_honest_rows_are_integrated_and_accounted_for() -> None:
    # n = 4, f = 1. Columns 0, 1, 2, 3 and 1, 1, 1, 5: the middle two give 1.5 and 1.
    own = torch.tensor([0.0, 1.0])
    rows = make_rows([1.0, 1.0], [2.0, 1.0], [3.0, 5.0])
    integration = Integrator("trimmed-mean", norm_cap_ratio=None).integrate(own, rows)
    assert integration.vector.tolist() == [1.5, 1.0]
    assert integration.byzantine_count == 1
    assert not integration.kept_own
    assert integration.note == ""
    # Column 0 keeps rows 0 and 1; of the three ones in column 1, two are kept: 2/3 each.
    expected = {"peer 0": (1 / 2 + 1 / 3) / 2, "peer 1": (1 / 2 + 1 / 3) / 2, "peer 2": 0.0}
    assert weights(integration) == pytest.approx(expected)
    assert integration.own_weight == pytest.approx(1 / 6)


def test_gamma_is_the_part_of_the_way() -> None:
    own, rows = torch.tensor([1.0]), make_rows([5.0])
    integration = Integrator("mean", gamma=0.25).integrate(own, rows)
    # The mean of 1 and 5 is 3; a quarter of the way there from 1 is 1.5.
    assert integration.vector.tolist() == [1.5]


def test_gamma_is_the_part_of_the_way_wherever_all_began() -> None:
    own, rows, genesis = torch.tensor([1.0]), make_rows([5.0]), torch.tensor([4.0])
    integration = Integrator("mean", gamma=0.25).integrate(own, rows, genesis=genesis)
    assert integration.vector.tolist() == [1.5]


def test_mixing_weights_leave_the_rest_to_own() -> None:
    own = torch.tensor([1.0])
    rows = [Row("a", torch.tensor([2.0]), 0.25), Row("b", torch.tensor([3.0]), 0.5)]
    integration = Integrator("mean").integrate(own, rows)
    assert integration.vector.tolist() == [0.25 + 0.5 + 1.5]
    assert weights(integration) == {"a": 0.25, "b": 0.5}
    assert integration.own_weight == 0.25


def test_weights_of_a_whole_row_may_sum_to_one_by_rounding() -> None:
    rows = [Row(f"{index}", torch.tensor([2.0]), 0.1 + 1e-17) for index in range(10)]
    assert Integrator("mean").integrate(torch.tensor([1.0]), rows).own_weight == pytest.approx(0.0)


def test_mass_of_a_rejected_row_goes_to_own() -> None:
    own = torch.tensor([1.0])
    rows = [Row("a", torch.tensor([math.nan]), 0.25), Row("b", torch.tensor([3.0]), 0.5)]
    integration = Integrator("mean").integrate(own, rows)
    assert integration.vector.tolist() == [2.0]
    assert integration.own_weight == 0.5


def test_each_malformed_row_has_its_reason() -> None:
    own = torch.tensor([1.0, 1.0])
    fine = own.clone()
    rows = [
        Row("short", torch.tensor([1.0])),
        Row("flat", torch.tensor([[1.0, 1.0]])),
        Row("wide", fine.double()),
        Row("counted", torch.tensor([1, 1])),
        Row("nan", torch.tensor([1.0, math.nan])),
        Row("infinite", torch.tensor([-math.inf, 1.0])),
        Row("twice", fine),
        Row("twice", fine),
        Row("long", fine * 1e30),
        *(Row(f"fine {index}", fine) for index in range(5)),
    ]
    integration = Integrator().integrate(own, rows)
    assert reasons(integration) == {
        "short": "wrong-shape",
        "flat": "wrong-shape",
        "wide": "wrong-type",
        "counted": "wrong-type",
        "nan": "not-finite",
        "infinite": "not-finite",
        "twice": "duplicate-peer",
        "long": "norm-cap",
        **{f"fine {index}": "accepted" for index in range(5)},
    }
    assert {v.weight for v in integration.verdicts if v.reason != "accepted"} == {0.0}
    assert [v.peer for v in integration.verdicts] == sorted(reasons(integration))


# What is no dense tensor: torch can do little with it, and its shape may not even be asked for.
@pytest.mark.parametrize(
    "vector",
    [
        torch.ones(2).to_sparse(),
        torch.ones(2, device="meta"),
        torch.ones(2).to_mkldnn(),
        torch.nested.nested_tensor([[1.0, 1.0]], layout=torch.jagged),
        strided_nested_tensor(),
        quantized_tensor(),
        torch.ones(2, dtype=torch.complex64),
        None,
        [1.0, 1.0],
        b"\0" * 8,
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("observes", [False, True])
def test_what_is_no_dense_tensor_is_of_the_wrong_type(vector: Any, observes: bool) -> None:
    own = torch.ones(2)
    rows = [Row("odd", vector), Row("a", own), Row("b", own)]
    integration = Integrator(observes=observes).integrate(own, rows, genesis=torch.zeros(2))
    assert reasons(integration) == {"odd": "wrong-type", "a": "accepted", "b": "accepted"}
    assert integration.vector.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "vector", [torch.ones(1).expand(2), torch.full((2,), 1j).conj().neg().imag]
)
def test_any_way_to_lay_out_a_dense_tensor_is_read(vector: Tensor) -> None:
    integration = Integrator("mean").integrate(torch.ones(2), [Row("a", vector)])
    assert reasons(integration) == {"a": "accepted"}


def test_a_peer_that_is_there_often_is_one_voice() -> None:
    # Own, "a" and a peer ten times: three voices, each of which weighs 1/3.
    own = torch.tensor([0.0])
    rows = [Row("a", torch.tensor([3.0])), *(Row("often", torch.tensor([9.0])) for _ in range(10))]
    integration = Integrator("mean", norm_cap_ratio=None).integrate(own, rows)
    assert weights(integration) == {"a": pytest.approx(1 / 3), "often": 0.0}
    torch.testing.assert_close(integration.vector, torch.tensor([1.0]))
    # With six others they are eight voices: f = 2.
    others = [Row(name, own) for name in "abcdef"]
    assert Integrator().integrate(own, rows[1:] + others).byzantine_count == 2


def test_text_and_bytes_of_one_form_are_one_peer() -> None:
    own = torch.tensor([1.0])
    rows = [Row("a", own), Row(b"a", own), Row(b"\xff", own), Row("\ud800", own)]
    found = reasons(Integrator().integrate(own, rows))
    assert sorted(found.values()) == ["accepted", "accepted", "duplicate-peer"]


def test_difference_from_genesis_that_overflows_is_not_finite() -> None:
    own, genesis = torch.tensor([-3e38]), torch.tensor([-3e38])
    integration = Integrator("mean").integrate(own, make_rows([3e38]), genesis=genesis)
    assert reasons(integration) == {"peer 0": Reason.NOT_FINITE}


@pytest.mark.parametrize("rule", ["krum", "bridge", "nnm+trimmed-mean"])
@pytest.mark.parametrize("value", [1.0, math.nan])
def test_strangers_are_as_if_absent_whatever_they_send(rule: str, value: float) -> None:
    # Ten neighbors allow for f = 3, and eighteen would for f = 5, which krum does not bear here.
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(6, generator=generator)
    rows = [Row(f"peer {k}", torch.randn(6, generator=generator)) for k in range(10)]
    alone = Integrator(rule, norm_cap_ratio=None).integrate(own, rows)
    assert alone.byzantine_count == 3
    assert not alone.kept_own
    strangers = [Row(f"more {k}", torch.full((6,), value)) for k in range(8)]
    caps = {row.peer: 0.0 for row in strangers}
    crowd = Integrator(rule, norm_cap_ratio=None).integrate(own, rows + strangers, mass_caps=caps)
    assert crowd.byzantine_count == 3
    torch.testing.assert_close(crowd.vector, alone.vector)


MALFORMED = {
    "nan": lambda own: torch.full_like(own, math.nan),
    "shape": lambda own: own[1:],
    "type": lambda own: own.double(),
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("rule", ["trimmed-mean", "nnm+trimmed-mean", "median"])
def test_honest_peers_that_diverged_do_not_spend_the_defence(rule: str, kind: str) -> None:
    generator = torch.Generator().manual_seed(1)
    own, *honest = 1.0 + 0.1 * torch.randn(4, 50, generator=generator)
    rows = [Row(f"honest {k}", row) for k, row in enumerate(honest)]
    rows += [Row(f"diverged {k}", MALFORMED[kind](own)) for k in range(3)]
    rows += [Row(f"liar {k}", torch.full((50,), -2.0)) for k in range(3)]
    found = Integrator(rule).integrate(own, rows)
    assert found.byzantine_count == robust.byzantine_count(10) == 3
    assert 0.85 < float(found.vector.mean()) < 1.05


def test_a_peer_that_is_there_twice_does_not_lower_f() -> None:
    own = torch.ones(2)
    rows = [Row(name, own) for name in "abcdefgg"]
    assert Integrator().integrate(own, rows).byzantine_count == robust.byzantine_count(8) == 2


def test_f_is_no_more_than_half_of_the_rows_left() -> None:
    # Seven rows allow for f = 2; once three are too long, four are left, which bear f = 1.
    own = torch.ones(4)
    rows = [Row(f"peer {k}", own * (1.0 + 0.1 * k)) for k in range(3)]
    rows += [Row(f"long {k}", own * 50.0) for k in range(3)]
    found = Integrator("trimmed-mean").integrate(own, rows)
    assert [it.reason for it in found.verdicts].count(Reason.NORM_CAP) == 3
    assert found.byzantine_count == 1
    assert not found.kept_own


@pytest.mark.parametrize("value", [50.0, math.nan])
@pytest.mark.parametrize(
    ("rule", "is_kept"),
    [("krum", True), ("multi-krum", True), ("bridge", False), ("nnm+trimmed-mean", False)],
)
def test_one_of_six_that_is_turned_away_stops_rules_that_need_more_rows(
    rule: str, is_kept: bool, value: float
) -> None:
    rows = [Row(f"peer {k}", torch.ones(4) * (1.0 + 0.01 * k)) for k in range(5)]
    found = Integrator(rule).integrate(torch.ones(4), [*rows, Row("x", torch.full((4,), value))])
    assert found.byzantine_count == 2
    assert found.kept_own is is_kept


def test_own_is_kept_when_no_row_is_left() -> None:
    own = torch.tensor([1.0, 2.0])
    integration = Integrator().integrate(own, make_rows([math.nan, 0.0], [1.0]))
    assert torch.equal(integration.vector, own)
    assert integration.vector.data_ptr() != own.data_ptr()
    assert integration.kept_own
    assert "no neighbor's row was left" in integration.note
    assert integration.own_weight == 1.0
    assert integration.byzantine_count == 0


@pytest.mark.parametrize(("observes", "is_told"), [(False, True), (True, False)])
def test_masses_without_observations_say_what_was_forgotten(observes: bool, is_told: bool) -> None:
    ledger, rows = robust.ReputationLedger(), make_rows([1.0, 2.0], [1.0, 2.1])
    caps = ledger.masses(0, [row.peer for row in rows])
    result = Integrator(observes=observes).integrate(torch.ones(2), rows, mass_caps=caps)
    assert ("make the Integrator with observes=True" in result.note) is is_told


def test_own_is_kept_without_neighbors() -> None:
    integration = Integrator().integrate(torch.tensor([1.0]), [])
    assert integration.kept_own
    assert integration.verdicts == ()


def test_own_is_kept_when_a_given_rule_bears_fewer_liars() -> None:
    own = torch.tensor([1.0])
    rule = robust.create("trimmed-mean", byzantine_count=2)
    integration = Integrator(rule).integrate(own, make_rows([2.0], [3.0]))
    assert integration.vector.tolist() == [1.0]
    assert integration.kept_own
    assert "needs 5 rows, got 3" in integration.note
    assert integration.byzantine_count == 2
    assert reasons(integration) == dict.fromkeys(["peer 0", "peer 1"], Reason.NOT_INTEGRATED)
    assert weights(integration) == {"peer 0": 0.0, "peer 1": 0.0}


@dataclass(frozen=True)
class Exploding(Rule):
    """A third party's rule with a mistake in it."""

    byzantine_count: int = 0

    @property
    @override
    def rows_min(self) -> int:
        return 1

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        return inputs.vectors[0] * math.inf

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        return Aggregation(vector=self._vector(inputs), coefficients=torch.tensor([0.5, 0.5]))


def test_own_is_kept_when_the_result_is_not_finite() -> None:
    integration = Integrator(Exploding()).integrate(torch.tensor([1.0]), make_rows([2.0]))
    assert integration.vector.tolist() == [1.0]
    assert "beyond the range of torch.float32" in integration.note


def test_norm_cap_is_relative_to_genesis() -> None:
    # Seen from zero all rows are about 100 long; seen from genesis one has moved 40 times as far.
    genesis = torch.tensor([100.0, 0.0])
    own = torch.tensor([100.0, 1.0])
    rows = make_rows([100.0, -1.0], [101.0, 0.0], [100.0, 40.0])
    from_zero = Integrator("mean").integrate(own, rows)
    assert set(reasons(from_zero).values()) == {Reason.ACCEPTED}
    from_genesis = Integrator("mean").integrate(own, rows, genesis=genesis)
    assert reasons(from_genesis)["peer 2"] == Reason.NORM_CAP
    # Rejected, not clipped: own has its own quarter and the rejected one.
    torch.testing.assert_close(from_genesis.vector, torch.tensor([100.25, 0.25]))


def test_row_at_the_cap_is_accepted() -> None:
    rows = make_rows([1.0], [3.0], [3.1])
    mean = Integrator("mean")
    found = reasons(mean.integrate(torch.tensor([1.0]), [rows[0], rows[1]]))
    assert found["peer 1"] == Reason.ACCEPTED
    found = reasons(mean.integrate(torch.tensor([1.0]), [rows[0], rows[2]]))
    assert found["peer 2"] == Reason.NORM_CAP


def test_fresh_network_has_no_scale_to_reject_by() -> None:
    # Only one peer has trained. The median drift is zero, and its row is not a lie for that.
    own = torch.tensor([5.0])
    rows = make_rows([5.0], [6.0])
    integration = Integrator("mean").integrate(own, rows, genesis=torch.tensor([5.0]))
    assert set(reasons(integration).values()) == {Reason.ACCEPTED}


def test_newcomer_with_one_neighbor_catches_up() -> None:
    # Of two rows neither is a majority; own has not moved, the neighbor has.
    own, genesis = torch.tensor([0.5]), torch.tensor([0.0])
    integration = Integrator().integrate(own, make_rows([100.0]), genesis=genesis)
    assert reasons(integration) == {"peer 0": Reason.ACCEPTED}


def test_own_row_is_never_rejected() -> None:
    own = torch.tensor([1000.0])
    integration = Integrator("mean").integrate(own, make_rows([1.0], [1.0], [1.0]))
    assert integration.own_weight == 0.25


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_short_types_are_integrated_as_float32(dtype: torch.dtype) -> None:
    genesis = torch.tensor([3.0, 5.0], dtype=dtype)
    own = torch.tensor([3.0, 6.0], dtype=dtype)
    rows = [Row("a", torch.tensor([4.0, 5.0], dtype=dtype))]
    integration = Integrator("mean").integrate(own, rows, genesis=genesis)
    assert integration.vector.dtype == dtype
    assert integration.vector.tolist() == [3.5, 5.5]


def test_vectors_with_gradients_are_read_and_not_tracked() -> None:
    own = torch.tensor([1.0]).requires_grad_()
    assert not Integrator().integrate(own, make_rows([2.0], [3.0])).vector.requires_grad
    assert not Integrator().integrate(own, []).vector.requires_grad


@pytest.mark.parametrize("rule", ["bucketing+median", "nnm+bucketing+median"])
def test_a_rule_that_draws_needs_a_seed(rule: str) -> None:
    complaint = rf"rule='{re.escape(rule)}' draws and has no seed; give the Integrator seed="
    with pytest.raises(robust.RuleError, match=complaint):
        Integrator(rule)
    assert Integrator(rule, params={"seed": 0}).seed is None


def test_how_many_liars_there_are_is_no_further_parameter() -> None:
    said = "byzantine_count=0: remove it from params; f follows from beta_max"
    with pytest.raises(robust.RuleError, match=said):
        Integrator("krum", params={"byzantine_count": 0})


def test_another_seed_is_another_draw() -> None:
    own, rows = torch.tensor([0.0]), make_rows(*([float(2**i)] for i in range(8)))

    def draws(**given: object) -> list[float]:
        integrator = Integrator("bucketing+median", norm_cap_ratio=None, **given)
        return [float(integrator.integrate(own, rows, round=it).vector) for it in range(4)]

    assert draws(seed=0) == draws(seed=0)
    assert draws(seed=0) != draws(seed=1)


def test_another_round_is_another_draw() -> None:
    # Five rows make two buckets of two and one of one, whose row counts twice as much as others.
    own, rows = torch.tensor([1.0]), make_rows([1.0], [1.0], [1.0], [1.0])
    places = []
    for round in range(12):
        integration = Integrator("bucketing+mean", seed=0).integrate(own, rows, round=round)
        # Keys sort anew in each round too; the draw is among the places, of which own's is first.
        others = sorted(
            integration.verdicts, key=lambda it: _RoundKey(str(it.peer).encode(), round)
        )
        shares = [integration.own_weight, *(verdict.weight for verdict in others)]
        places.append(shares.index(max(shares)))
        assert sorted(shares) == pytest.approx([1 / 6] * 4 + [1 / 3])
    assert set(places) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_can_be_integrated_by_name(name: str) -> None:
    integration = Integrator(name).integrate(torch.ones(2), make_rows([1.0, 1.0], [1.0, 1.0]))
    torch.testing.assert_close(integration.vector, torch.ones(2))
    assert not integration.kept_own


# P13: garbage changes nothing but its own verdict.

GARBAGE = {
    "nan": lambda own: torch.full_like(own, math.nan),
    "infinite": lambda own: torch.full_like(own, math.inf),
    "long": lambda own: torch.full_like(own, 1e30),
    "overlong": lambda own: torch.full_like(own, 3e38),
    "short": lambda own: own[1:],
    "wide": lambda own: own.double(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mean", "trimmed-mean"])
@given(data=st.data())
def test_p13_garbage_changes_nothing_but_its_own_verdict(name: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 12), label="honest neighbors")
    kinds = data.draw(st.lists(st.sampled_from(sorted(GARBAGE)), max_size=count - 1))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    genesis, *vectors = 1.0 + torch.randn(count + 2, 5, generator=generator)
    own, *others = vectors
    weight = 0.9 / (count + len(kinds))
    honest = [Row(f"honest {index:02}", vector, weight) for index, vector in enumerate(others)]
    garbage = [Row(f"liar {i:02}", GARBAGE[kind](own), weight) for i, kind in enumerate(kinds)]
    rows = data.draw(st.permutations(honest + garbage))
    integration = Integrator(name).integrate(own, rows, genesis=genesis)

    liars = {verdict for verdict in integration.verdicts if verdict.peer.startswith("liar")}
    assert all(verdict.weight == 0.0 for verdict in liars)
    assert Reason.ACCEPTED not in {verdict.reason for verdict in liars}
    seen = (Reason.ACCEPTED, Reason.NOT_CHOSEN)  # by the rule
    accepted = [v.peer for v in integration.verdicts if v.reason in seen]
    expected = min(robust.byzantine_count(1 + len(rows)), len(accepted) // 2)
    assert integration.byzantine_count == expected

    # The run without them, by a rule of the same f and without a cap.
    rule = robust.create(name, byzantine_count=expected)
    left = [row for row in honest if row.peer in accepted]
    again = Integrator(rule, norm_cap_ratio=None).integrate(own, left, genesis=genesis)
    assert torch.equal(integration.vector, again.vector)
    assert integration.own_weight == again.own_weight
    total = integration.own_weight + sum(v.weight for v in integration.verdicts)
    assert total == pytest.approx(1.0)


def test_observations_tell_a_liar_from_the_others_and_need_no_weight() -> None:
    own = torch.ones(8)
    rows = [Row(f"peer {i}", torch.ones(8) + 0.1 * i) for i in range(4)]
    rows += [Row("liar", -torch.ones(8)), Row("broken", torch.full((8,), math.nan))]
    integrator = Integrator("mean", observes=True)
    found = integrator.integrate(own, rows, mass_caps={"peer 0": 0.0}).observations
    # Also the one that has no mass yet. Of the liar's voice, a fifth, f cuts one of six away.
    agreeing = {peer for peer, it in found.items() if it.agreement > 0.8}
    assert agreeing == {f"peer {i}" for i in range(4)}
    assert found["liar"].agreement == 0.0
    assert found["broken"].validity == 0.0
    assert Integrator("mean").integrate(own, rows).observations == {}


def test_ties_go_to_another_peer_in_another_round() -> None:
    peers = [bytes([number]) * 4 for number in range(8)]
    orders = {
        tuple(sorted(_RoundKey(peer, number) for peer in [b"", *peers])) for number in range(12)
    }
    assert len(orders) > 6
    assert all(order[0] == b"" for order in orders)  # the own row comes first in all of them
    assert {_RoundKey(peer, 1): 0 for peer in peers} == dict.fromkeys(peers, 0)
