"""Puts a node together: state folder, identity, transport, driver."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import trio

from p2pfed.config.assembly import Agreement, core_config
from p2pfed.config.model import RunConfig
from p2pfed.core.events import Command
from p2pfed.core.notices import Notice
from p2pfed.errors import ConfigError, RemoteError
from p2pfed.identity import Identity
from p2pfed.node.driver import Node
from p2pfed.node.jobs import Bench
from p2pfed.node.libp2p_transport import LibP2PTransport
from p2pfed.node.recording import RecordFile
from p2pfed.node.store import StateStore, write_atomically
from p2pfed.node.transport import Transport
from p2pfed.wire import genesis as genesis_format
from p2pfed.wire.genesis_report import difference

GENESIS_FILE = "genesis.msgpack"
IDENTITY_FILE = "identity.key"


def load_identity(state: Path) -> Identity:
    """Return the identity in a state folder; make folder and identity if there is none.

    Raises:
        ConfigError: If the file is damaged or others can read it.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Identity.load_or_create(state / IDENTITY_FILE)


def keep_genesis(folder: Path, state: Path) -> None:
    """Copy the genesis beside a run file into its state folder, unless a copy is there.

    From then on its absence beside the run file is no first start. Run files of one's own may have
    no genesis beside them; their state has no copy either.
    """
    path, copy = folder / GENESIS_FILE, state / GENESIS_FILE
    if path.exists() and not copy.exists():
        write_atomically(copy, path.read_bytes())


def check_agreement(agreement: Agreement, folder: Path, state: Path) -> None:
    """Compare the genesis that the run file leads to with the one that the folder was made for.

    Args:
        agreement: What the run file leads to.
        folder: Of the run file, with the genesis beside it.
        state: The state folder, with a copy if there has been one.

    Raises:
        ConfigError: If they differ, naming the first difference, or if the genesis is gone.
    """
    path, copy = folder / GENESIS_FILE, state / GENESIS_FILE
    if not path.exists():
        if copy.exists():
            fix = f"is missing; put it back: cp {copy} {path} (or make a new folder: p2pfed init)"
            raise ConfigError("genesis", str(path), fix)
        return
    try:
        saved = genesis_format.decode(path.read_bytes())
    except RemoteError as error:
        fix = f"is damaged ({error}); make the run anew: p2pfed init"
        raise ConfigError("genesis", str(path), fix) from error
    found = difference(agreement.genesis, saved)
    if found is not None:
        fix = f"differs from {path}: {found}; undo the change, or make a new folder: p2pfed init"
        raise ConfigError("run file", agreement.genesis.name, fix)


@asynccontextmanager
async def open_node(
    config: RunConfig,
    *,
    state: Path,
    agreement: Agreement,
    bench: Bench,
    on_notice: Callable[[Notice], None],
    transport: Transport | None = None,
    record: Path | None = None,
) -> AsyncIterator[Node]:
    """Run a node in the background of the block; it listens, and takes part after `begin`.

    Leaving the block says goodbye to the neighbors, for at most 3 s.

    Args:
        config: The run file.
        state: Its state folder.
        agreement: The run's genesis.
        bench: Does the learning.
        on_notice: Called with everything that happens.
        transport: The network; by default libp2p on the run file's addresses.
        record: Append everything that enters the core to this file, for `node replay`.

    Raises:
        ConfigError: If the record is another peer's, or none.
        LocalError: If the state folder is in use.
        TransportError: If an address cannot be listened on.
    """
    identity = load_identity(state)
    if transport is None:
        transport = LibP2PTransport(
            identity, listen=config.node.listen, announce=config.node.announce
        )
    with StateStore(state) as store, _opened(record, identity) as file:
        node = Node(
            config=core_config(config, agreement, announce=config.node.announce or ()),
            identity=identity,
            genesis=agreement.encoded,
            bench=bench,
            transport=transport,
            state=store,
            on_notice=on_notice,
            record=file,
        )
        # Shielded, so that neighbors are told goodbye also when the block is cancelled.
        life = trio.CancelScope(shield=True)

        async def live(*, task_status: trio.TaskStatus[None]) -> None:
            with life:
                await node.run(task_status=task_status)

        async with trio.open_nursery() as nursery:
            await nursery.start(live)
            try:
                yield node
            finally:
                with trio.move_on_after(_LEAVE_S, shield=True):
                    node.command(Command.LEAVE)
                    await node.wait_left()
                life.cancel()


@contextmanager
def _opened(record: Path | None, identity: Identity) -> Iterator[RecordFile | None]:
    if record is None:
        yield None
        return
    with closing(RecordFile(record, identity.peer)) as file:
        yield file


_LEAVE_S = 1.5  # guess: half of the 3 s that an operator is promised; closing takes the rest
