"""A peer inside another program: `join` for ordinary threads, `open_node` for trio programs."""

import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import final

import trio
from torch import nn

from p2pfed.config.files import load
from p2pfed.config.learning import Assembly, adapt_model, assemble, assemble_learner
from p2pfed.config.model import RunConfig
from p2pfed.core.events import Command, Verdict
from p2pfed.core.notices import (
    Finished,
    Left,
    LogsLeftOut,
    Notice,
    PartIdle,
    RoundFinished,
    StopReason,
)
from p2pfed.core.peer import PeerStatus
from p2pfed.errors import LocalError
from p2pfed.identity import format_peer_id
from p2pfed.learn.application import ApplicationLearner, Score
from p2pfed.learn.export import export_adapter
from p2pfed.learn.learner import Learner, TrainingReport
from p2pfed.node import opening
from p2pfed.node.driver import Node
from p2pfed.node.transport import Traffic, Transport

_log = logging.getLogger(__name__)

_START_S = 60.0  # guess: binding a port takes milliseconds, importing libraries seconds
_CLOSE_S = 5.0  # leaving takes at most 3 s
_POLL_S = 0.5  # how soon a waiting exchange notices that the background has died


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeReport:
    """What one exchange did.

    Attributes:
        round: The round that it closed, from 0.
        verdicts: What was made of each neighbor's row; empty when nothing new had arrived.
        own_weight: Coefficient of the own row; 1.0 when nothing was integrated.
        score: Validation score of the integrated model, if it was evaluated.
        stopped: Why training is over, or None; exchanging once more changes nothing then.
    """

    round: int
    verdicts: tuple[Verdict, ...] = ()
    own_weight: float = 1.0
    score: float | None = None
    stopped: StopReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """Where a peer stands.

    Attributes:
        peer: Its libp2p PeerID.
        addresses: Where others can dial it.
        status: Its protocol's summary.
        traffic: Bytes on the wire.
    """

    peer: str
    addresses: tuple[str, ...]
    status: PeerStatus
    traffic: Traffic


@final
class Session:
    """A peer in the background of a training program; made by `join`.

    Use it from one thread: the one that trains. As a context manager it leaves at the end.

    Attributes:
        model: The model to train: the one given to `join`, or its wrapper when the run's method
            adds parameters (LoRA).
    """

    def __init__(
        self,
        config: RunConfig,
        state: Path,
        assembly: Assembly,
        learner: ApplicationLearner,
        transport: Transport | None,
        record: Path | None,
    ) -> None:
        assert assembly.adapted is not None
        self.model: nn.Module = assembly.adapted.model
        self._config = config
        self._adapted = assembly.adapted
        self._assembly = assembly
        self._learner = learner
        self._notices: queue.SimpleQueue[RoundFinished | Finished | Left] = queue.SimpleQueue()
        self._round = 0
        self._stopped: StopReason | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._node: Node | None = None
        self._closing = trio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(state, transport, record), name="p2pfed", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise LocalError(f"the peer did not start within {_START_S:.0f} s")
        self._check()
        # A peer that was here before goes on from its last model.
        self._adapted.load_vector(learner.vector())

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def exchange(
        self, *, loss: float | None = None, examples: int = 0, steps: int | None = None
    ) -> ExchangeReport:
        """Publish the model as it is now, integrate what has arrived, and load the result.

        Call it after every few local steps. Runs wait for neighbors as their `schedule` says: by
        default not at all, and synchronous ones no longer than `deadline_s`.

        Args:
            loss: Mean training loss since the last exchange, for status.
            examples: Examples trained on since then.
            steps: Local steps taken since then; `training.normal_steps` needs to know.

        Raises:
            LocalError: If the session is closed, or its background failed.
        """
        self._check()
        if self._stopped is not None:
            return ExchangeReport(round=self._round, stopped=self._stopped)
        report = TrainingReport(loss=loss, examples=examples, steps=steps)
        self._learner.submit(self._adapted.vector(), report)
        notice = self._next_notice()
        if not isinstance(notice, RoundFinished):
            return ExchangeReport(round=self._round, stopped=self._stopped)
        self._adapted.load_vector(self._learner.vector())
        self._round = notice.round + 1
        score = None if notice.evaluation is None else notice.evaluation.score
        rounds_max = self._config.schedule.rounds_max
        if rounds_max and self._round >= rounds_max:
            self._next_notice()  # the end is told right after the last round
        return ExchangeReport(
            round=notice.round,
            verdicts=notice.verdicts,
            own_weight=notice.own_weight,
            score=score,
            stopped=self._stopped,
        )

    def report(self) -> SessionReport:
        """Return where the peer stands.

        Raises:
            LocalError: If the session is closed, or its background failed.
        """
        self._check()
        node, token = self._node, self._token
        assert node is not None
        assert token is not None

        def collect() -> SessionReport:
            return SessionReport(
                peer=format_peer_id(node.peer),
                addresses=tuple(node.addresses()),
                status=node.status(),
                traffic=node.traffic(),
            )

        return trio.from_thread.run_sync(collect, trio_token=token)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model that the peer holds: a PEFT adapter folder for LoRA, else weights.

        Returns:
            The folder.
        """
        live = self._adapted.vector()  # the program's own steps since the last exchange
        self._adapted.load_vector(self._learner.vector())
        try:
            return self._export(Path(folder))
        finally:
            self._adapted.load_vector(live)

    def _export(self, folder: Path) -> Path:
        return export_adapter(self._adapted, folder, run_name=self._config.run.name)

    def close(self) -> None:
        """Say goodbye to the neighbors and stop, within 5 s; closing twice is no error."""
        if self._token is not None and self._thread.is_alive():
            self._token.run_sync_soon(self._closing.set)
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            _log.warning("the peer did not leave within %.0f s; its thread goes on", _CLOSE_S)

    # Background ----------------------------------------------------------------------------

    def _run(self, state: Path, transport: Transport | None, record: Path | None) -> None:
        try:
            trio.run(self._serve, state, transport, record)
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self, state: Path, transport: Transport | None, record: Path | None) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with opening.open_node(
            self._config,
            state=state,
            agreement=self._assembly.agreement,
            bench=self._assembly.bench,
            on_notice=self._take_notice,
            transport=transport,
            record=record,
        ) as node:
            self._node = node
            node.begin()
            await node.wait_begun()
            self._ready.set()
            await self._closing.wait()

    def _take_notice(self, notice: Notice) -> None:
        if isinstance(notice, RoundFinished | Finished | Left):
            self._notices.put(notice)
        elif isinstance(notice, PartIdle):
            _log.warning("%s %s", notice.part, notice.reason)
        elif isinstance(notice, LogsLeftOut):
            _log.warning("%s", notice.reason)

    def _next_notice(self) -> RoundFinished | Finished | Left:
        while True:
            try:
                notice = self._notices.get(timeout=_POLL_S)
            except queue.Empty:
                self._check()
                continue
            if isinstance(notice, Finished):
                self._stopped = notice.reason
            elif isinstance(notice, Left):
                self._stopped = self._stopped or StopReason.COMMAND
            return notice

    def _check(self) -> None:
        if self._error is not None:
            raise LocalError(f"the peer in the background failed: {self._error}") from self._error
        if not self._thread.is_alive():
            raise LocalError("the session is closed")


def join(
    run: str | Path | RunConfig,
    *,
    model: nn.Module,
    train_data: Sized | None = None,
    evaluate: Callable[[], Score] | None = None,
    state: str | Path | None = None,
    transport: Transport | None = None,
    record: str | Path | None = None,
) -> Session:
    """Let a training program take part in a run, from any thread.

    The program keeps its own loop and optimizer and calls `exchange` now and then. Build the
    optimizer after `join`, on the parameters of `session.model` that require gradients.

    All peers must start from the same values. What trains is therefore set to values that follow
    from the run's seed, unless the run file says `method.initial = "given"`: then the model's own
    values are kept, and peers whose values differ refuse each other. Say so for pretrained models.

    Args:
        run: The run file, or its content.
        model: The model; prepared by the run's method, which freezes what does not travel.
        train_data: The program's training data; only its length is used, as a claim.
        evaluate: Called without arguments, while the program waits in `exchange`, with the
            integrated values in the model; returns a score (larger is better), or (score, loss).
            Rules that score models call it for neighbors' too, and need scores in [0, 1]. A loss
            gate needs the loss, and judges nobody without.
        state: State folder; by default the run file's.
        transport: The network; by default libp2p.
        record: Append everything that enters the protocol to this file, for `p2pfed node replay`.

    Raises:
        ConfigError: If a value of the run file cannot be used.
        LocalError: If the peer cannot start.
    """
    config, folder = _read(run)
    place = folder / config.node.state if state is None else Path(state)
    identity = opening.load_identity(place)
    if evaluate is None:
        schedule = config.schedule.model_copy(
            update={"evaluate_every_rounds": 0, "test_every_rounds": 0}
        )
        config = config.model_copy(update={"schedule": schedule})
    adapted = adapt_model(config, model)
    learner = ApplicationLearner(
        adapted,
        evaluate=evaluate,
        example_count=0 if train_data is None else len(train_data),
    )
    assembly = assemble_learner(config, identity, learner, adapted=adapted)
    opening.check_agreement(assembly.agreement, folder, place)
    return Session(config, place, assembly, learner, transport, _path(record))


@final
class EmbeddedNode:
    """A node in a trio program; made by `open_node`."""

    def __init__(self, node: Node, assembly: Assembly) -> None:
        self._node = node
        self._finished = trio.Event()
        self._stopped: StopReason | None = None
        self.assembly = assembly

    @property
    def addresses(self) -> list[str]:
        """Multiaddresses under which others can dial this node."""
        return self._node.addresses()

    async def run(self, *, rounds: int | None = None) -> StopReason:
        """Take part until the stop rule ends training; the node goes on serving after that.

        Args:
            rounds: Replaces the run file's number of rounds.
        """
        self._node.begin(rounds_max=rounds)
        await self._finished.wait()
        assert self._stopped is not None
        return self._stopped

    def status(self) -> PeerStatus:
        """Return the protocol's summary."""
        return self._node.status()

    def traffic(self) -> Traffic:
        """Return bytes on the wire so far."""
        return self._node.traffic()

    def stop(self) -> None:
        """Stop training; `run` returns."""
        self._node.command(Command.STOP)

    def take_notice(self, notice: Notice) -> None:
        """Watch for the end of training."""
        if isinstance(notice, Finished):
            self._stopped = notice.reason
            self._finished.set()
        elif isinstance(notice, Left):
            self._stopped = self._stopped or StopReason.COMMAND
            self._finished.set()


@asynccontextmanager
async def open_node(
    run: str | Path | RunConfig,
    *,
    learner: Learner | None = None,
    state: str | Path | None = None,
    on_notice: Callable[[Notice], None] | None = None,
    transport: Transport | None = None,
    record: str | Path | None = None,
) -> AsyncIterator[EmbeddedNode]:
    """Run a node inside a trio program; leaving the block leaves the run.

    Args:
        run: The run file, or its content.
        learner: Who learns; by default the run file's task is loaded. For rules that score models
            it can be a `p2pfed.learn.learner.ShardScorer`.
        state: State folder; by default the run file's.
        on_notice: Called with everything that happens, on the trio thread.
        transport: The network; by default libp2p.
        record: As of `join`.

    Raises:
        ConfigError: If a value of the run file cannot be used.
        LocalError: If the state folder is in use.
    """
    config, folder = _read(run)
    place = folder / config.node.state if state is None else Path(state)
    identity = opening.load_identity(place)
    if learner is None:
        assembly = await trio.to_thread.run_sync(assemble, config, identity)
    else:
        assembly = assemble_learner(config, identity, learner)
    opening.check_agreement(assembly.agreement, folder, place)
    embedded: list[EmbeddedNode] = []

    def take(notice: Notice) -> None:
        embedded[0].take_notice(notice)
        if on_notice is not None:
            on_notice(notice)

    async with opening.open_node(
        config,
        state=place,
        agreement=assembly.agreement,
        bench=assembly.bench,
        on_notice=take,
        transport=transport,
        record=_path(record),
    ) as node:
        embedded.append(EmbeddedNode(node, assembly))
        yield embedded[0]


def _read(run: str | Path | RunConfig) -> tuple[RunConfig, Path]:
    if isinstance(run, RunConfig):
        return run, Path.cwd()
    path = Path(run)
    return load(path), path.parent


def _path(record: str | Path | None) -> Path | None:
    return None if record is None else Path(record)
