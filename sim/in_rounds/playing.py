"""`sim.run` for scenarios whose fidelity is `rounds`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, final

from blake3 import blake3

from p2pfed.core.events import Evaluation
from p2pfed.core.notices import StopReason
from p2pfed.core.plan import is_due
from p2pfed.core.row_use import NOTHING_CAME
from p2pfed.errors import ConfigError, LocalError
from sim.documents import digest_of, document_of
from sim.in_rounds.translation import rounds_config, scenario_fields
from sim.result import UNKNOWN_MASS, PeerReport, Result, Score, accuracies, joined, untested
from sim.rounds.config import SEQUENTIAL, RoundsConfig
from sim.rounds.pipeline import make_pipeline
from sim.rounds.result import HONEST, HOSTILE, Tally
from sim.rounds.running import Session
from sim.scenario import Scenario
from sim.troubles import Troubles
from sim.watching import RoundPlayed, Watcher

_DIVERGED: Final = "training diverged; lower the rate"


def play(scenario: Scenario, seed: int, watchers: Sequence[Watcher] = ()) -> Result:
    """Play a scenario in rounds.

    Args:
        scenario: As `load_scenario` made it.
        seed: Of everything random.
        watchers: Are told of each round, and of nothing else.

    Raises:
        ConfigError: If the scenario cannot be used.
        LocalError: If models are to be evaluated on rows that the task has not.
    """
    config = rounds_config(scenario, seed=seed)
    with scenario_fields():
        game = _Game(scenario, _session(config), seed=seed, watchers=watchers)
        for round in range(config.rounds):
            game.play(round)
    return game.summarize()


def _session(config: RoundsConfig) -> Session:
    """Return a session that computes peers at once; one by one where the model demands it."""
    try:
        return Session(config, make_pipeline)
    except ConfigError as error:
        if error.field != "rounds.compute":
            raise
    return Session(replace(config, compute=SEQUENTIAL), make_pipeline)


@final
class _Game:
    """A session, and what is told of it.

    Args:
        scenario: What is played.
        session: Plays it.
        seed: Of the simulation.
        watchers: Are told of each round.
    """

    def __init__(
        self, scenario: Scenario, session: Session, *, seed: int, watchers: Sequence[Watcher]
    ) -> None:
        self._scenario = scenario
        self._session = session
        self._seed = seed
        self._watchers = watchers
        self._schedule = scenario.run_config(0, seed=seed).schedule
        self._rounds = session.config.rounds
        liars = scenario.world.liars(seed=seed)
        self._reports = [
            PeerReport(
                hostile=liars[peer].kind if peer in liars else None,
                rounds=self._rounds,
                stopped=str(StopReason.ROUNDS),
            )
            for peer in range(session.config.peers)
        ]
        self._troubles = Troubles()

    def play(self, round: int) -> None:
        """Play a round, evaluate if it is time to, and tell the watchers."""
        for peer in self._session.play(round):
            self._troubles.add(peer, _DIVERGED)
            report = self._reports[peer]
            # With messages it would give up: the same job fails as often as it is repeated.
            report.stopped, report.trouble = str(StopReason.FAILED), _DIVERGED
            report.rounds -= 1
        evaluations = self._evaluate(round)
        for peer, it in evaluations.items():
            score = Score(round=round, at_s=None, score=it.score, test_score=it.test_score)
            self._reports[peer].scores.append(score)
        is_last = round + 1 == self._rounds
        played = RoundPlayed(
            round=round,
            rounds=self._rounds,
            learners=tuple(self._session.honest),
            evaluations=evaluations,
            bytes_sent=self._sent_bytes(),
            consensus_distance=(
                self._session.consensus_distance() if evaluations or is_last else None
            ),
            rows_used=rows_used(self._session.tally),
            rejected=rejected(self._session.tally),
            links=self._session.traffic.links() if is_last else (),
        )
        for watcher in self._watchers:
            watcher.round_played(played)

    def summarize(self) -> Result:
        """Return what came out."""
        session, tally = self._session, self._session.tally
        learners = [self._reports[peer] for peer in session.honest]  # in rounds all train
        digests = session.digests()
        has_neighbors = any(map(session.traffic.sent_bytes, session.honest))
        warnings = (
            self._troubles.warning("which count as failed"),
            _unused(tally, has_neighbors=has_neighbors),
            untested(learners),
            UNKNOWN_MASS if tally.has_unknown_weights else None,
        )
        failed = sum(it.has_failed for it in learners)
        failed_share = failed / len(session.honest)
        return Result(
            scenario=self._scenario.name,
            seed=self._seed,
            scenario_digest=digest_of(document_of(self._scenario)),
            metrics={
                **accuracies(learners),
                "hostile_weight_mass": tally.liar_weight(),
                "finished": 1.0 - failed_share,
                "failed": failed_share,
                "virtual_s": None,
                "events": None,
            },
            peers=tuple(self._reports),
            rows_used=rows_used(tally),
            rejected=rejected(tally),
            rejected_peers=tally.rejections.peers(),
            warning=joined(warnings),
            bytes_sent=self._sent_bytes(),
            trace_digest=blake3(bytes.fromhex("".join(digests))).hexdigest(),
            model_digests=tuple(digests),
        )

    def _evaluate(self, round: int) -> dict[int, Evaluation]:
        """Return what the honest peers' models are worth, if the schedule asks for it."""
        every, test_every = self._schedule.evaluate_every_rounds, self._schedule.test_every_rounds
        is_tested = round + 1 == self._rounds or is_due(round, test_every)
        if not every or not (is_tested or is_due(round, every)):
            return {}
        found = self._scores("validation")
        tests = self._scores("test") if is_tested else {}
        return {
            peer: Evaluation(
                score=score,
                loss=loss,
                test_score=tests[peer][0] if is_tested else None,
            )
            for peer, (score, loss) in found.items()
        }

    def _scores(self, split: str) -> dict[int, tuple[float, float]]:
        if not len(self._session.task.rows(split)):
            raise LocalError(f"the task has no {split} rows; give it some, or do not evaluate")
        return self._session.evaluate(split)

    def _sent_bytes(self) -> tuple[int, ...]:
        return tuple(map(self._session.traffic.sent_bytes, range(len(self._reports))))


def rows_used(tally: Tally) -> dict[str, int]:
    """Return how many rows of honest and of hostile peers had weight at honest ones."""
    return _by_side(tally.used)


def rejected(tally: Tally) -> dict[str, dict[str, int]]:
    """Return the same of rows that had none, by reason."""
    return {reason: _by_side(tally.unused[reason]) for reason in sorted(tally.unused)}


def _by_side(counts: Mapping[str, int]) -> dict[str, int]:
    return {side: counts.get(side, 0) for side in (HONEST, HOSTILE)}


def _unused(tally: Tally, *, has_neighbors: bool) -> str | None:
    """Say that no row was ever used, and why; None if one was, or nobody has neighbors."""
    if sum(tally.used.values()):
        return None
    if not tally.unused:
        return NOTHING_CAME if has_neighbors else None
    said = "no row of a neighbor was ever used, so that nobody learned from others"
    reasons = tally.notes or Counter(
        {it: sum(sides.values()) for it, sides in tally.unused.items()}
    )
    ((reason, _),) = reasons.most_common(1)
    return f"{said}: {reason}"
