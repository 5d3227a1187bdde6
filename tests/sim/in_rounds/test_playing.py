"""Scenarios with `fidelity = "rounds"` are played, kept, swept and reported as all others."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

import sim
import sim.rounds
from p2pfed.errors import ConfigError
from p2pfed.learn.task import Task
from p2pfed.learn.tasks import load_task
from sim.comparing import compare
from sim.documents import document_of, with_overrides
from sim.in_rounds.playing import _unused
from sim.in_rounds.translation import rounds_config
from sim.line_files import read_lines
from sim.replaying import replay
from sim.report.figures import figures_of
from sim.report.readings import read_metrics
from sim.rounds.result import Tally
from sim.run_folder import read_run, run_into
from sim.scenario import load_scenario
from sim.watching import RoundPlayed, Watcher

pytestmark = pytest.mark.slow

SCENARIOS = Path(__file__).parents[3] / "scenarios"
SMALL: dict[str, Any] = {
    "fidelity": "rounds",
    "run": {"name": "small", "task": "digits"},
    "training": {
        "steps_per_round": 2,
        "threads": 1,
        "device": "cpu",
        "step_rule": {"name": "sgd", "learning_rate": 0.3},
    },
    "integration": {"rule": "trimmed-mean"},
    "schedule": {"mode": "synchronous", "rounds_max": 5, "evaluate_every_rounds": 2},
    "topology": {"name": "complete", "nodes": 6},
    "adversaries": [{"share": 0.2, "kind": "scaled-difference"}],
}
# Batched jobs of simulated peers would differ by rounding.
ONE_BY_ONE = {"jobs": "sequential"}
# Of accuracies: peers evaluate batch by batch, rounds all rows at once.
TOLERANCE = 1e-6


def shortened(name: str, **fields: Any) -> dict[str, Any]:
    content = document_of(load_scenario(SCENARIOS / f"{name}.toml"))
    content["schedule"] |= {"rounds_max": 2, "evaluate_every_rounds": 1}
    content["compute"] = ONE_BY_ONE
    return with_overrides(content, fields)


@pytest.mark.parametrize(
    "name",
    [
        "digits-gossip",  # steps that vary, and are normalized; several gossip steps
        "ffa-lora-int4",  # a codec for differences, and lengths of updates that are not vectors'
        "ranks-election",  # ballots, of which a liar casts one
        "update-ranks-vote",
    ],
)
def test_synchronous_peers_learn_the_same_bits_in_both_fidelities(name: str) -> None:
    messages = sim.run(shortened(name), seed=1)
    scenario = load_scenario(shortened(name, fidelity="rounds"))
    config = replace(rounds_config(scenario, seed=1), compute="sequential")
    result = sim.rounds.run(config)
    assert result.model_digests == {
        peer: messages.model_digests[peer] for peer in result.model_digests
    }
    played = sim.run(scenario, seed=1)
    for one, two in zip(messages.peers, played.peers, strict=True):
        if one.hostile is None:
            assert [it.round for it in two.scores] == [it.round for it in one.scores]
    assert played.rows_used == messages.rows_used
    assert played.rejected == messages.rejected
    assert played.rejected_peers == messages.rejected_peers
    assert played.metrics["hostile_weight_mass"] == messages.metrics["hostile_weight_mass"]


def test_accuracies_of_both_fidelities_differ_by_rounding() -> None:
    messages = sim.run(shortened("digits-gossip"), seed=1)
    played = sim.run(shortened("digits-gossip", fidelity="rounds"), seed=1)
    for name in ("mean_accuracy", "worst_accuracy"):
        assert played.metrics[name] == pytest.approx(messages.metrics[name], abs=TOLERANCE)


def test_consensus_distances_of_both_fidelities_differ_by_rounding(tmp_path: Path) -> None:
    distances = []
    for fidelity in ("messages", "rounds"):
        run_into(tmp_path / fidelity, shortened("digits-gossip", fidelity=fidelity), seed=1)
        lines = read_lines(tmp_path / fidelity / "metrics.jsonl")
        distances.append([it["consensus_distance"] for it in lines if it["kind"] == "swarm"][-1])
    assert distances[1] == pytest.approx(distances[0], rel=1e-4) != 0.0


def test_the_run_has_a_seed_of_its_own_in_both_fidelities() -> None:
    own = shortened("digits-gossip", **{"run.seed": 5})
    messages = sim.run(own, seed=1)
    config = rounds_config(load_scenario(with_overrides(own, {"fidelity": "rounds"})), seed=1)
    result = sim.rounds.run(replace(config, compute="sequential"))
    assert tuple(result.model_digests.values()) == messages.model_digests


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds") / "small"
    run_into(folder, SMALL, seed=2)
    return folder


def test_a_folder_holds_what_others_hold(made: Path) -> None:
    run = read_run(made)
    assert run.result == json.loads(sim.run(SMALL, seed=2).to_json())
    assert (run.result["metrics"]["virtual_s"], run.result["metrics"]["finished"]) == (None, 1.0)
    (liar,) = [k for k, peer in enumerate(run.result["peers"]) if peer["hostile"]]
    assert run.result["rejected"] == {"norm-cap": {"honest": 0, "hostile": 25}}
    assert run.result["rejected_peers"] == {
        "norm-cap": {"peers": {str(liar): 25}, "more": 0},
    }
    assert run.scenario().world.fidelity == "rounds"


def test_metrics_tell_of_the_rounds_that_were_evaluated(made: Path) -> None:
    lines = list(read_lines(made / "metrics.jsonl"))
    evaluations = [it for it in lines if it["kind"] == "evaluation"]
    assert sorted({it["round"] for it in evaluations}) == [1, 3, 4]
    assert len(evaluations) == 3 * 5
    assert {it["at_s"] for it in lines if "at_s" in it} == {None}
    swarm = [it for it in lines if it["kind"] == "swarm"]
    assert [it["round"] for it in swarm] == [1, 3, 4]
    assert swarm[-1]["rows_used"] == {"honest": 100, "hostile": 0}
    sent = [it["bytes_sent"] for it in lines if it["kind"] == "link"]
    assert len(sent) == 30
    assert sum(sent) == swarm[-1]["bytes_sent"] == sum(read_run(made).result["bytes_sent"])


def test_a_report_has_rounds_where_others_have_time(made: Path) -> None:
    figures = {it["id"]: it for it in figures_of(read_metrics(read_run(made)))}
    assert list(figures) == [
        "score-rounds",
        "score-bytes",
        "consensus",
        "graph",
        "link-use",
        "rows",
    ]
    assert figures["score-rounds"]["data"][-1]["x"] == [2.0, 4.0, 5.0]
    assert figures["consensus"]["data"][0]["x"] == [2.0, 4.0, 5.0]
    assert len(figures["consensus"]["data"][0]["y"]) == 3
    assert "virtual" not in json.dumps(figures)


def test_a_folder_is_replayed(made: Path) -> None:
    found = replay(made)
    assert found.is_same
    assert found.recorded == found.now != ""


def test_a_replay_of_rounds_compares_no_trace(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trace = .*no events"):
        replay(made, trace=tmp_path / "trace.jsonl")


def test_one_folder_does_not_hold_a_trace(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trace = .*no events"):
        run_into(tmp_path, SMALL, trace=tmp_path / "trace.jsonl")


def test_a_sweep_takes_both_fidelities(tmp_path: Path) -> None:
    grid = {"fidelity": ["messages", "rounds"], "integration.rule": ["mean", "median"]}
    scenario = with_overrides(SMALL, {"adversaries": [], "schedule.rounds_max": 2})
    result = sim.sweep(scenario, tmp_path, grid=grid)
    assert result.failed == ()
    means = [row.measures["mean_accuracy"] for row in result.rows]
    assert [round(it.mean, 5) for it in means[:2] if it] == [
        round(it.mean, 5) for it in means[2:] if it
    ]


def test_runs_of_both_fidelities_are_compared(tmp_path: Path) -> None:
    for fidelity in ("messages", "rounds"):
        for seed in (0, 1):
            fields = {"fidelity": fidelity, "adversaries": [], "schedule.rounds_max": 2}
            folder = tmp_path / fidelity / f"seed-{seed}"
            run_into(folder, with_overrides(SMALL, fields), seed=seed)
    (found,) = compare(tmp_path / "messages", tmp_path / "rounds")
    assert found.changed == {"fidelity": ("messages", "rounds")}
    measures = {it.measure: it for it in found.differences}
    assert "virtual_s" not in measures  # only one of them has it
    assert measures["mean_accuracy"].difference == pytest.approx(0.0, abs=TOLERANCE)
    assert measures["bytes_per_peer"].difference < 0.0


def test_a_data_frame_has_no_times() -> None:
    pandas = pytest.importorskip("pandas")
    frame = sim.run(SMALL, seed=2).to_dataframe()
    assert frame["at_s"].isna().all()
    assert pandas.api.types.is_float_dtype(frame["at_s"])
    assert frame["test_score"].notna().sum() == 5


def test_neighbors_that_all_are_silent_are_warned_of() -> None:
    silent = [{"peer": peer, "kind": "silent"} for peer in range(1, 6)]
    said = "no row of a neighbor ever came, so that nobody learned from others"
    assert sim.run({**SMALL, "adversaries": silent}).warning == said


class Rounds(Watcher):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.played: list[RoundPlayed] = []

    def round_played(self, played: RoundPlayed) -> None:
        self.played.append(played)


def test_watchers_are_told_of_every_round() -> None:
    watcher = Rounds()
    sim.run(SMALL, seed=2, watchers=[watcher])
    assert [it.round for it in watcher.played] == list(range(5))
    assert [bool(it.evaluations) for it in watcher.played] == [False, True, False, True, True]


def test_who_diverges_has_failed_as_with_messages() -> None:
    steep = with_overrides(SMALL, {"training.step_rule.learning_rate": 1e38, "adversaries": []})
    result = sim.run(steep)
    diverged = "training diverged; lower the rate"
    said = f"30 jobs failed at 6 peers, which count as failed: {diverged}"
    assert result.warning is not None
    assert result.warning.startswith(said)
    assert (result.peers[0].stopped, result.peers[0].trouble) == ("failed", diverged)
    with_messages = sim.run({**steep, "fidelity": "messages"})
    for name in ("finished", "failed"):
        assert result.metrics[name] == with_messages.metrics[name]
    for one, other in zip(result.peers, with_messages.peers, strict=True):
        assert (one.stopped, one.rounds) == (other.stopped, other.rounds)


class Branching(nn.Module):
    """Does what `torch.func.vmap` cannot map: it looks at a value."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.inner(inputs if inputs.sum().item() > 0.0 else -inputs)


def branching_digits() -> Task:
    return replace(load_task("digits", None), create_model=Branching)


def test_a_model_that_cannot_be_computed_at_once_is_computed_one_by_one() -> None:
    own = {"run.task": f"{__name__}:branching_digits", "adversaries": []}
    played = sim.run(with_overrides(SMALL, own), seed=1)
    messages = with_overrides(SMALL, {**own, "fidelity": "messages", "compute": ONE_BY_ONE})
    assert played.model_digests == sim.run(messages, seed=1).model_digests


@pytest.mark.parametrize(
    ("name", "value"), [("beta_max", 0.1), ("norm_cap_ratio", 7.0), ("gamma", 0.5)]
)
def test_options_of_the_integration_are_those_of_the_scenario(name: str, value: float) -> None:
    scenario = load_scenario(with_overrides(SMALL, {f"integration.{name}": value}))
    assert rounds_config(scenario).integrator == {name: value}


def test_rows_that_nobody_used_are_warned_of_with_their_reason() -> None:
    tally = Tally(unused={"rare": Counter(honest=1), "norm-cap": Counter(honest=1, hostile=1)})
    said = _unused(tally, has_neighbors=True)
    assert said is not None
    assert said.endswith(": norm-cap")
    assert _unused(replace(tally, used=Counter(honest=1)), has_neighbors=True) is None


def test_who_has_no_neighbors_misses_no_rows() -> None:
    assert _unused(Tally(), has_neighbors=False) is None
