"""What happens in a simulation, as objects over virtual time."""

from collections.abc import Callable, Mapping
from typing import Any, final

from typing_extensions import override

from p2pfed.core.events import Evaluation
from p2pfed.core.notices import Notice, RoundFinished
from p2pfed.messages import Role
from sim.host import Host
from sim.result import Recorder
from sim.watching import RoundPlayed, Watcher
from sim.world import World

Write = Callable[[Mapping[str, Any]], None]


@final
class MetricsRecorder(Watcher):
    """Tells of three kinds of things, by `kind`.

    `evaluation`: a peer evaluated its model; with the bytes that it had sent by then. `swarm`: how
    all stand, told whenever there were as many evaluations as there are honest peers that train,
    and at the end; its counts are those since the beginning. `link`: what went along one direction
    of an edge, told at the end. Rounds have no time and no events: `at_s` and `events` are None,
    and `swarm` says after which `round`.

    Args:
        write: Takes each object as JSON knows it, without NaN being looked for.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._world: World | None = None
        self._counts = Recorder({}, [])
        self._learners: set[int] = set()
        self._evaluations = 0
        self._played: RoundPlayed | None = None  # the latest

    @override
    def world_began(self, world: World) -> None:
        self._world = world
        members = world.members
        hostile = {n: "hostile" for n, it in enumerate(members) if it.adversary is not None}
        self._counts = Recorder(hostile, [it.identity.peer for it in members])
        self._learners = {
            number
            for number, member in enumerate(members)
            if member.adversary is None and member.config.role is Role.TRAIN
        }

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        self._counts.notice_given(host, notice)
        if not isinstance(notice, RoundFinished) or notice.evaluation is None:
            return
        number, sent_bytes = host.index, host.sent_bytes
        self._tell_evaluation(number, host.now_s, notice.round, notice.evaluation, sent_bytes)
        if host.index in self._learners:
            self._evaluations += 1
            if self._evaluations % len(self._learners) == 0:
                self._tell_swarm()

    @override
    def round_played(self, played: RoundPlayed) -> None:
        self._played = played
        for number, evaluation in played.evaluations.items():
            sent_bytes = played.bytes_sent[number]
            self._tell_evaluation(number, None, played.round, evaluation, sent_bytes)
        if played.consensus_distance is None:
            return
        self._write(
            {
                "kind": "swarm",
                "at_s": None,
                "round": played.round,
                "events": None,
                "bytes_sent": sum(played.bytes_sent),
                "consensus_distance": played.consensus_distance,
                "rows_used": played.rows_used,
                "rejected": played.rejected,
            }
        )

    @override
    def world_ended(self, world: World) -> None:
        self._tell_swarm()
        for (sender, receiver), count in world.link_bytes():
            self._tell_link(sender, receiver, count)

    def finish(self) -> None:
        """Tell how all ended that was played in rounds, which end unnoticed."""
        if self._played is not None:
            for (sender, receiver), count in self._played.links:
                self._tell_link(sender, receiver, count)

    def _tell_link(self, sender: int, receiver: int, count: int) -> None:
        link = {"sender": sender, "receiver": receiver, "bytes_sent": count}
        self._write({"kind": "link", **link})

    def _tell_evaluation(
        self,
        number: int,
        at_s: float | None,
        round_number: int,
        evaluation: Evaluation,
        sent_bytes: int,
    ) -> None:
        self._write(
            {
                "kind": "evaluation",
                "at_s": at_s,
                "peer": number,
                "round": round_number,
                "score": evaluation.score,
                "loss": evaluation.loss,
                "test_score": evaluation.test_score,
                "bytes_sent": sent_bytes,
            }
        )

    def _tell_swarm(self) -> None:
        assert self._world is not None
        self._write(
            {
                "kind": "swarm",
                "at_s": self._world.now_s,
                "events": self._world.events,
                "bytes_sent": self._world.all_sent_bytes(),
                "consensus_distance": self._world.consensus_distance(self._learners),
                "rows_used": self._counts.rows_used(),
                "rejected": self._counts.rejected(),
            }
        )
