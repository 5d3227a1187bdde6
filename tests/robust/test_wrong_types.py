"""Everything public, given arguments of wrong types: an error of robust's, or a result."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Any

import pytest
import torch

import robust
from robust import registry
from robust.bristle.shards import draw_shards, score_of_loss
from robust.bristle.weights import certainty, influence, score, weigh
from robust.ranks import votes
from robust.reputation.copies import find_copies
from robust.reputation.groups import address_block, clique_names
from robust.reputation.quotas import entry_count, is_served

HUGE = 10**5000  # which Python refuses to write
WRONG: dict[str, Any] = {
    "text": "x",
    "None": None,
    "minus one": -1,
    "NaN": math.nan,
    "infinity": math.inf,
    "huge": HUGE,
    "fraction": 2.5,
    "true": True,
    "list of None": [None],
    "list of huge": [HUGE],
    "mapping to text": {"anna": "x"},
    "mapping to None": {"anna": None},
    "mapping to huge": {"anna": HUGE},
    "mapping from None": {None: 0.5},
    "mapping from a number": {3: 0.5},
}

OWN = torch.ones(3)
ROWS = [robust.Row(name, torch.full((3,), 1.1)) for name in ("anna", "bert", "carl")]
SEEN = robust.Observation(agreement=0.5)


def ledger() -> robust.ReputationLedger:
    made = robust.ReputationLedger()
    made.observe(0, {"anna": SEEN, "bert": SEEN})
    return made


def first(vectors: torch.Tensor) -> torch.Tensor:
    return vectors[0]


def gate() -> robust.LossGate:
    made = robust.LossGate(7)
    made.record(0, {"anna": 0.1, "bert": -0.1})
    return made


def norm_gate() -> robust.NormGate:
    made = robust.NormGate()
    made.admit("anna", 1.0, own_norm=1.0)
    return made


def on(make: Callable[[], Any], method: str) -> Callable[..., Any]:
    """Return a method of a new object each time: a wrong call may not spoil the next."""
    return lambda **given: getattr(make(), method)(**given)


rule = partial(robust.create, "krum", byzantine_count=0)
drawing = partial(robust.DistancePrioritizer, seed=7)
BALLOTS = torch.tensor([[0, 1, 2], [2, 1, 0], [0, 2, 1]])
VECTORS = torch.arange(12.0).reshape(4, 3)
RULE_CALL = {
    "vectors": VECTORS,
    "own": VECTORS[0],
    "weights": [0.25] * 4,
    "keys": ["a", "b", "c", "d"],
    "gram": VECTORS @ VECTORS.T,
}

# What is called, as robust's public names spell it -> how, and arguments with which it works. Each
# of these is replaced by each wrong value in turn.
CALLS: dict[str, tuple[Callable[..., Any], Mapping[str, Any]]] = {
    "DistancePrioritizer": (robust.DistancePrioritizer, {"seed": 7}),
    "DistancePrioritizer.select": (
        on(drawing, "select"),
        {"distances": {"anna": 1.0, "bert": 2.0}, "round": 0},
    ),
    "Integrator": (robust.Integrator, {"seed": 7}),
    "Integrator.integrate": (
        on(robust.Integrator, "integrate"),
        {"own": OWN, "rows": ROWS, "genesis": OWN, "mass_caps": {}, "round": 0, "progress": 0.0},
    ),
    "LossGate": (robust.LossGate, {"seed": 7}),
    "LossGate.probes": (on(gate, "probes"), {"round_index": 1, "origins": ["anna", "bert"]}),
    "LossGate.record": (on(gate, "record"), {"round_index": 1, "gains": {"anna": 0.1, "bert": 0}}),
    "LossGate.rating": (on(gate, "rating"), {"origin": "anna"}),
    "LossGate.rejected": (on(gate, "rejected"), {"origins": ["anna", "bert"]}),
    "LossGate.snapshot": (on(gate, "snapshot"), {}),
    "LossGate.restore": (robust.LossGate.restore, {"seed": 7, "snapshot": gate().snapshot()}),
    "LossGatePolicy": (robust.LossGatePolicy, {}),
    "NormGate": (robust.NormGate, {}),
    "NormGate.admit": (on(norm_gate, "admit"), {"origin": "anna", "norm": 1.0, "own_norm": 1.0}),
    "NormGate.snapshot": (on(norm_gate, "snapshot"), {}),
    "NormGate.restore": (robust.NormGate.restore, {"snapshot": norm_gate().snapshot()}),
    "Observation": (robust.Observation, {"agreement": 0.5}),
    "ReputationLedger": (robust.ReputationLedger, {}),
    "ReputationLedger.observe": (
        on(ledger, "observe"),
        {"round_index": 1, "observations": {"anna": SEEN}},
    ),
    "ReputationLedger.reputation": (on(ledger, "reputation"), {"peer": "anna", "round_index": 1}),
    "ReputationLedger.is_banned": (on(ledger, "is_banned"), {"peer": "anna", "round_index": 1}),
    "ReputationLedger.is_on_probation": (on(ledger, "is_on_probation"), {"peer": "anna"}),
    "ReputationLedger.status": (on(ledger, "status"), {"peer": "anna", "round_index": 1}),
    "ReputationLedger.masses": (
        on(ledger, "masses"),
        {"round_index": 1, "peers": ["anna", "bert"], "groups": {"anna": ["one"]}},
    ),
    "ReputationLedger.standings": (on(ledger, "standings"), {"round_index": 1, "peers": ["anna"]}),
    "ReputationLedger.quotas": (on(ledger, "quotas"), {"round_index": 1, "peers": ["anna"]}),
    "ReputationLedger.snapshot": (on(ledger, "snapshot"), {}),
    "ReputationLedger.restore": (
        robust.ReputationLedger.restore,
        {"policy": None, "snapshot": ledger().snapshot()},
    ),
    "ReputationPolicy": (robust.ReputationPolicy, {}),
    "Row": (
        lambda **given: robust.Integrator("mean").integrate(OWN, [robust.Row(**given)]),
        {"peer": "anna", "vector": OWN, "weight": 0.5},
    ),
    "Rule.__call__": (on(rule, "__call__"), RULE_CALL),
    "Rule.aggregate": (on(rule, "aggregate"), RULE_CALL),
    "byzantine_count": (robust.byzantine_count, {"n": 4, "beta_max": 0.3}),
    "create": (robust.create, {"name": "krum", "byzantine_count": 1}),
    "names": (robust.names, {}),
    "pre_aggregation_names": (robust.pre_aggregation_names, {}),
    "register": (robust.register, {"name": "own-of-wrong-types", "combine": first}),
    # Of modules that docs/robust.md names.
    "address_block": (address_block, {"address": "192.0.2.7"}),
    "clique_names": (clique_names, {"similar_pairs": [("anna", "bert")]}),
    "draw_shards": (
        draw_shards,
        {"shard_by_sample": ["a"] * 20, "sample_count": 16, "seed": 1, "round": 0},
    ),
    "entry_count": (entry_count, {"quota": 0.5, "length": 10}),
    "find_copies": (
        find_copies,
        {"index_sets": {"anna": {1}, "bert": {1}}, "first_seen": {"anna": 0.0, "bert": 1.0}},
    ),
    "certainty": (certainty, {"scores": [0.5, 0.6]}),
    "influence": (influence, {"score": -3.0}),
    "score": (score, {"own": 0.5, "peer": 0.6}),
    "score_of_loss": (score_of_loss, {"loss_per_token": 0.7}),
    "weigh": (weigh, {"own_scores": [0.5], "peer_scores": [0.5], "overlap": 1}),
    "votes.approval": (votes.approval, {"ballots": BALLOTS, "kept_count": 1}),
    "votes.borda": (votes.borda, {"ballots": BALLOTS, "weights": [1, 2, 3]}),
    "votes.median": (votes.median, {"ballots": BALLOTS}),
    "votes.self_weights": (
        votes.self_weights,
        {"voter_count": 3, "own_voter": 0, "self_weight": 1.0},
    ),
    "votes.staleness_weight": (votes.staleness_weight, {"rounds_late": 2}),
    "votes.trimmed": (votes.trimmed, {"ballots": BALLOTS, "byzantine_count": 1}),
    "votes.whole_weights": (votes.whole_weights, {"weights": [1, 2]}),
    "is_served": (is_served, {"quota": 0.5, "round_index": 3}),
}

# What there is nothing to call of: results, which robust makes, and names alone.
NOT_CALLED = {"Aggregation", "Evaluate", "Integration", "Reason", "ReputationStatus", "Verdict"}


# What an error calls a parameter, where it is not by its name.
SAID = {
    ("create", "name"): "rule",
    ("register", "name"): "rule",
    ("register", "combine"): "rule",
    ("draw_shards", "shard_by_sample"): "shard",
}


def parameters(name: str) -> list[str]:
    """Return the parameters of a public callable, and whatever else its table gives."""
    target: Any = robust
    for part in name.split("."):
        target = getattr(target, part, None)
    signature = inspect.signature(target or CALLS[name][0])
    known = [it.name for it in signature.parameters.values() if it.kind is not it.VAR_KEYWORD]
    return [it for it in dict.fromkeys([*known, *CALLS[name][1]]) if it != "self"]


def cases() -> Iterator[Any]:
    for name in CALLS:
        for parameter in parameters(name):
            yield pytest.param(name, parameter, id=f"{name} {parameter}")


def public_calls() -> Iterator[str]:
    for name in robust.__all__:
        found = getattr(robust, name)
        is_enumeration = inspect.isclass(found) and issubclass(found, Enum | Exception)
        if name in NOT_CALLED or is_enumeration:
            continue
        if name != "Rule":  # which is no class to make objects of
            yield name
        if inspect.isclass(found):
            for method, value in vars(found).items():
                is_method = inspect.isfunction(value) or isinstance(value, classmethod)
                if is_method and (method == "__call__" or not method.startswith("_")):
                    yield f"{name}.{method}"


def test_every_public_constructor_and_method_is_tried() -> None:
    assert set(public_calls()) <= set(CALLS)


@pytest.fixture(autouse=True)
def no_rule_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


@pytest.mark.parametrize("name", CALLS)
def test_call_works_with_right_arguments(name: str) -> None:
    call, given = CALLS[name]
    call(**given)


@pytest.mark.parametrize(("name", "parameter"), list(cases()))
def test_wrong_type_is_an_error_of_robusts_or_taken(name: str, parameter: str) -> None:
    call, given = CALLS[name]
    for value in WRONG.values():
        try:
            call(**{**given, parameter: value})
        except (robust.RuleError, robust.InputError, robust.InfeasibleError) as error:
            said = SAID.get((name, parameter), parameter.removesuffix("s"))
            assert said in str(error)  # noqa: PT017
            assert len(str(error)) < 500  # noqa: PT017  # however large the value


@pytest.mark.parametrize("name", ["ubar", "bristle"])
@pytest.mark.parametrize(
    "given",
    [None, "x", 0.5, [None], ["0.5"], [HUGE], {"a": 0.5}, torch.tensor(0.5)],
    ids=lambda it: str(type(it).__name__),
)
def test_wrong_scores_are_an_error_of_who_evaluates(name: str, given: Any) -> None:
    scores = iter([[0.5], given, given, given])
    for made in (lambda _: given, lambda _: next(scores)):  # of own, and of a row
        with pytest.raises(robust.InputError, match=r"evaluate gave .* is no list of numbers"):
            robust.create(name, evaluate=made)(VECTORS, own=VECTORS[0])
