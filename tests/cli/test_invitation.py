"""`p2pfed init --from`: a newcomer learns from a member what the run agrees on, and checks it."""

from contextlib import asynccontextmanager

import pytest
import trio
from msgspec.structs import replace

from p2pfed.config.files import load
from p2pfed.config.learning import assemble
from p2pfed.config.templates import template
from p2pfed.errors import FrameError, TransportError
from p2pfed.identity import Identity
from p2pfed.messages import Goodbye, GoodbyeReason, Hello, Role
from p2pfed.node.invitation import fetch_agreement
from p2pfed.node.libp2p_transport import LibP2PTransport
from p2pfed.node.running import run_node
from p2pfed.node.transport import LinkUp, PayloadSource
from p2pfed.wire import frames
from p2pfed.wire.genesis import field_digests
from tests.cli.test_init import TASK

pytestmark = [pytest.mark.net, pytest.mark.slow]

BOUND_S = 30.0
LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]


@asynccontextmanager
async def member(folder, task="digits", **overrides):
    """Run a node of a new run; yield its address."""
    fields = {"node.listen": LOOPBACK, "schedule.rounds_max": 0, "run.name": "theirs"}
    config = template(task, overrides=fields | overrides)
    addresses, interrupt = [], trio.Event()
    begun = trio.Event()

    def take(event):
        addresses[:] = event.status.addresses
        begun.set()

    async def run():
        await run_node(config, folder, on_event=take, interrupt=interrupt)

    with trio.fail_after(BOUND_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await begun.wait()
            yield addresses[0]
            interrupt.set()


async def in_thread(function, *words):
    return await trio.to_thread.run_sync(lambda: function(*words))


async def test_newcomer_joins(p2pfed, tmp_path):
    shared = {"codec.name": "int8", "codec.block": 16, "run.seed": 5, "training.batch_size": 9}
    async with member(tmp_path / "theirs", **shared) as address:
        found = await in_thread(p2pfed.json, "init", "mine", "--from", address)
    config = load(tmp_path / found["run_file"])
    assert (config.run.name, config.run.seed) == ("theirs", 5)
    assert (config.codec.name, config.codec.constants) == ("int8", {"block": 16})
    assert config.node.peers == [address]
    assert config.schedule.start_neighbors == 1
    assert config.training.batch_size != 9  # everybody's own choice
    ours = assemble(config, Identity.create()).agreement
    assert ours.run_id.hex() == found["run_id"]
    assert (tmp_path / "mine" / "genesis.msgpack").read_bytes() == ours.encoded


async def test_newcomer_with_another_model_is_told_the_difference(p2pfed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "member_task.py").write_text(TASK)
    async with member(tmp_path / "theirs", "member_task:make", **{"task.width": 6}) as address:
        words = ("init", "mine", "--from", address)
        error = await in_thread(lambda: p2pfed.error(*words, code=2))
        assert "parameters[0].shape of 0.bias: [4] here, [6] there" in error["fix"]
        assert not (tmp_path / "mine").exists()
        await in_thread(p2pfed.json, *words, "--set", "task.width=6")


async def test_nobody_there(p2pfed):
    peer = Identity.create().text
    address = f"/ip4/127.0.0.1/tcp/1/p2p/{peer}"
    error = await in_thread(lambda: p2pfed.error("init", "mine", "--from", address, code=4))
    assert address.split("/p2p/")[0] in error["message"]


@asynccontextmanager
async def stranger(message_of, payload):
    """Be a peer that greets with a message of its own and serves a payload of its own."""
    identity = Identity.create()
    transport = LibP2PTransport(identity, listen=LOOPBACK)

    async def serve(_peer, _hash, _offset):
        return payload if isinstance(payload, str) else PayloadSource.from_bytes(payload)

    async def greet():
        async for event in transport.events():
            if isinstance(event, LinkUp):
                transport.send(event.peer, frames.encode(message_of))

    with trio.fail_after(BOUND_S):
        async with transport.run(serve), trio.open_nursery() as nursery:
            nursery.start_soon(greet)
            yield transport.loopback_addresses()[0]
            nursery.cancel_scope.cancel()


def hello():
    """Return a true greeting of some run, and the run's genesis."""
    agreement = assemble(template("digits"), Identity.create()).agreement
    message = Hello(
        version=1,
        run_id=agreement.run_id,
        genesis_bytes=len(agreement.encoded),
        genesis_fields=field_digests(agreement.genesis),
        incarnation=1,
        role=Role.TRAIN,
        software="stranger",
        newest_of_yours=None,
    )
    return message, agreement.encoded


async def test_stranger_that_keeps_to_the_protocol():
    message, encoded = hello()
    async with stranger(message, encoded) as address:
        found = await fetch_agreement(address)
    assert found.encoded == encoded


async def test_genesis_that_is_not_what_was_announced():
    message, encoded = hello()
    async with stranger(message, encoded[:-1] + b"?") as address:
        with pytest.raises(FrameError, match="hash"):
            await fetch_agreement(address)


async def test_genesis_of_another_size():
    message, encoded = hello()
    async with stranger(replace(message, genesis_bytes=9), encoded) as address:
        with pytest.raises(Exception, match="9"):
            await fetch_agreement(address)


async def test_member_that_refuses():
    message, _ = hello()
    async with stranger(message, "not for you") as address:
        with pytest.raises(TransportError, match="not for you"):
            await fetch_agreement(address)


async def test_member_that_says_goodbye():
    message = Goodbye(reason=GoodbyeReason.TOO_MANY_NEIGHBORS, text="full house")
    async with stranger(message, b"") as address:
        with pytest.raises(TransportError, match="full house"):
            await fetch_agreement(address)
