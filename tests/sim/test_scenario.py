"""Scenario files: what they may say, and errors that name the field, its value and the fix."""

import re
from pathlib import Path
from typing import Any

import pytest

import sim
import topologies
from p2pfed.errors import ConfigError
from p2pfed.messages import Role
from sim.building import draw_faults
from sim.faults import Clog, Crash, Heal, Partition, Restart, Slow
from sim.identities import identity_of
from sim.in_rounds.translation import rounds_config
from sim.links import Drawn, Latency, LinkModel
from sim.scenario import load_scenario
from tests.sim.short import make

CHURN = {
    "kind": "churn",
    "at_s": 1.0,
    "until_s": 9.0,
    "period_s": 1.0,
    "down_s": 1.0,
    "peers": [0],
}
PARTITION = {"kind": "partition", "at_s": 1.0, "groups": [[0, 1]]}
HEAL = {"kind": "heal", "at_s": 2.0}


def test_each_peer_gets_its_own_run_file() -> None:
    scenario = load_scenario(
        make(topology={"name": "k-regular", "nodes": 6, "degree": 4, "relays": [5]})
    )
    first, last = scenario.run_config(0, seed=7), scenario.run_config(5, seed=7)
    assert (first.share.index, first.share.count, first.node.role) == (0, 6, Role.TRAIN)
    assert (last.share.index, last.share.count, last.node.role) == (5, 6, Role.RELAY)
    assert first.run.seed == last.run.seed == 7
    assert scenario.world.topology.params == {"degree": 4}


def test_a_graph_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sites.txt"
    path.write_text("rome oslo\noslo lima\n", encoding="utf-8")
    table = {"name": "file", "path": str(path), "nodes": 3}
    graph = load_scenario(make(topology=table)).world.topology.create(seed=0).graph
    assert list(graph.edges) == [(0, 1), (1, 2)]
    with pytest.raises(ConfigError, match=r"topology\.nodes = 4: .*use nodes=3"):
        load_scenario(make(topology=table | {"nodes": 4}))


def test_every_shape_can_be_named() -> None:
    for name in sorted(set(topologies.names()) - {"file", "k-regular"}):
        load_scenario(make(topology={"name": name, "nodes": 16}))


def test_peers_may_differ_in_what_is_their_own() -> None:
    method = {"name": "adapter-set", "rank": 2}
    variants = [{"peers": [1, 3], "fields": {"method.rank": 8}}]
    scenario = load_scenario(make(method=method, codec={"name": "operation"}, variants=variants))
    ranks = [scenario.run_config(it, seed=0).method.constants["rank"] for it in range(4)]
    assert ranks == [2, 8, 2, 8]


def test_peers_may_not_differ_in_what_they_agree_on() -> None:
    variants = [{"peers": [1], "fields": {"run.seed": 9}}]
    with pytest.raises(ConfigError, match="peer 1 would be of another run than peer 0") as caught:
        sim.run(make(variants=variants), seed=0)
    assert (caught.value.field, caught.value.value) == ("variants.0.fields.run.seed", 9)
    assert "(seed: 9 here, 0 there)" in caught.value.fix
    assert "all peers share the tables run, method, codec and admission, and" in caught.value.fix


def test_peer_0_may_be_the_one_that_differs() -> None:
    variants = [
        {"peers": [1, 2, 3], "fields": {"training.batch_size": 8}},
        {"peers": [0], "fields": {"codec.name": "int8", "codec.block": 32, "training.threads": 1}},
    ]
    said = r"codec\.name = 'int8': peer 0 .* than peer \d \(codec\.name: .int8. here"
    with pytest.raises(ConfigError, match=rf"^variants\.1\.fields\.{said}"):
        sim.run(make(variants=variants), seed=0)


def test_peers_share_the_task_that_is_loaded_once() -> None:
    variants = [{"peers": [1], "fields": {"task.hidden_size": 16}}]
    with pytest.raises(ConfigError, match="the task is there once, for all peers") as caught:
        load_scenario(make(variants=variants))
    assert caught.value.field == "variants.0.fields.task.hidden_size"


@pytest.mark.parametrize("seed", [-1, "3", 1.5, True, None, 2**53])
def test_what_is_no_seed_is_refused_first(tmp_path: Path, seed: Any) -> None:
    folder = tmp_path / "folder"
    for run in (
        lambda: sim.run(tmp_path / "none.toml", seed=seed),
        lambda: sim.run_into(folder, make(), seed=seed),
        lambda: rounds_config(make(), seed=seed),
    ):
        with pytest.raises(ConfigError) as caught:
            run()
        assert (caught.value.field, caught.value.value) == ("seed", seed)
        assert caught.value.fix.startswith("give a whole number from 0 to")
    assert not folder.exists()


def test_an_error_about_a_peers_run_file_names_the_variant_that_caused_it() -> None:
    method = {"name": "adapter-set", "rank": 2}
    variants = [
        {"peers": [2], "fields": {"method.rank": 4}},
        {"peers": [1, 2], "fields": {"method.rank": 100}},
    ]
    scenario = load_scenario(make(method=method, codec={"name": "operation"}, variants=variants))
    with pytest.raises(ConfigError) as caught:
        sim.run(scenario)
    assert (caught.value.field, caught.value.value) == ("variants.1.fields.method.rank", 100)


def test_an_error_about_a_field_that_no_variant_sets_names_the_field_alone() -> None:
    variants = [{"peers": [1], "fields": {"training.batch_size": 4}}]
    with pytest.raises(ConfigError) as caught:
        load_scenario(make(variants=variants, schedule={"deadline_s": -1.0}))
    assert caught.value.field == "schedule.deadline_s"


def test_a_whole_table_in_a_variant_is_refused_with_a_dotted_name() -> None:
    variants = [{"peers": [1], "fields": {"method": {"rank": 2}}}]
    with pytest.raises(ConfigError) as caught:
        load_scenario(make(variants=variants))
    assert caught.value.field == "variants.0.fields.method"
    assert caught.value.fix == "write dotted names of single fields, such as method.rank: 2"


def test_a_misspelled_key_is_named_and_not_what_is_missing_instead() -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(make(variants=[{"peer": [1], "fields": {}}]))
    assert (caught.value.field, caught.value.value) == ("variants.0.peer", [1])
    assert caught.value.fix == "there is no such field, and peers is missing; write that"


def test_a_missing_key_is_named_without_the_whole_entry() -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(make(variants=[{"fields": {}}]))
    assert str(caught.value) == "variants.0.peers = None: is missing; write it"


def test_a_seed_of_the_run_is_kept() -> None:
    scenario = load_scenario(make(run={"task": "digits", "seed": 3}))
    assert scenario.run_config(0, seed=7).run.seed == 3


def test_identities_follow_from_seed_and_number() -> None:
    assert identity_of(1, 2).peer == identity_of(1, 2).peer
    assert len({identity_of(seed, index).peer for seed in range(3) for index in range(3)}) == 9
    # Real nodes may have been given it: this never changes.
    assert identity_of(0, 0).text == "12D3KooWCfqpmCwpie3iHycP6SFrraMyFJQs7m6MuWAfJ9vTPGF7"


def test_faults_are_read_and_churn_is_drawn() -> None:
    scenario = load_scenario(
        make(
            faults=[
                {"kind": "heal", "at_s": 9.0},
                {"kind": "crash", "at_s": 1.0, "peers": [1], "silent": True},
                {"kind": "restart", "at_s": 2.0, "peers": [1], "lose_disk": True},
                {"kind": "partition", "at_s": 3.0, "groups": [[0, 1]]},
                {"kind": "partition", "at_s": 3.5, "groups": [[2]], "one_way": True},
                {"kind": "slow", "at_s": 4.0, "peers": [2], "speed_ratio": 0.5},
                {"kind": "clog", "at_s": 5.0, "links": [[0, 1], [1, 0]], "for_s": 2.0},
            ]
        )
    )
    assert draw_faults(scenario, 0) == [
        Crash(at_s=1.0, peers=(1,), silent=True),
        Restart(at_s=2.0, peers=(1,), lose_disk=True),
        Partition(at_s=3.0, groups=((0, 1),)),
        Partition(at_s=3.5, groups=((2,),), one_way=True),
        Slow(at_s=4.0, peers=(2,), speed_ratio=0.5),
        Clog(at_s=5.0, links=((0, 1), (1, 0)), for_s=2.0),
        Heal(at_s=9.0),
    ]
    churn = {
        "kind": "churn",
        "at_s": 10.0,
        "until_s": 60.0,
        "period_s": 5.0,
        "down_s": 2.0,
        "peers": [0],
    }
    drawn = draw_faults(load_scenario(make(faults=[churn])), 0)
    assert drawn == draw_faults(load_scenario(make(faults=[churn])), 0)
    assert drawn != draw_faults(load_scenario(make(faults=[churn])), 1)
    assert all(10.0 < fault.at_s < 70.0 for fault in drawn)


@pytest.mark.parametrize(
    ("tables", "field"),
    [
        ({"topology": {"name": "ring", "nodes": 0}}, "topology.nodes"),
        ({"network": {"latency": 0.1}}, "network.latency"),
        ({"network": {"loss_ratio": 1.0}}, "network.loss_ratio"),
        ({"compute": {"training_s": "1"}}, "compute.training_s"),
        ({"fidelity": "frames"}, "fidelity"),
        ({"schedule": {"rounds": 3}}, "schedule.rounds"),
        ({"node": {"listen": []}}, "node"),
        ({"share": {"count": 4}}, "share.count"),
        ({"adversaries": [{"peer": 4, "kind": "garbage"}]}, "adversaries.0.peer"),
        ({"adversaries": [{"peer": 1, "kind": "unknown"}]}, "adversaries.0.kind"),
        ({"adversaries": [{"peer": 1, "kind": "replay"}] * 2}, "adversaries"),
        ({"faults": [{"kind": "crash", "at_s": 0.0, "peers": [9]}]}, "faults.0.peers"),
        ({"faults": [{"kind": "partition", "at_s": 0.0, "groups": [[0], [0]]}]}, "faults.0.groups"),
        (
            {"faults": [{"kind": "partition", "at_s": 0.0, "groups": [[]]}]},
            "faults.0.groups.0",
        ),
        ({"faults": [{"kind": "storm", "at_s": 0.0}]}, "faults.0.kind"),
        ({"topology": {"name": "torus-of-lies", "nodes": 4}}, "topology.name"),
        ({"topology": {"name": "ring", "nodes": 4, "degree": 2}}, "topology.degree"),
        ({"topology": {"name": "k-regular", "nodes": 5, "degree": 3}}, "topology.degree"),
        ({"unknown": {}}, "unknown"),
        ({"network": {"latency_distribution": "normal"}}, "network.latency_distribution"),
        ({"network": {"queue_bytes_max": 100}}, "network.queue_bytes_max"),
        ({"network": {"upload_bytes_per_s": 0.0}}, "network.upload_bytes_per_s"),
        ({"compute": {"clock_drift_ratio": 0.34}}, "compute.clock_drift_ratio"),
        # What is further from 1 makes times of which there are no nanoseconds.
        ({"until_s": 1e300}, "until_s"),
        ({"network": {"latency_s": 1e10}}, "network.latency_s"),
        ({"network": {"bandwidth_bytes_per_s": 1e-300}}, "network.bandwidth_bytes_per_s"),
        ({"availability": [{"peers": [1], "until_s": 1e300}]}, "availability.0.until_s"),
        ({"devices": [{"peers": [1], "speed_ratio": 1e-300}]}, "devices.0.speed_ratio"),
        ({"devices": [{"peers": [1], "speed_ratio": 1e7}]}, "devices.0.speed_ratio"),
        (
            {"faults": [{"kind": "slow", "at_s": 0.0, "peers": [1], "speed_ratio": 1e-300}]},
            "faults.0.speed_ratio",
        ),
        (
            {"faults": [{"kind": "clog", "at_s": 0.0, "links": [[0, 4]], "for_s": 1.0}]},
            "faults.0.links",
        ),
        ({"devices": [{"speed_ratio": 2.0}]}, "devices.0"),
        ({"devices": [{"peers": [0], "share": 0.5}]}, "devices.0"),
        ({"devices": [{"share": 0.7}, {"share": 0.4}]}, "devices.share"),
        ({"devices": [{"peers": [1]}, {"peers": [1]}]}, "devices.peers"),
        ({"devices": [{"peers": [4]}]}, "devices.0.peers"),
        ({"adversaries": [{"kind": "garbage"}]}, "adversaries.0"),
        ({"adversaries": [{"kind": "garbage", "peer": 0, "share": 0.5}]}, "adversaries.0"),
        ({"adversaries": [{"kind": "garbage", "share": 0.6}] * 2}, "adversaries.share"),
        (
            {"faults": [{"kind": "churn", "at_s": 0, "until_s": 9, "period_s": 1, "down_s": 1}]},
            "faults.0",
        ),
        ({"share": 3}, "share"),
        ({"adversaries": [{"kind": "garbage", "share": 1.0}]}, "adversaries"),
        ({"adversaries": [{"kind": "garbage", "share": 0.01}]}, "adversaries.0.share"),
        ({"devices": [{"peers": [0, 1]}, {"share": 0.2}]}, "devices.1.share"),
        ({"devices": [{"peers": [0, 1, 2, 3]}, {"share": 0.2}]}, "devices.1.share"),
        ({"devices": [{"share": 0.4}, {"share": 0.35}, {"share": 0.1}]}, "devices.2.share"),
        ({"faults": [{**CHURN, "peers": None, "share": 0.1}]}, "faults.0.share"),
        ({"topology": {"name": "line", "nodes": 2, "relays": [0, 1]}}, "topology.relays"),
        ({"faults": [{"kind": "heal", "at_s": 9.0}], "until_s": 8.0}, "faults.0.at_s"),
        (
            {"faults": [{"kind": "clog", "at_s": 0, "links": [[0, 1], [0, 2]], "for_s": 1}]},
            "faults.0.links.1",
        ),
        ({"availability": [{"from_s": 1.0}]}, "availability.0"),
        (
            {"availability": [{"peers": [1], "from_s": 2.0, "until_s": 1.0}]},
            "availability.0.until_s",
        ),
        (
            {"availability": [{"peers": [1], "from_s": 8.0}], "until_s": 8.0},
            "availability.0.from_s",
        ),
        ({"availability": [{"peers": [4]}]}, "availability.0.peers"),
        ({"availability": [{"peers": [1]}, {"peers": [1]}]}, "availability.1"),
        ({"availability": [{"path": "none.csv"}]}, "availability.0.path"),
        ({"availability": [{"path": "none.csv", "from_s": 1.0}]}, "availability.0"),
        ({"availability": [{"path": "none.csv", "until_s": 9.0}]}, "availability.0"),
        ({"faults": [{**CHURN, "at_s": 9.0}]}, "faults.0.until_s"),
        ({"faults": [{**CHURN, "period_s": 1e-300}]}, "faults.0.period_s"),
        ({"faults": [CHURN], "until_s": 8.5}, "faults.0.until_s"),
        ({"faults": [{"kind": "heal", "at_s": 9.0}]}, "faults.0.at_s"),
        ({"faults": [HEAL, {**PARTITION, "at_s": 3.0}]}, "faults.0.at_s"),
        ({"faults": [PARTITION, HEAL, {**HEAL, "at_s": 3.0}]}, "faults.2.at_s"),
        ({"faults": [{**PARTITION, "groups": [[0, 1, 2, 3]]}]}, "faults.0.groups"),
        ({"variants": [{"peers": [4], "fields": {}}]}, "variants.0.peers"),
        ({"variants": [{"peers": [1], "fields": {}}]}, "variants.0.fields"),
        (
            {"variants": [{"peers": [1], "fields": {"plugins.files": ["rule.py"]}}]},
            "variants.0.fields.plugins.files",
        ),
        (
            {"variants": [{"peers": [1], "fields": {"plugins": {"files": ["rule.py"]}}}]},
            "variants.0.fields.plugins",
        ),
        ({"network": {"latency_spread_ratio": 0.7}}, "network.latency_spread_ratio"),
        ({"network": {"latency_drawn": "message"}}, "network.latency_drawn"),
        ({"participation": {"base": 0.3}}, "participation.base"),
        (
            {"variants": [{"peers": [1], "fields": {"schedule.window_s": 2.0}}]},
            "variants.0.fields.schedule.window_s",
        ),
        (
            {"variants": [{"peers": [1], "fields": {"membership.suspicion_s": 1.0}}]},
            "variants.0.fields.membership.suspicion_s",
        ),
        (
            {"variants": [{"peers": [1], "fields": {"training.steps": 1}}]},
            "variants.0.fields.training.steps",
        ),
    ],
)
def test_what_cannot_be_used_is_named(tables: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(make(**tables))
    assert caught.value.field == field


def test_a_value_that_some_peer_uses_may_stand_in_the_table_of_all() -> None:
    variants = [{"peers": [1, 2], "fields": {"schedule.integrate": "window"}}]
    schedule = {"window_s": 4.0, "plateau_delta": 0.1}
    with pytest.raises(ConfigError, match=r"^schedule\.plateau_delta = 0\.1: set "):
        load_scenario(make(variants=variants, schedule=schedule))
    del schedule["plateau_delta"]
    scenario = load_scenario(make(variants=variants, schedule={**schedule, "rounds_max": 1}))
    windows = [scenario.run_config(peer, seed=0).schedule.window_s for peer in range(4)]
    assert windows == [10.0, 4.0, 4.0, 10.0]  # the others are left the default
    assert [report.rounds for report in sim.run(scenario).peers] == [1, 1, 1, 1]


def test_nobody_waits_for_more_neighbors_than_it_has() -> None:
    star = {"name": "star", "nodes": 4}
    with pytest.raises(ConfigError, match="peer 1 has 1 neighbors in the graph; write at most 1"):
        load_scenario(make(topology=star, schedule={"start_neighbors": 2}))
    load_scenario(make(topology=star, schedule={"start_neighbors": 1}))
    hub = {"peers": [0], "fields": {"schedule.start_neighbors": 3}}
    load_scenario(make(topology=star, variants=[hub]))
    with pytest.raises(ConfigError) as caught:
        load_scenario(make(topology=star, variants=[{**hub, "peers": [0, 2]}]))
    assert caught.value.field == "variants.0.fields.schedule.start_neighbors"
    assert caught.value.fix.startswith("peer 2 has 1 neighbors")


def test_neighbors_of_a_random_graph_are_known_with_its_seed() -> None:
    table = {"name": "erdos-renyi", "nodes": 8, "probability": 0.5}
    scenario = load_scenario(make(topology=table, schedule={"start_neighbors": 7}))
    with pytest.raises(
        ConfigError, match=r"schedule\.start_neighbors = 7: peer \d has \d neighbors"
    ):
        sim.run(scenario, seed=5)


@pytest.mark.parametrize(
    ("nodes", "fix"),
    [
        (66, "peer 0 has 65 neighbors in the graph; write at least 65, or a sparser topology"),
        (258, "peer 0 has 257 .* none may have more than 256; write a sparser topology"),
    ],
)
def test_more_neighbors_than_a_peer_may_have_are_refused(nodes: int, fix: str) -> None:
    table = {"name": "complete", "nodes": nodes}
    with pytest.raises(ConfigError, match=rf"^limits\.neighbors_max = 64: {fix}"):
        load_scenario(make(topology=table))
    load_scenario(make(topology=table, fidelity="rounds", schedule={"mode": "synchronous"}))


def test_a_missing_file_and_no_toml_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_scenario(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("=")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_scenario(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            {"topology": {"nodes": "8"}},
            "topology.nodes = '8': write a whole number, without quotes",
        ),
        ({"until_s": "9"}, "until_s = '9': write a number, without quotes"),
        ({"topology": 3}, "topology = 3: write a table: [topology]"),
        ({"faults": [3]}, "faults.0 = 3: write a table: [[faults]]"),
        ({"fidelity": "round"}, "write 'messages' or 'rounds'; did you mean 'rounds'?"),
        ({"network": {"loss_ratio": 1.0}}, "network.loss_ratio = 1.0: write a number below 1"),
    ],
)
def test_a_wrong_type_is_named_with_its_fix(table, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_scenario({"run": {"task": "digits"}, **table})


def test_the_network_of_a_scenario_is_that_of_its_links() -> None:
    network = {
        "latency_s": 0.1,
        "latency_distribution": "lognormal",
        "latency_spread_ratio": 0.3,
        "latency_drawn": "message",
        "queue_bytes_max": 100_000,
        "reordering_s": 2.0,
    }
    assert load_scenario(make(network=network)).world.network.link_model() == LinkModel(
        latency_s=0.1,
        latency=Latency.LOGNORMAL,
        spread_ratio=0.3,
        drawn=Drawn.MESSAGE,
        queue_bytes_max=100_000,
        reordering_s=2.0,
    )


def test_a_partition_may_end_when_it_begins_and_begin_again() -> None:
    faults = [HEAL, {**PARTITION, "at_s": 2.0}, {**HEAL, "at_s": 2.0}, PARTITION]
    load_scenario(make(faults=faults))
    load_scenario(make(faults=[{**PARTITION, "groups": [[0, 1], [2, 3]]}], until_s=1.0))
    load_scenario(make(faults=[CHURN], until_s=9.0))


@pytest.mark.parametrize("given", [None, [1], Path()], ids=str)
def test_what_is_no_scenario_is_named(given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(given)
    assert caught.value.field == "scenario"


def test_links_of_a_random_graph_are_known_with_its_seed() -> None:
    graph = topologies.create("k-regular", nodes=8, degree=2, seed=5)
    other = next(peer for peer in range(1, 8) if peer not in graph.neighbors(0))
    clog = {"kind": "clog", "at_s": 0.0, "links": [[0, other]], "for_s": 1.0}
    table = {"name": "k-regular", "nodes": 8, "degree": 2}
    scenario = load_scenario(make(topology=table, faults=[clog]))
    with pytest.raises(ConfigError, match=r"faults\.0\.links\.0 = .* is no edge"):
        sim.run(scenario, seed=5)
    with pytest.raises(ConfigError, match="is no edge"):
        load_scenario(make(topology={**table, "seed": 5}, faults=[clog]))


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"faults": [{"kind": "heal", "at": 1.0}]}, r"faults\.0\.at = 1.0: .* at_s is missing"),
        (
            {"faults": [{"kind": "crash", "at_s": 1.0, "peers": [0], "quiet": True}]},
            r"faults\.0\.quiet = true: remove it; there is no such field$",
        ),
        ({"faults": [{"kind": "crahs", "at_s": 1.0}]}, r"faults\.0\.kind = 'crahs': write one of"),
        ({"network": {"latencys": 1.0}}, "network.latencys = 1.0: .*did you mean 'latency_s'"),
        ({"until": 1.0}, r"scenarios\.md shows them all\); did you mean 'until_s'"),
        ({"nodee": {}}, r"scenarios\.md shows them all\)(?!; did you mean 'node')"),
        ({"integration": {"ruel": "mean"}}, "integration.ruel = 'mean': .*did you mean 'rule'"),
        ({"topology": {"name": "ring", "nods": 4}}, "topology.nods = 4: .*did you mean 'nodes'"),
        ({"adversaries": [{"kind": "zero"}]}, r"adversaries\.0 = { kind = 'zero' }: write either"),
        ({"devices": [{"speed_ratio": 2.0}]}, r"devices\.0 = { speed_ratio = 2.0 }: write either"),
    ],
    ids=str,
)
def test_what_is_misspelt_is_told_with_what_was_meant(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_scenario(make(**tables))


@pytest.mark.parametrize(
    ("tables", "field"),
    [
        ({"adversaries": [{"peer": "Rome", "kind": "noise"}]}, "adversaries.0.peer"),
        ({"availability": [{"peers": [0, "Rome"]}]}, "availability.0.peers.1"),
    ],
)
def test_labels_are_no_peers_and_their_numbers_can_be_looked_up(
    tables: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError, match="write a whole number; p2pfed topology show file") as it:
        load_scenario(make(**tables))
    assert (it.value.field, it.value.value) == (field, "Rome")
