"""Machines of a scenario: device classes, and clocks that are off."""

from collections import Counter

import sim
from sim.devices import machines_of
from sim.network import PeerLine
from sim.scenario import load_scenario
from tests.sim.short import SHORT, make


def test_devices_are_given_by_number_and_by_share() -> None:
    scenario = load_scenario(
        make(
            topology={"name": "ring", "nodes": 11},
            network={"upload_bytes_per_s": 1e6},
            devices=[
                {"peers": [3], "speed_ratio": 8.0, "upload_bytes_per_s": 1e7},
                {"share": 0.5, "speed_ratio": 0.5, "latency_s": 0.1},
                {"share": 0.3, "speed_ratio": 0.25, "download_bytes_per_s": 1e5},
            ],
        )
    )
    machines = machines_of(scenario.world, seed=0)
    speeds = [machine.speed_ratio for machine in machines]
    assert Counter(speeds) == {8.0: 1, 0.5: 5, 0.25: 3, 1.0: 2}
    classes = {None: 1.0, 0: 8.0, 1: 0.5, 2: 0.25}
    assert [classes[it.device] for it in machines] == speeds
    assert machines[3].line == PeerLine(upload_bytes_per_s=1e7)
    phone = machines[speeds.index(0.25)].line
    assert phone == PeerLine(upload_bytes_per_s=1e6, download_bytes_per_s=1e5)
    assert machines[speeds.index(0.5)].line.latency_s == 0.1
    assert machines == machines_of(scenario.world, seed=0)
    assert speeds != [it.speed_ratio for it in machines_of(scenario.world, seed=1)]


def test_no_share_draws_nobody() -> None:
    devices = [{"share": 0.15, "speed_ratio": 0.5}, {"share": 0.1, "speed_ratio": 0.25}]
    world = load_scenario(make(topology={"name": "ring", "nodes": 10}, devices=devices)).world
    for seed in range(3):
        speeds = [machine.speed_ratio for machine in machines_of(world, seed=seed)]
        assert Counter(speeds) == {0.5: 1, 0.25: 1, 1.0: 8}


def test_clocks_are_off_by_what_a_scenario_allows() -> None:
    table = {"clock_spread_s": 10.0, "clock_drift_ratio": 0.01}
    machines = machines_of(load_scenario(make(compute=table)).world, seed=0)
    assert len({machine.clock_ahead_s for machine in machines}) == 4
    assert all(abs(machine.clock_ahead_s) <= 10.0 for machine in machines)
    assert all(0.99 <= machine.clock_rate_ratio <= 1.01 for machine in machines)
    many = make(compute=table, topology={"name": "ring", "nodes": 16})
    machines = machines_of(load_scenario(many).world, seed=0)
    assert {machine.clock_ahead_s > 0.0 for machine in machines} == {False, True}
    assert {machine.clock_rate_ratio > 1.0 for machine in machines} == {False, True}


def test_results_say_what_machine_a_peer_had() -> None:
    devices = [{"peers": [2], "speed_ratio": 0.5}, {"peers": [0], "speed_ratio": 4.0}]
    result = sim.run({**SHORT, "devices": devices})
    assert [(it.device, it.speed_ratio) for it in result.peers] == [(1, 4.0), (None, 1.0), (0, 0.5)]
