"""What happens in a simulation, as objects over virtual time."""

from collections.abc import Callable, Mapping
from typing import Any, final

from typing_extensions import override

from p2pfed.core.events import Evaluation
from p2pfed.core.notices import Notice, RoundFinished
from p2pfed.messages import Role
from sim.consensus import consensus_distance
from sim.host import Host
from sim.links import Wire
from sim.result import Recorder
from sim.watching import Watcher
from sim.world import World

Write = Callable[[Mapping[str, Any]], None]


@final
class MetricsRecorder(Watcher):
    """Tells of three kinds of things, by `kind`.

    `evaluation`: a peer evaluated its model; with the bytes that it had sent by then. `swarm`: how
    all stand, told whenever there were as many evaluations as there are honest peers that train,
    and at the end; its counts are those since the beginning. `link`: what went along one direction
    of an edge, told at the end.

    Args:
        write: Takes each object as JSON knows it, without NaN being looked for.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._world: World | None = None
        self._counts = Recorder({}, [])
        self._wires: dict[int, list[Wire]] = {}
        self._learners: dict[int, Host] = {}
        self._evaluations = 0

    @override
    def world_began(self, world: World) -> None:
        self._world = world
        hostile = {host.index: "hostile" for host in world.hosts if not host.is_honest}
        self._counts = Recorder(hostile, [host.peer for host in world.hosts])
        for (sender, _), wire in world.network.wires.items():
            self._wires.setdefault(sender, []).append(wire)
        self._learners = {
            host.index: host
            for host in world.hosts
            if host.is_honest and host.member.config.role is Role.TRAIN
        }

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        self._counts.notice_given(host, notice)
        if not isinstance(notice, RoundFinished) or notice.evaluation is None:
            return
        self._tell_evaluation(host, notice.round, notice.evaluation)
        if host.index in self._learners:
            self._evaluations += 1
            if self._evaluations % len(self._learners) == 0:
                self._tell_swarm()

    def finish(self) -> None:
        """Tell how all ended; the world must not go on."""
        self._tell_swarm()
        assert self._world is not None
        for (sender, receiver), wire in sorted(self._world.network.wires.items()):
            link = {"sender": sender, "receiver": receiver, "bytes_sent": wire.sent_bytes}
            self._write({"kind": "link", **link})

    def _tell_evaluation(self, host: Host, round_number: int, evaluation: Evaluation) -> None:
        self._write(
            {
                "kind": "evaluation",
                "at_s": host.now_s,
                "peer": host.index,
                "round": round_number,
                "score": evaluation.score,
                "loss": evaluation.loss,
                "test_score": evaluation.test_score,
                "bytes_sent": self._sent_bytes(host.index),
            }
        )

    def _tell_swarm(self) -> None:
        assert self._world is not None
        self._write(
            {
                "kind": "swarm",
                "at_s": self._world.now_s,
                "events": self._world.trace.count,
                "bytes_sent": sum(map(self._sent_bytes, range(len(self._world.hosts)))),
                "consensus_distance": consensus_distance(
                    it.bench for it in self._learners.values()
                ),
                "rows_used": self._counts.rows_used(),
                "rejected": self._counts.rejected(),
            }
        )

    def _sent_bytes(self, number: int) -> int:
        return sum(wire.sent_bytes for wire in self._wires.get(number, ()))
