"""Runs one node from a run file to its end: for the command line, demonstrations and tests."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import trio
from torch import Tensor

from p2pfed.config.learning import Assembly, assemble
from p2pfed.config.model import RunConfig
from p2pfed.core.notices import Finished, NeighborJoined, NeighborLost, Notice, RoundFinished
from p2pfed.errors import ConfigError, LocalError
from p2pfed.identity import format_peer_id
from p2pfed.learn.jobs import unchanged
from p2pfed.learn.task import Task
from p2pfed.node import opening
from p2pfed.node.addresses import parse_address
from p2pfed.node.driver import Node
from p2pfed.node.interruption import interruptible
from p2pfed.node.outcome import INTERRUPTED, NodeEvent, NodeOutcome
from p2pfed.node.status import Chronicle, NodeStatus, read_status, write_status
from p2pfed.node.transport import Transport

_log = logging.getLogger(__name__)

_STATUS_S: Final = 2.0  # guess: how old a status may look to somebody who watches


def _ignore(_: NodeEvent) -> None:
    pass


async def run_node(
    config: RunConfig,
    folder: Path,
    *,
    state: Path | None = None,
    task: Task | None = None,
    transport: Transport | None = None,
    before_publish: Callable[[Tensor], Tensor] = unchanged,
    on_event: Callable[[NodeEvent], None] = _ignore,
    interrupt: trio.Event | None = None,
    record: Path | None = None,
) -> NodeOutcome:
    """Learn, begin, take part until the stop rule and the linger time end it, and leave.

    Set `interrupt` to end it early: the neighbors are told, within 3 s. Cancelling it ends it too,
    without an outcome.

    Args:
        config: The run file.
        folder: Where the run file lies; a genesis beside it must be the one that it leads to.
        state: State folder; by default the run file's, relative to `folder`.
        task: Replaces the run file's task, with this peer's rows already.
        transport: The network; by default libp2p.
        before_publish: Applied to the own difference from the initial vector before it is
            encoded, shape (d,) to (d,); lets experiments make a peer hostile.
        on_event: Called on the trio thread with everything that happens.
        interrupt: Leaves when it is set, and still returns an outcome.
        record: Append everything that enters the core to this file, for `node replay`.

    Raises:
        ConfigError: If a value of the run file cannot be used.
        LocalError: If the state folder is in use or belongs to another run.
        TransportError: If an address cannot be listened on.
        KeyboardInterrupt: If it was told to leave before it had begun.
    """
    if transport is None:
        _check_addresses(config)
    place = folder / config.node.state if state is None else state
    run = _Run(config, folder, place, on_event, record)
    build = partial(
        assemble,
        config,
        opening.load_identity(place),
        task=task,
        before_publish=before_publish,
    )
    told = trio.Event() if interrupt is None else interrupt
    assembly: Assembly | None = None
    try:
        async with _until(told):
            assembly = await trio.to_thread.run_sync(build, abandon_on_cancel=True)
        if assembly is not None:
            await run.take_part(assembly, transport, told)
    except BaseExceptionGroup as group:
        raise _lone(group) from group
    return await run.outcome()


def run_process(
    config: RunConfig,
    folder: Path,
    *,
    state: Path | None = None,
    before_publish: Callable[[Tensor], Tensor] = unchanged,
    on_event: Callable[[NodeEvent], None] = _ignore,
    record: Path | None = None,
) -> NodeOutcome:
    """Run a node as what this process is for, from its main thread.

    SIGINT and SIGTERM leave within 3 s: if something hangs, or at a second signal, the process
    exits at once.

    Args:
        config: See `run_node`, as for the others.
        folder: Where the run file lies.
        state: State folder.
        before_publish: Applied to the own difference.
        on_event: Called with everything that happens.
        record: Append everything that enters the core to this file.

    Raises:
        ConfigError: See `run_node`, as for the others.
        LocalError: If the state folder cannot be used.
        TransportError: If an address cannot be listened on.
        KeyboardInterrupt: If a signal came before the node had begun.
    """
    run = partial(
        run_node,
        config,
        folder,
        state=state,
        before_publish=before_publish,
        on_event=on_event,
        record=record,
    )

    async def until_signal() -> NodeOutcome:
        interrupt = trio.Event()
        token = trio.lowlevel.current_trio_token()
        with interruptible(lambda: token.run_sync_soon(interrupt.set)):
            return await run(interrupt=interrupt)

    return trio.run(until_signal)


@final
class _Run:
    """One run of one node, its status file included."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        place: Path,
        on_event: Callable[[NodeEvent], None],
        record: Path | None,
    ) -> None:
        self._config, self._folder, self._place = config, folder, place
        self._record = record
        self._on_event = on_event
        self._assembly: Assembly | None = None
        self._chronicle: Chronicle | None = None
        self._node: Node | None = None
        self._last: NodeStatus | None = None
        self._news = trio.Event()

    async def take_part(
        self, assembly: Assembly, transport: Transport | None, told: trio.Event
    ) -> None:
        """Run the node to its end, or until it is told to leave."""
        opening.check_agreement(assembly.agreement, self._folder, self._place)
        self._assembly = assembly
        async with opening.open_node(
            self._config,
            state=self._place,
            agreement=assembly.agreement,
            bench=assembly.bench,
            on_notice=self._take_notice,
            transport=transport,
            record=self._record,
        ) as node:
            opening.keep_genesis(self._folder, self._place)
            self._chronicle = Chronicle(
                peer_id=format_peer_id(node.peer),
                run_id=assembly.agreement.run_id.hex(),
                run_name=assembly.agreement.genesis.name,
                rounds_max=self._config.schedule.rounds_max or None,
                earlier=self._earlier_status(),
            )
            self._node = node
            # The node itself is not cancelled: it says goodbye when the outer block is left.
            async with _until(told) as nursery:
                node.begin()
                await node.wait_begun()
                if self._last is None:
                    self._show(None)
                nursery.start_soon(self._keep_status)
                await node.wait_left()

    async def outcome(self) -> NodeOutcome:
        """Return how it ended."""
        if self._last is None or self._chronicle is None or self._node is None:
            raise KeyboardInterrupt("before the node had begun")
        assert self._assembly is not None
        status = self._chronicle.status(self._node)
        await self._write(status)
        digest = None
        if status.stop_reason is not None:
            digest = (await trio.to_thread.run_sync(self._assembly.bench.digest)).hex()
        return NodeOutcome(
            status=status,
            stop_reason=status.stop_reason or INTERRUPTED,
            model_digest=digest,
            state=self._place,
        )

    def _earlier_status(self) -> Mapping[str, Any] | None:
        try:
            return read_status(self._place)
        except LocalError as error:
            _log.warning("%s", error)  # cut off when the machine stopped; nothing depends on it
            return None

    def _take_notice(self, notice: Notice) -> None:
        assert self._chronicle is not None
        if self._last is None:
            self._show(None)  # that the node has begun comes before what it then says
        self._chronicle.take(notice)
        if isinstance(notice, RoundFinished | Finished | NeighborJoined | NeighborLost):
            self._news.set()
        self._show(notice)

    def _show(self, notice: Notice | None) -> None:
        assert self._chronicle is not None
        assert self._node is not None
        self._last = self._chronicle.status(self._node)
        self._on_event(NodeEvent(status=self._last, notice=notice))

    async def _keep_status(self) -> None:
        """Write the status when much has changed, and every few seconds."""
        while True:
            self._news = trio.Event()
            assert self._last is not None
            await self._write(self._last)
            with trio.move_on_after(_STATUS_S) as waiting:
                await self._news.wait()
            if waiting.cancelled_caught:
                self._show(None)

    async def _write(self, status: NodeStatus) -> None:
        try:
            await trio.to_thread.run_sync(write_status, self._place, status)
        except LocalError as error:
            _log.warning("%s", error)  # a full disk costs the news, not the learning


def _check_addresses(config: RunConfig) -> None:
    """Notice before a large model is loaded what would stop the node after it."""
    tables = {"node.listen": config.node.listen, "node.announce": config.node.announce or ()}
    for field, addresses in tables.items():
        for address in addresses:
            try:
                parse_address(address)
            except LocalError as error:
                fix = "write a multiaddress such as /ip4/0.0.0.0/tcp/4001 (tcp/0: any port)"
                raise ConfigError(field, address, fix) from error


@asynccontextmanager
async def _until(event: trio.Event) -> AsyncIterator[trio.Nursery]:
    """Give the block up when an event happens; what it started ends with it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when, event, nursery.cancel_scope)
        yield nursery
        nursery.cancel_scope.cancel()


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _lone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the only error of a group; the group where several things went wrong."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
