"""Who speaks how loud where rows are judged by each other, and what follows from it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robust import Integrator, Reason, Row
from robust.agreement import agreements
from robust.intake import Call, find_voices
from robust.sanitizer import peer_key


def make_call(masses: dict[str, float]) -> Call:
    rows = [Row(name, torch.ones(2)) for name in masses]
    return Call(
        own=torch.ones(2),
        genesis=None,
        peers={peer_key(row.peer): row.peer for row in rows},
        accepted=rows,
        rejected={},
        weights={peer_key(row.peer): 0.1 for row in rows},
        mass_caps={peer_key(name): mass for name, mass in masses.items()},
        round=0,
        progress=0.0,
    )


def voices(masses: dict[str, float]) -> dict[str, float]:
    return {key.decode(): voice for key, voice in find_voices(make_call(masses)).items()}


def test_masses_are_voices_up_to_an_equal_share_and_own_has_the_rest() -> None:
    # Three have a mass: an equal share is a quarter.
    found = voices({"a": 0.5, "b": 0.2, "c": 0.1, "new": 0.0})
    assert found == pytest.approx({"": 0.45, "a": 0.25, "b": 0.2, "c": 0.1, "new": 0.0})
    # Own has an equal share at least.
    assert voices({"a": 0.5, "b": 0.5})[""] == pytest.approx(1 / 3)


def test_all_speak_alike_while_few_are_known() -> None:
    assert set(voices({"a": 0.1, "b": 0.1, "c": 0.0}).values()) == {1.0}
    assert voices({"a": 0.3, "b": 0.0}) == pytest.approx({"": 0.7, "a": 0.3, "b": 0.0})


def test_rows_without_a_cap_speak_by_an_equal_share() -> None:
    call = make_call(dict.fromkeys("abcd", 0.1))
    named = {peer_key("a"): 0.1, peer_key("b"): 0.0}
    found = find_voices(replace(call, mass_caps=named))
    assert found == pytest.approx({b"": 0.4, b"a": 0.1, b"b": 0.0, b"c": 0.25, b"d": 0.25})


def test_a_cap_on_one_neighbor_does_not_make_own_the_only_judge() -> None:
    rows = [Row(f"peer {k}", torch.ones(4) * (1.0 + 0.02 * k)) for k in range(6)]
    own, caps = torch.full((4,), 0.1), {"peer 0": 0.3}
    found = Integrator("mean", observes=True).integrate(own, rows, mass_caps=caps)
    assert {verdict.reason for verdict in found.verdicts} == {Reason.ACCEPTED}
    assert min(it.agreement for it in found.observations.values()) == pytest.approx(1.0)
    assert found.observations["peer 5"].norm_ratio == pytest.approx(1.0, abs=0.1)


def test_the_norm_cap_is_that_of_those_who_have_a_say() -> None:
    # Twelve newcomers with little mass send short rows: the others are no longer too long by that.
    own = torch.ones(4)
    known = [Row(f"known {k}", torch.ones(4) * (1.0 + 0.01 * k)) for k in range(5)]
    tiny = [Row(f"new {k}", torch.ones(4) * 0.01) for k in range(12)]
    caps = dict.fromkeys((row.peer for row in known), 0.13)
    caps |= dict.fromkeys((row.peer for row in tiny), 0.2 / 12)
    found = Integrator("mean").integrate(own, known + tiny, mass_caps=caps)
    reasons = {verdict.peer: verdict.reason for verdict in found.verdicts}
    assert all(reasons[row.peer] is Reason.ACCEPTED for row in known)
    alike = Integrator("mean").integrate(own, known + tiny)
    assert all(
        verdict.reason is Reason.NORM_CAP
        for verdict in alike.verdicts
        if str(verdict.peer).startswith("known")
    )


def test_inner_products_of_the_caller_decide_who_agrees() -> None:
    own = torch.tensor([1.0, 0.0])
    rows = [Row(str(second), torch.tensor([1.0, second])) for second in (5.0, -5.0, 4.0)]

    def first_entries(drifts: Tensor) -> Tensor:
        first = drifts[:, :1].double()
        return first @ first.T

    plain = Integrator("mean", norm_cap_ratio=None, observes=True).integrate(own, rows)
    given = Integrator("mean", norm_cap_ratio=None, observes=True, gram=first_entries)
    assert plain.observations["5.0"].agreement < 0.9
    assert given.integrate(own, rows).observations["5.0"].agreement == pytest.approx(1.0)


def test_lengths_beyond_float64_say_nothing() -> None:
    own = torch.full((2,), 1e200, dtype=torch.float64)
    rows = [Row(name, own * 1.1) for name in "abc"]
    found = Integrator("mean", observes=True).integrate(own, rows)
    assert found.observations == {}


def test_rows_that_are_too_long_do_not_judge_the_others() -> None:
    # Of six rows f is 1, and both liars' cosines of -1 are not cut away.
    own = torch.ones(4)
    rows = [Row(name, own.clone()) for name in "abc"]
    rows += [Row(name, own * -10.0) for name in ("liar 0", "liar 1")]
    found = Integrator("mean", observes=True).integrate(own, rows).observations
    assert [found[name].agreement for name in "abc"] == pytest.approx([1.0] * 3)
    assert found["liar 0"].agreement == 0.0


def test_as_many_are_cut_away_as_agreements_are_told_of() -> None:
    # Own and four speak, f = 1 of five, and ten are compared: 2 mean voices, not 3 as of all ten.
    generator = torch.Generator().manual_seed(0)
    drifts = 1.0 + torch.randn(10, 6, generator=generator)
    names = [f"peer {k}" for k in range(9)]
    rows = [Row(name, drift) for name, drift in zip(names, drifts[1:], strict=True)]
    caps = {name: 0.2 if k < 4 else 0.0 for k, name in enumerate(names)}
    integrator = Integrator("mean", observes=True, norm_cap_ratio=None)
    found = integrator.integrate(drifts[0], rows, mass_caps=caps).observations
    by_key = sorted(names)
    voices_of = [0.2, *(0.2 if caps[name] else 0.0 for name in by_key)]
    expected, other = (
        agreements(drifts, own=drifts[0], byzantine_count=count, voices=voices_of)[1:]
        for count in (2, 3)
    )
    assert [found[name].agreement for name in by_key] == pytest.approx(list(expected))
    assert list(expected) != pytest.approx(list(other))


def test_liars_are_a_share_of_those_who_speak_in_mean_voices_of_all() -> None:
    # Own and five speak, so that f = 1 of six. Twelve are compared: a mean voice is half of that of
    # those who speak, and to cut one liar away takes two.
    own = torch.tensor([1.0, 0.0])
    rows = [Row(f"known {k}", own.clone()) for k in range(4)] + [Row("liar", -own)]
    caps = {str(row.peer): 1 / 6 for row in rows}
    new = [Row(f"new {k}", own.clone()) for k in range(6)]
    caps |= {str(row.peer): 0.0 for row in new}
    integrator = Integrator("mean", observes=True)
    found = integrator.integrate(own, rows + new, mass_caps=caps).observations
    assert found["known 0"].agreement == pytest.approx(1.0)
