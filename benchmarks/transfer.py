"""How fast payloads travel between two processes, against a bare py-libp2p stream.

Both sides of the comparison run on one machine, over TCP, Noise and Yamux on loopback, with the
same settings of the library. Ours is `LibP2PTransport.fetch` with a sink that keeps and hashes
what arrives; bare is a stream that is read and thrown away. They take turns (A B A B …), because
a shared machine is not equally fast all the time.

    python -m benchmarks.transfer            # a table
    python -m benchmarks.transfer --json     # one JSON object
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import libp2p
import trio
from blake3 import blake3
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID, Transport
from multiaddr import Multiaddr

from p2pfed.identity import Identity, parse_peer_id
from p2pfed.node.libp2p_transport import LibP2PTransport
from p2pfed.node.payload_buffer import allocate
from p2pfed.node.transport import PayloadSource, Traffic

BARE_PROTOCOL = TProtocol("/bench/bare/1")
READ_BYTES = 262_144
LISTEN = "/ip4/127.0.0.1/tcp/0"
RATIO_MIN = 0.85
OVERHEAD_MAX = 1.05
SMALL_BYTES = 300_000  # LoRA of rank 8 on a small encoder, in float32


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Megabytes per second (10^6 bytes) over all rounds of one side."""

    median: float
    slowest: float
    fastest: float


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Bytes at the socket for one update, both directions, without the handshake."""

    payload_bytes: int
    wire_bytes: int

    @property
    def factor(self) -> float:
        """Wire bytes per payload byte."""
        return self.wire_bytes / self.payload_bytes


def make_payload(size_bytes: int) -> bytes:
    """Return bytes that both processes can make and that do not compress."""
    return blake3(b"p2pfed benchmark").digest(length=size_bytes)


@asynccontextmanager
async def bare_host() -> AsyncIterator[BasicHost]:
    """Run a plain py-libp2p host; the library's settings are those of the running process."""
    keys = create_new_key_pair(os.urandom(32))
    noise = Transport(keys, noise_privkey=create_noise_key_pair().private_key)
    listen = [Multiaddr(LISTEN)]
    host = libp2p.new_host(key_pair=keys, listen_addrs=listen, sec_opt={PROTOCOL_ID: noise})
    assert isinstance(host, BasicHost)
    async with host.run(listen_addrs=listen):
        try:
            yield host
        finally:
            with trio.move_on_after(3, shield=True):
                await host.close()


async def serve(size_bytes: int) -> None:
    """Serve the payload both ways until standard input ends."""
    payload = make_payload(size_bytes)

    async def serve_payload(_peer: bytes, _hash: bytes, _offset: int) -> PayloadSource:
        return PayloadSource.from_bytes(payload)

    async def serve_bare(stream: INetStream) -> None:
        await stream.read(1)
        for begin in range(0, size_bytes, READ_BYTES):
            await stream.write(payload[begin : begin + READ_BYTES])
        await stream.close()

    transport = LibP2PTransport(Identity.create(), listen=[LISTEN])
    async with transport.run(serve_payload), bare_host() as host:
        host.set_stream_handler(BARE_PROTOCOL, serve_bare)
        addresses = [transport.loopback_addresses()[0], str(host.get_addrs()[0])]
        print(json.dumps(addresses), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


async def fetch_ours(transport: LibP2PTransport, peer: Any, payload_hash: bytes, size: int) -> None:
    """Fetch as a node does: keep the bytes, hash them while they arrive."""
    kept = allocate(size)
    hasher = blake3()
    position = 0

    def sink(chunk: bytes) -> None:
        nonlocal position
        kept[position : position + len(chunk)] = chunk
        hasher.update(chunk)
        position += len(chunk)

    await transport.fetch(peer, payload_hash, size_bytes=size, offset=0, sink=sink)
    assert hasher.digest() == payload_hash


async def fetch_bare(host: BasicHost, peer_id: Any, size: int) -> None:
    """Read a stream and forget what came."""
    stream = await host.new_stream(peer_id, [BARE_PROTOCOL])
    await stream.write(b"\0")
    remaining = size
    while remaining:
        remaining -= len(await stream.read(min(READ_BYTES, remaining)))
    await stream.close()


async def measure(address: str, bare_address: str, size: int, rounds: int) -> dict[str, Any]:
    """Take turns, and count bytes for a large and a small update."""
    payload_hash = blake3(make_payload(size)).digest()
    ours = LibP2PTransport(Identity.create(), listen=[])
    peer = parse_peer_id(address.rsplit("/", 1)[1])

    async def refuse(_peer: bytes, _hash: bytes, _offset: int) -> str:
        return "nothing here"

    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    async with ours.run(refuse), bare_host() as host:
        await ours.dial(peer, [address])
        info = info_from_p2p_addr(Multiaddr(bare_address))
        await host.connect(info)
        turns: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("ours", lambda: fetch_ours(ours, peer, payload_hash, size)),
            ("bare", lambda: fetch_bare(host, info.peer_id, size)),
        ]
        for _, turn in turns:
            await turn()  # windows grow, caches warm
        before = ours.traffic()
        for _ in range(rounds):
            for name, turn in turns:
                begin = time.perf_counter()
                await turn()
                seconds[name].append(time.perf_counter() - begin)
        wire_bytes = math.ceil(count_between(before, ours.traffic()) / rounds)
        before = ours.traffic()
        offset = max(0, size - SMALL_BYTES)
        await ours.fetch(peer, payload_hash, size_bytes=size, offset=offset, sink=lambda _: None)
        small = Overhead(
            payload_bytes=size - offset, wire_bytes=count_between(before, ours.traffic())
        )
    return {"seconds": seconds, "wire_bytes": wire_bytes, "small": small}


def count_between(before: Traffic, after: Traffic) -> int:
    """Return the bytes at the socket in both directions."""
    return after.received_bytes - before.received_bytes + after.sent_bytes - before.sent_bytes


def run(size: int, rounds: int) -> dict[str, Any]:
    """Measure against a server in a process of its own and return everything for the report."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.transfer", "--serve", "--megabytes", str(size / 1e6)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            address, bare_address = json.loads(server.stdout.readline())
            measured = trio.run(measure, address, bare_address, size, rounds)
        finally:
            server.stdin.close()
            server.wait(timeout=10)
    speeds = {name: summarize(size, taken) for name, taken in measured["seconds"].items()}
    pairs = zip(measured["seconds"]["ours"], measured["seconds"]["bare"], strict=True)
    overhead = Overhead(payload_bytes=size, wire_bytes=measured["wire_bytes"])
    return {
        "payload_bytes": size,
        "rounds": rounds,
        "ours_mb_per_s": asdict(speeds["ours"]),
        "bare_mb_per_s": asdict(speeds["bare"]),
        "ratio_of_medians": speeds["ours"].median / speeds["bare"].median,
        "ratio_median_of_pairs": statistics.median(bare / ours for ours, bare in pairs),
        "ratio_needed": RATIO_MIN,
        "wire_bytes": overhead.wire_bytes,
        "wire_factor": overhead.factor,
        "small_payload_bytes": measured["small"].payload_bytes,
        "small_wire_factor": measured["small"].factor,
        "wire_factor_allowed": OVERHEAD_MAX,
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("libp2p", "trio", "blake3")},
    }


def summarize(size: int, seconds: list[float]) -> Speed:
    """Turn durations into speeds."""
    speeds = [size / 1e6 / taken for taken in seconds]
    return Speed(median=statistics.median(speeds), slowest=min(speeds), fastest=max(speeds))


def describe_machine() -> dict[str, Any]:
    """Return what a reader needs to place the numbers."""
    return {
        "cpus": os.cpu_count(),
        "load_1_min": os.getloadavg()[0],
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def print_table(result: dict[str, Any]) -> None:
    """Print the result for people."""
    machine = result["machine"]
    print(f"payload of {result['payload_bytes'] / 1e6:g} MB, {result['rounds']} rounds in turns")
    print(f"{'':6}{'median':>10}{'slowest':>10}{'fastest':>10}   MB/s")
    for name in ("ours", "bare"):
        speed = result[f"{name}_mb_per_s"]
        print(f"{name:6}{speed['median']:10.1f}{speed['slowest']:10.1f}{speed['fastest']:10.1f}")
    print(
        f"ours / bare: {result['ratio_of_medians']:.2f} of medians, "
        f"{result['ratio_median_of_pairs']:.2f} median of pairs (needed: {RATIO_MIN})"
    )
    print(
        f"bytes at the socket: {result['wire_bytes']} for {result['payload_bytes']}, "
        f"factor {result['wire_factor']:.4f}; "
        f"for {result['small_payload_bytes']} bytes {result['small_wire_factor']:.4f} "
        f"(allowed: {OVERHEAD_MAX})"
    )
    print(
        f"{machine['cpus']} CPUs {machine['architecture']}, load {machine['load_1_min']:.1f}, "
        f"{machine['system']}, Python {machine['python']}, "
        + ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    )


def is_met(result: dict[str, Any]) -> bool:
    """Return whether transfers are as fast and as lean as they have to be."""
    is_fast = result["ratio_median_of_pairs"] >= RATIO_MIN
    is_lean = max(result["wire_factor"], result["small_wire_factor"]) <= OVERHEAD_MAX
    return bool(is_fast and is_lean)


def main() -> int:
    """Run the benchmark; 0 if both requirements are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=50.0, help="size of the payload")
    parser.add_argument("--rounds", type=int, default=9, help="transfers of each side")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = round(options.megabytes * 1e6)
    if options.serve:
        trio.run(serve, size)
        return 0
    result = run(size, options.rounds)
    if options.json:
        print(json.dumps(result))
    else:
        print_table(result)
    # Of pairs, because the load of a shared machine changes within one run.
    return 0 if is_met(result) else 1


if __name__ == "__main__":
    sys.exit(main())
