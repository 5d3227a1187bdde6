"""The simulator and real libp2p processes end with the same models, bit for bit."""

import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

import sim
import topologies
from p2pfed.node.replaying import replay_record
from sim.identities import identity_of
from sim.scenario import load_scenario
from tests.parity.families import FAMILIES, LEDGERS, tables_of
from tests.processes import BOUND_S, PeerProcess, write_peers

pytestmark = [pytest.mark.slow, pytest.mark.net]

SCENARIO = Path(__file__).parents[2] / "scenarios" / "digits-ring.toml"
SEED = 3
LIAR = 1
LATE = 3
KILLED = 2
LINGER_S = 3.0  # everybody has everything by then


# Each peer draws how many steps it takes in a round, and publishes and mixes twice.
STEPS = {
    "codec": {"name": "int4"},
    "training": {
        "steps_per_round": 5,
        "steps_per_round_min": 1,
        "normal_steps": 3,
        "threads": 1,
        "device": "cpu",
        "step_rule": {"name": "sgd", "learning_rate": 0.3},
    },
    "schedule": {
        "mode": "synchronous",
        "rounds_max": 5,
        "gossip_steps": 2,
        "deadline_s": 60.0,
        "start_neighbors": 2,
    },
}
SHORT = {"mode": "synchronous", "rounds_max": 8, "deadline_s": 60.0, "evaluate_every_rounds": 0}


def scenario_of(changes):
    """Return the ring of four peers with other tables, in which one peer lies."""
    lies = {"adversaries": [{"peer": LIAR, "kind": "sign-flip"}]}
    return load_scenario({**tomllib.loads(SCENARIO.read_text()), **lies, **changes})


def family_of(name):
    """Return what a family changes in the scenario.

    Of a ledger, two peers: what comes from others may come before or after a training, and changes
    it; between two that wait for each other there is one order.
    """
    topology = {"name": "line", "nodes": 2} if name in LEDGERS else {"name": "ring", "nodes": 4}
    return {**tables_of(name), "schedule": SHORT, "topology": topology}


class Swarm:
    """Real processes with the peers of a scenario; a context manager that leaves none behind."""

    def __init__(self, scenario, folder, *, lingering=()):
        topology = scenario.world.topology
        net = topologies.create(topology.name, nodes=topology.nodes)

        def config_of(index):
            config = scenario.run_config(index, seed=SEED).model_dump(exclude_none=True)
            config["node"]["role"] = str(config["node"]["role"])
            config["schedule"]["linger_s"] = BOUND_S if index in lingering else LINGER_S
            return config

        self.identities = [identity_of(SEED, index) for index in range(topology.nodes)]
        self.folders = write_peers(folder, self.identities, net.neighbors, config_of)
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def start(self, index, *, rounds=None):
        words = ["--record", self.record(index)]
        words += [] if rounds is None else ["--rounds", rounds]
        program = {}
        if index == LIAR:
            words += ["--attack", "sign-flip", "--seed", SEED, "--index", index]
            program = {"program": ("tests.parity.liar",)}
        process = PeerProcess(self.folders[index], *words, **program)
        self._stack.callback(process.end)
        return process

    def record(self, index):
        return self.folders[index] / "peer.record"

    def honest(self):
        return [index for index in range(len(self.folders)) if index != LIAR]


def check(swarm, outcomes, simulated):
    """Compare what the peers came to with the simulation, and with their own records."""
    for index in swarm.honest():
        assert outcomes[index]["peer_id"] == swarm.identities[index].text
        assert outcomes[index]["model_digest"] == simulated.model_digests[index]
    for index in range(len(outcomes)):
        assert replay_record(swarm.record(index)).is_same


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"codec": {"name": "int4"}, "schedule": SHORT}, id="int4"),
        pytest.param({"outer": {"name": "diloco"}}, id="diloco", marks=pytest.mark.nightly),
        pytest.param(STEPS, id="steps", marks=pytest.mark.nightly),
        *(pytest.param(family_of(name), id=name, marks=pytest.mark.nightly) for name in FAMILIES),
    ],
)
def test_simulator_and_processes_agree(tmp_path, changes):
    scenario = scenario_of(changes)
    simulated = sim.run(scenario, seed=SEED)
    with Swarm(scenario, tmp_path) as swarm:
        processes = [swarm.start(index) for index in range(len(swarm.folders))]
        outcomes = [process.outcome() for process in processes]
    check(swarm, outcomes, simulated)
    # The digests say something: models of a gossip differ, and all differ from where they began.
    is_ledger = scenario.run["method"]["name"] in LEDGERS
    honest = {simulated.model_digests[index] for index in swarm.honest()}
    assert is_ledger or len(honest) == len(swarm.honest())
    other = sim.run(scenario, seed=SEED + 1)
    assert honest.isdisjoint(other.model_digests)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in LEDGERS])
def test_a_late_peer_and_a_killed_one_change_nothing(tmp_path, name):
    # Between two rounds, when nobody waits for anybody, peers may go and come back.
    scenario = scenario_of(family_of(name))
    simulated = sim.run(scenario, seed=SEED)
    half, nodes = SHORT["rounds_max"] // 2, 4
    with Swarm(scenario, tmp_path, lingering=[KILLED]) as swarm:
        processes = {it: swarm.start(it, rounds=half) for it in range(nodes) if it != LATE}
        processes[0].wait_for_line("joined")
        processes[LATE] = swarm.start(LATE, rounds=half)
        for index in (0, LIAR, LATE):
            processes[index].outcome()
        processes[KILLED].kill()
        processes = {it: swarm.start(it) for it in range(nodes)}
        outcomes = {index: processes[index].outcome() for index in (0, LIAR, LATE)}
        processes[KILLED].ask_to_leave()
        outcomes[KILLED] = processes[KILLED].outcome()
    check(swarm, outcomes, simulated)
    assert all(replay_record(swarm.record(index)).lives == 2 for index in range(nodes))
