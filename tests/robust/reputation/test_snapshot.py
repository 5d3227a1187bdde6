"""A snapshot goes through JSON and back, and nothing but a snapshot does."""

import copy
import json
from collections.abc import Callable
from inspect import signature
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust import LossGate, NormGate, Observation, ReputationLedger, ReputationPolicy, RuleError
from robust.peers import peer_key
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.snapshot import SnapshotError

peers = st.text(st.characters(codec="utf-8"), max_size=4) | st.binary(max_size=4)
rounds = st.dictionaries(peers, st.floats(0.0, 1.0), max_size=5)


def grown() -> ReputationLedger:
    ledger = ReputationLedger(genesis="digits")
    for index in range(15):
        observations = dict.fromkeys("abcd", Observation(agreement=0.8))
        ledger.observe(index, observations | {"bad": Observation(agreement=0.0)})
    return ledger


@settings(max_examples=100)
@given(history=st.lists(st.tuples(st.integers(0, 40), rounds), max_size=15))
def test_p19_restored_ledger_goes_on_as_the_old_one_would(
    history: list[tuple[int, dict[str | bytes, float]]],
) -> None:
    ledger = ReputationLedger(genesis="digits")
    for index, agreements in history:
        ledger.observe(index, {peer: Observation(agreement=it) for peer, it in agreements.items()})
    text = json.dumps(ledger.snapshot(), allow_nan=False)
    restored = ReputationLedger.restore(json.loads(text), genesis="digits")
    assert restored.snapshot() == ledger.snapshot()
    more = dict.fromkeys("abc", Observation(agreement=0.5))
    for one in (ledger, restored):
        one.observe(50, more)
    assert restored.masses(50, ["a", "b", "c"]) == ledger.masses(50, ["a", "b", "c"])
    assert json.dumps(restored.snapshot()) == json.dumps(ledger.snapshot())


def added(snapshots: list[dict[str, Any]]) -> dict[str, Any]:
    peers = {name: values for one in snapshots for name, values in one["peers"].items()}
    return {**snapshots[0], "peers": peers}


@settings(max_examples=30)
@given(history=st.lists(rounds, max_size=8))
def test_what_observing_changed_is_all_that_there_is_to_save(
    history: list[dict[str | bytes, float]],
) -> None:
    ledger = ReputationLedger(ReputationPolicy(peers_max=4), genesis="digits")
    saved = {"": ledger.snapshot()}
    for index, agreements in enumerate(history):
        seen = {peer: Observation(agreement=it) for peer, it in agreements.items()}
        for key in ledger.observe(index, seen):
            saved[peer_key(key).hex()] = ledger.snapshot([key])
        assert added(list(saved.values())) == ledger.snapshot()


@settings(max_examples=30)
@given(history=st.lists(rounds, max_size=8))
def test_what_a_round_of_probes_changed_is_all_that_there_is_to_save(
    history: list[dict[str | bytes, float]],
) -> None:
    gate = LossGate(7, LossGatePolicy(origins_max=4), genesis="digits")
    saved = {"": gate.snapshot()}
    for index, gains in enumerate(history):
        for key in gate.record(index, gains):
            saved[peer_key(key).hex()] = gate.snapshot([key])
        assert added(list(saved.values())) == gate.snapshot()


def test_a_snapshot_of_some_is_of_those_that_are_known() -> None:
    ledger = grown()
    some = ledger.snapshot(["a", b"b", "nobody"])
    assert list(some["peers"]) == [b"a".hex(), b"b".hex()]
    restored = ReputationLedger.restore(some, genesis="digits")
    assert restored.reputation("a", 15) == ledger.reputation("a", 15)


def test_restart_does_not_unban() -> None:
    ledger = grown()
    assert ledger.is_banned("bad", 15)
    restored = ReputationLedger.restore(json.loads(json.dumps(ledger.snapshot())), genesis="digits")
    assert restored.is_banned("bad", 15)
    assert restored.genesis == "digits"
    assert restored.masses(15, ["a", "bad"])["bad"] == 0.0


def test_order_of_arrival_leaves_no_trace() -> None:
    first, second = ReputationLedger(), ReputationLedger()
    first.observe(0, {"a": Observation(agreement=0.1), "b": Observation(agreement=0.2)})
    second.observe(0, {"b": Observation(agreement=0.2), "a": Observation(agreement=0.1)})
    assert json.dumps(first.snapshot()) == json.dumps(second.snapshot())


def test_policy_may_change_between_runs() -> None:
    restored = ReputationLedger.restore(
        grown().snapshot(), ReputationPolicy(peers_max=3), genesis="digits"
    )
    assert len(restored.snapshot()["peers"]) == 3
    assert restored.is_banned("bad", 15)


def test_snapshot_is_a_copy() -> None:
    ledger = grown()
    snapshot = ledger.snapshot()
    before = copy.deepcopy(snapshot)
    ledger.observe(20, {"a": Observation(agreement=0.8)})
    assert snapshot == before


def damaged(path: list[str], value: Any) -> Any:
    snapshot = json.loads(json.dumps(grown().snapshot()))
    *parents, last = path
    table = snapshot
    for name in parents:
        table = table[name]
    if value is ...:
        del table[last]
    else:
        table[last] = value
    return snapshot


A = b"a".hex()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schema"], 2),
        (["schema"], True),
        (["schema"], ...),
        (["kind"], "loss gate"),
        (["genesis"], "letters"),
        (["genesis"], None),
        (["peers"], []),
        (["peers"], ...),
        (["peers", "not hex"], {}),
        (["peers", "6 1"], {}),
        (["peers", "6A"], {}),
        (["peers", A], None),
        (["peers", A, "earned"], ...),
        (["peers", A, "extra"], 1),
        (["peers", A, "earned"], 1.5),
        (["peers", A, "earned"], float("nan")),
        (["peers", A, "earned"], "0.5"),
        (["peers", A, "agreed"], 1.0),
        (["peers", A, "observations"], -1),
        (["peers", A, "observations"], 3.0),
        (["peers", A, "strikes"], True),
        (["peers", A, "first_round"], 99),
    ],
    ids=str,
)
def test_damaged_or_foreign_snapshot_is_refused(path: list[str], value: Any) -> None:
    with pytest.raises(SnapshotError, match="snapshot: "):
        ReputationLedger.restore(damaged(path, value), genesis="digits")
    assert issubclass(SnapshotError, RuleError)


PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=True) | st.text(max_size=3)
)
JSON = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def grown_gate() -> LossGate:
    gate = LossGate(7, genesis="digits")
    for index in range(12):
        gate.record(index, {"a": -0.1, "b": 0.1, "c": 0.2})
    return gate


def grown_norm_gate() -> NormGate:
    gate = NormGate(genesis="digits")
    for name in "abc":
        gate.admit(name, 1.0, own_norm=1.0)
    return gate


# How each memory is restored, a snapshot of it, and what it is used for afterwards.
MEMORIES: dict[str, tuple[Callable[[Any], Any], dict[str, Any], Callable[[Any], object]]] = {
    "ledger": (
        lambda it: ReputationLedger.restore(it, genesis="digits"),
        grown().snapshot(),
        lambda it: [
            it.observe(20, dict.fromkeys("ab", Observation(agreement=0.5))),
            it.masses(20, ["a", "b", "c", "d", "bad"]),
            it.quotas(20, ["a", "bad"]),
        ],
    ),
    "loss gate": (
        lambda it: LossGate.restore(it, 7, genesis="digits"),
        grown_gate().snapshot(),
        lambda it: [it.record(20, {"a": 0.1, "b": 0.1}), it.rejected(["a", "b", "c"])],
    ),
    "norm gate": (
        lambda it: NormGate.restore(it, genesis="digits"),
        grown_norm_gate().snapshot(),
        lambda it: it.admit("a", 1.0, own_norm=1.0),
    ),
}


@pytest.mark.parametrize("name", MEMORIES)
@settings(max_examples=40)
@given(value=JSON, plain=PLAIN, data=st.data())
def test_any_json_is_read_or_refused(
    name: str, value: Any, plain: Any, data: st.DataObject
) -> None:
    restore, good, use = MEMORIES[name]
    states = good["peers"]
    peer = data.draw(st.sampled_from(sorted(states)))
    field = data.draw(st.sampled_from(sorted(states[peer])))
    one_wrong = {**states, peer: {**states[peer], field: plain}}
    for snapshot in (
        value,
        good | {"peers": value},
        good | {"peers": {peer: value}},
        good | {"peers": one_wrong},
    ):
        try:
            restored = restore(snapshot)
        except SnapshotError:
            continue
        assert (
            restore(json.loads(json.dumps(restored.snapshot()))).snapshot() == restored.snapshot()
        )
        use(restored)


def test_gate_goes_through_json_as_well() -> None:
    gate = LossGate(7, genesis="digits")
    for index in range(12):
        chosen = gate.probes(index, [*"abcde"])
        gate.record(index, {origin: -0.1 if origin == "a" else 0.1 for origin in chosen})
    text = json.dumps(gate.snapshot(), allow_nan=False)
    restored = LossGate.restore(json.loads(text), 7, genesis="digits")
    assert restored.snapshot() == gate.snapshot()
    assert restored.rating("a") == gate.rating("a")
    with pytest.raises(SnapshotError, match="kind"):
        ReputationLedger.restore(gate.snapshot(), genesis="digits")
    with pytest.raises(SnapshotError, match="genesis='digits', and none was given; give genesis="):
        LossGate.restore(gate.snapshot(), 7)


@pytest.mark.parametrize("kind", [ReputationLedger, LossGate, NormGate])
def test_all_memories_are_restored_from_the_snapshot_first(kind: type) -> None:
    assert next(iter(signature(kind.restore).parameters)) == "snapshot"
