"""The simulator and real libp2p processes end with the same models, bit for bit."""

import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

import sim
import topologies
from sim.identities import identity_of
from sim.scenario import load_scenario
from tests.processes import PeerProcess, write_peers

pytestmark = [pytest.mark.slow, pytest.mark.net]

SCENARIO = Path(__file__).parents[2] / "scenarios" / "digits-ring.toml"
SEED = 3


VOTE = {
    "method": {"name": "ranks"},
    "codec": {"name": "ballot"},
    "integration": {"rule": "rank-vote"},
}


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


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"codec": {"name": "float32"}}, id="float32", marks=pytest.mark.nightly),
        pytest.param({"codec": {"name": "int4"}}, id="int4"),
        pytest.param({"outer": {"name": "diloco"}}, id="diloco", marks=pytest.mark.nightly),
        pytest.param(VOTE, id="ranks", marks=pytest.mark.nightly),
        pytest.param(STEPS, id="steps", marks=pytest.mark.nightly),
    ],
)
def test_simulator_and_processes_agree(tmp_path, changes):
    table = tomllib.loads(SCENARIO.read_text())
    scenario = load_scenario({**table, **changes})
    simulated = sim.run(scenario, seed=SEED)
    net = topologies.create("ring", nodes=4)

    def config_of(index):
        config = scenario.run_config(index, seed=SEED).model_dump(exclude_none=True)
        config["node"]["role"] = str(config["node"]["role"])
        config["schedule"]["linger_s"] = 3.0  # everybody has everything by then
        return config

    identities = [identity_of(SEED, index) for index in range(4)]
    folders = write_peers(tmp_path, identities, net.neighbors, config_of)
    with ExitStack() as stack:
        processes = [PeerProcess(folder) for folder in folders]
        for process in processes:
            stack.callback(process.end)
        outcomes = [process.outcome() for process in processes]

    assert [outcome["peer_id"] for outcome in outcomes] == [each.text for each in identities]
    assert [outcome["model_digest"] for outcome in outcomes] == list(simulated.model_digests)
    # The digests say something: the four models differ, and differ from where they began.
    assert len(set(simulated.model_digests)) == 4
    other = sim.run(scenario, seed=SEED + 1)
    assert set(other.model_digests).isdisjoint(simulated.model_digests)
