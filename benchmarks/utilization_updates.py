"""What updates of a LoRA of 42 million parameters take: bytes, and seconds of one core.

The stubs that play them in `benchmarks.utilization_world` have these sizes and take this long, so
that sixteen peers need no sixteen models.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

import robust
from benchmarks.codec_speed import make_vector
from p2pfed.core.config import UpdateFamily
from p2pfed.identity import PeerId
from p2pfed.learn.ledger_entries import encode_entry
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import Sparse
from p2pfed.updates.log import Writer
from p2pfed.updates.registry import create_codec
from p2pfed.updates.sparse_sum.contributor import Contributor
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.terms import Terms
from p2pfed.wire.payload import MAIN, decode_payload, encode_payload

PEERS: Final = 16
VALUES: Final = 42_000_000
REPEATS: Final = 3
_DISTINCT_ROWS: Final = 4  # what a rule takes does not depend on it, and memory does


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One way to send what was learned.

    Attributes:
        codec: Its codec.
        family: What its updates are to each other.
        payload_bytes: Of each, for `VALUES` parameters; a test has the codec make one.
    """

    codec: Codec
    family: UpdateFamily
    payload_bytes: int


UPDATES: Final[Mapping[str, Update]] = {
    "sparse-sum": Update(
        codec=Sparse(chunk=4096, kept=64),
        family=UpdateFamily.LEDGER,
        payload_bytes=820_084,
    ),
    "lora, int4": Update(
        codec=create_codec("int4"),
        family=UpdateFamily.DIFFERENCE,
        payload_bytes=19_811_485,
    ),
    "lora, float32": Update(
        codec=create_codec("float32"),
        family=UpdateFamily.WHOLE,
        payload_bytes=168_000_019,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a peer does beside its local steps, in seconds of one core.

    Attributes:
        publish_s: From what the steps changed to a payload.
        read_s: To check and decode one payload of another peer, beside the training.
        integrate_s: To take in those of a round, by how many these are.
    """

    publish_s: float
    read_s: float
    integrate_s: Mapping[int, float]


NO_COSTS: Final = Costs(publish_s=0.0, read_s=0.0, integrate_s={})


def make_payload(name: str, values: int = VALUES) -> bytes:
    """Encode one update as a peer does."""
    difference = make_vector(values)
    if name != "sparse-sum":
        return encode_payload(UPDATES[name].codec.encode(difference), {})
    ledger, me = _sum_of(values), Writer(PeerId(bytes(32)), 1)
    operation = Contributor(ledger.terms).next_operation(ledger, me, difference)
    return encode_entry(ledger, operation)


def measure(name: str, rows: tuple[int, ...], values: int = VALUES) -> dict[str, Any]:
    """Return the size of a payload, and the fields of `Costs`.

    Args:
        name: Of `UPDATES`.
        rows: How many updates of others are integrated at once, each of them measured.
        values: Parameters of the update.
    """
    torch.set_num_threads(1)
    found = _measure_sum if name == "sparse-sum" else _measure_vectors
    return {"payload_bytes": len(make_payload(name, values)), **found(name, rows, values)}


def costs_of(found: Mapping[str, Any]) -> Costs:
    """Read what `measure` returned, or JSON made of it."""
    return Costs(
        publish_s=found["publish_s"],
        read_s=found["read_s"],
        integrate_s={int(count): seconds for count, seconds in found["integrate_s"].items()},
    )


def _measure_sum(name: str, rows: tuple[int, ...], values: int) -> dict[str, Any]:
    assert name == "sparse-sum"
    difference, start = make_vector(values), torch.zeros(values)
    ledger = _sum_of(values)
    me, *others = (Writer(PeerId(bytes([number]) * 32), 1) for number in range(PEERS))
    contributor = Contributor(ledger.terms)

    def publish() -> bytes:
        operation = contributor.next_operation(ledger, me, difference)
        ledger.apply(me, ledger.sequence(me) + 1, operation)
        return encode_entry(ledger, operation)

    payload = publish()
    operation = ledger.decode(_main(payload))
    # Sums of all others would take 5 GB, and as long to add up as those of one.
    ledger._logs |= dict.fromkeys(others, ledger.log(me))
    log = _sum_of(values).log(me)

    def take_in(count: int) -> None:
        for _ in range(count):
            log.append(operation)
        ledger.materialize(start)

    return {
        "publish_s": _seconds(lambda: (publish(), ledger.materialize(start))),
        "read_s": _seconds(lambda: ledger.decode(_main(payload))),
        "integrate_s": {count: _seconds(lambda count=count: take_in(count)) for count in rows},
    }


def _measure_vectors(name: str, rows: tuple[int, ...], values: int) -> dict[str, Any]:
    codec, own = UPDATES[name].codec, make_vector(values)
    payload = encode_payload(codec.encode(own), {})
    vectors = [own.roll(shift) for shift in range(1, 1 + _DISTINCT_ROWS)]
    integrator = robust.Integrator(seed=0)

    def integrate(count: int) -> None:
        integrator.integrate(
            own,
            [
                robust.Row(peer=bytes([k]) * 32, vector=vectors[k % _DISTINCT_ROWS])
                for k in range(count)
            ],
        )

    return {
        "publish_s": _seconds(lambda: encode_payload(codec.encode(own), {})),
        "read_s": _seconds(lambda: codec.decode(_main(payload), values)),
        "integrate_s": {count: _seconds(lambda count=count: integrate(count)) for count in rows},
    }


def _sum_of(values: int) -> SparseSum:
    codec = UPDATES["sparse-sum"].codec
    assert isinstance(codec, Sparse)
    return SparseSum(Terms(size=values, peer_count=PEERS, codec=codec))


def _main(payload: bytes) -> memoryview:
    return decode_payload(payload, section_bytes_max={MAIN: len(payload)}).main


def _seconds(call: Callable[[], object]) -> float:
    """Return the CPU seconds of a call, the median of some."""
    taken = []
    for _ in range(REPEATS):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken)
