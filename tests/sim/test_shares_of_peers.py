"""Shares of the peers of a scenario: who is drawn, and errors where nobody would be."""

from collections import Counter

import pytest

from p2pfed.errors import ConfigError
from sim.building import draw_faults
from sim.scenario import load_scenario
from tests.sim.short import make


def test_shares_of_peers_lie_by_lot() -> None:
    adversaries = [
        {"peer": 0, "kind": "replay"},
        {"share": 0.2, "kind": "garbage"},
        {"share": 0.1, "kind": "sign-flip", "scale": 2.0},
    ]
    world = load_scenario(
        make(topology={"name": "ring", "nodes": 20}, adversaries=adversaries)
    ).world
    liars = world.liars(seed=0)
    assert Counter(it.kind for it in liars.values()) == {"replay": 1, "garbage": 4, "sign-flip": 2}
    assert liars[0].kind == "replay"
    assert set(liars) == set(world.liars(seed=0)) != set(world.liars(seed=1))


def test_churn_may_hit_a_share_of_the_peers() -> None:
    churn = {
        "kind": "churn",
        "at_s": 0.0,
        "until_s": 200.0,
        "period_s": 1.0,
        "down_s": 1.0,
        "share": 0.5,
    }
    faults = draw_faults(load_scenario(make(faults=[churn])), 0)
    assert len({fault.peers for fault in faults}) == 2


def test_a_share_that_draws_nobody_says_how_many_peers_it_needs() -> None:
    hostile = {"adversaries": [{"kind": "garbage", "share": 0.01}]}
    with pytest.raises(ConfigError, match="draws none of 4 peers; write more, or have 51 peers"):
        load_scenario(make(**hostile))
    load_scenario(make(**hostile, topology={"name": "ring", "nodes": 51}))
    with pytest.raises(ConfigError, match="draws none of 50 peers"):
        load_scenario(make(**hostile, topology={"name": "ring", "nodes": 50}))


def test_a_share_beside_others_says_how_many_peers_it_needs() -> None:
    devices = [{"share": 0.5}, {"share": 0.1}]
    with pytest.raises(ConfigError, match="draws none of 4 peers; write more, or have 10 peers"):
        load_scenario(make(devices=devices))
    hostile = [{"peer": peer, "kind": "garbage"} for peer in range(3)]
    hostile += [{"share": 0.3, "kind": "garbage"}, {"share": 0.3, "kind": "replay"}]
    with pytest.raises(ConfigError, match="other entries leave nobody to draw"):
        load_scenario(make(adversaries=hostile))


def test_a_relay_is_not_the_one_honest_peer_that_has_to_train() -> None:
    hostile = [{"peer": peer, "kind": "garbage"} for peer in (1, 2)]
    ring = {"name": "ring", "nodes": 4, "relays": [0]}
    load_scenario(make(topology=ring, adversaries=hostile))
    for last in ({"peer": 3}, {"share": 0.25}):
        given = [*hostile, {**last, "kind": "garbage"}]
        with pytest.raises(ConfigError, match="adversaries = 3: leave at least one honest peer"):
            load_scenario(make(topology=ring, adversaries=given))
