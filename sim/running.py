"""Simulating a scenario from its beginning to its end."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from p2pfed.config.plugins import load_plugins
from p2pfed.messages import Role
from sim.checkers.invariant import InvariantError
from sim.collecting import collecting_seldom
from sim.devices import machines_of
from sim.documents import digest_of, document_of
from sim.emptiness import check_links
from sim.fruitless import fruitless
from sim.identities import check_seed, identity_of
from sim.in_rounds.playing import play
from sim.parts.playing import InParts
from sim.players import Alone, Player
from sim.result import Recorder, Result, accuracies, joined, untested
from sim.rounds_scope import ROUNDS
from sim.scenario import Scenario, load_scenario
from sim.trace import joint_digest
from sim.watching import Watcher, check_watchers


def run(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    seed: int = 0,
    *,
    watchers: Sequence[Watcher] = (),
) -> Result:
    """Simulate a scenario until every honest peer that runs or will run has stopped training.

    Faults that let nobody train any more are not waited for.

    Args:
        scenario: Path of a scenario file, its content, or what `load_scenario` made of it.
        seed: Of everything random: identities, losses, faults, times, and the run's own seed
            unless the scenario names one.
        watchers: Are told what happens, beside those that every simulation has; with the fidelity
            `rounds`, of `round_played` alone, and in several processes of `notice_given`.

    Raises:
        ConfigError: If the seed, the scenario or a watcher cannot be used.
        InvariantError: If the protocol did what it must never do; with what was recorded by then.
        LocalError: If rounds evaluate on rows that the task has not, or one of several processes
            ended.
    """
    check_seed(seed)
    check_watchers(watchers)
    checked = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    # Of a scenario that another process made, this one has not run them.
    load_plugins(checked.run_config(0, seed=seed).plugins.files, Path.cwd())
    if checked.world.fidelity == ROUNDS:
        return play(checked, seed, watchers)
    check_links(checked.world, seed=seed)
    checked.check_degrees(seed=seed)
    hostile = {peer: entry.kind for peer, entry in checked.world.liars(seed=seed).items()}
    nodes = checked.world.topology.nodes
    recorder = Recorder(hostile, [identity_of(seed, index).peer for index in range(nodes)])
    player_of = Alone if checked.world.compute.processes == 1 else InParts
    with collecting_seldom(), closing(player_of(checked, seed, [recorder, *watchers])) as player:
        found: InvariantError | None = None
        try:
            player.play()
        except InvariantError as error:
            found = error
        player.end()
        result = _summarize(checked, seed, player, recorder)
        if found is not None:
            found.result = result
            raise found
        return result


def _summarize(scenario: Scenario, seed: int, player: Player, recorder: Recorder) -> Result:
    ended, members, reports = player.ended(), player.members, recorder.reports
    honest = [it for it in ended.outcomes if members[it.number].adversary is None]
    for outcome in honest:
        reports[outcome.number].privacy = outcome.privacy
    for report, machine in zip(reports, machines_of(scenario.world, seed=seed), strict=True):
        report.device, report.speed_ratio = machine.device, machine.speed_ratio
    learners = [reports[it.number] for it in honest if members[it.number].config.role is Role.TRAIN]
    failed = sum(it.has_given_up for it in honest)
    finished = sum(it.is_done for it in honest) - failed
    metrics = {
        **accuracies(learners),
        "hostile_weight_mass": recorder.hostile_weight_mass(),
        "finished": finished / len(honest) if honest else 0.0,
        "failed": failed / len(honest) if honest else 0.0,
        "virtual_s": player.end_s,
        "events": ended.events,
    }
    in_vain = fruitless(ended.outcomes, members, reports, at_s=player.end_s)
    return Result(
        scenario=scenario.name,
        seed=seed,
        scenario_digest=digest_of(document_of(scenario)),
        metrics=metrics,
        peers=tuple(reports),
        rows_used=recorder.rows_used(),
        rejected=recorder.rejected(),
        rejected_peers=recorder.rejected_peers(),
        warning=joined((recorder.warning(), in_vain, untested(learners))),
        bytes_sent=tuple(ended.bytes_sent),
        trace_digest=joint_digest(ended.digests).hex(),
        model_digests=tuple(it.model_digest for it in ended.outcomes),
    )
