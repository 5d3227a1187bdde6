"""The batches of all peers at once: to the last bit those that each would draw alone."""

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2pfed.learn.draws import draw_batches

_WORDS: Final = 624  # of the state of a Mersenne twister
_SHIFT: Final = 397  # how far away the word lies that is mixed into another
_ALIKE: Final = _WORDS - _SHIFT  # so many words follow from the state before alone
_ROWS_MAX: Final = 100_000  # far below where torch draws 64 bits for each row
_PEERS_MIN: Final = 32  # of one number of rows; fewer are as fast one by one. Measured

_Words = NDArray[np.uint32]


@final
class BatchDraws:
    """Draws what `draw_batches` does, for all peers of a run.

    Args:
        names: The peers'.
        row_counts: Training rows of each, at least 1.
        step_count: Batches in a round.
        batch_size: Rows in each.
        seed: The run's shared seed.

    Source: Matsumoto and Nishimura 1998, "Mersenne twister: a 623-dimensionally equidistributed
        uniform pseudo-random number generator"; Fisher and Yates, as torch's `randperm` shuffles on
        CPUs. A torch that does otherwise is found out, and asked for each peer.
    """

    def __init__(
        self,
        names: Sequence[str],
        row_counts: Sequence[int],
        *,
        step_count: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self._names, self._row_counts, self._seed = tuple(names), tuple(row_counts), seed
        self._step_count, self._batch_size = step_count, batch_size
        self._labeled = [_labeled(_keyed(seed), "batches", name) for name in names]
        groups: dict[int, list[int]] = {}
        for peer, count in enumerate(row_counts):
            groups.setdefault(count, []).append(peer)
        self._alike = {
            count: peers
            for count, peers in groups.items()
            if len(peers) >= _PEERS_MIN and count <= _ROWS_MAX and _is_as_torch()
        }
        self._others = [peer for peer, it in enumerate(row_counts) if it not in self._alike]

    def draw(self, round: int) -> Tensor:
        """Return the numbers of every step's rows among each peer's own, shape (steps, n, b)."""
        needed = self._step_count * self._batch_size
        orders = torch.empty(len(self._names), needed, dtype=torch.int64)
        label = _framed(round)
        for count, peers in self._alike.items():
            seeds = _seeds_of([self._labeled[peer] for peer in peers], label)
            orders[peers] = torch.from_numpy(_shuffled(seeds, count, needed))
        for peer in self._others:
            orders[peer] = torch.cat(
                draw_batches(
                    step_count=self._step_count,
                    batch_size=self._batch_size,
                    row_count=self._row_counts[peer],
                    seed=self._seed,
                    peer=self._names[peer],
                    round=round,
                )
            )
        return orders.view(len(self._names), self._step_count, self._batch_size).transpose(0, 1)


@cache
def _is_as_torch() -> bool:
    """Return whether this torch shuffles as this module does."""
    seeds = np.array([5, (1 << 62) + 7], dtype=np.uint64)
    for count, needed in ((3, 10), (40, 100), (700, 1_000)):
        for seed, row in zip(seeds, _shuffled(seeds, count, needed), strict=True):
            generator = torch.Generator().manual_seed(int(seed))
            orders = [torch.randperm(count, generator=generator) for _ in range(needed)]
            if not torch.equal(torch.cat(orders)[:needed], torch.from_numpy(row)):
                return False
    return True


def _keyed(seed: int) -> Any:
    """Return a hash as `p2pfed.learn.randomness.derive_seed` begins it."""
    return blake2b(key=seed.to_bytes(8, "little"), digest_size=8)


def _framed(label: str | int) -> bytes:
    """Return what `derive_seed` hashes of a label."""
    encoded = repr(label).encode()
    return len(encoded).to_bytes(4, "little") + encoded


def _labeled(state: Any, *labels: str | int) -> Any:
    """Go on with a hash as `derive_seed` does."""
    state.update(b"".join(map(_framed, labels)))
    return state


def _seeds_of(states: Sequence[Any], framed: bytes) -> NDArray[np.uint64]:
    """Return the seed that each hash leads to with one more label, shape (n,)."""
    digests = []
    for state in states:
        hashed = state.copy()
        hashed.update(framed)
        digests.append(hashed.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8") >> np.uint64(1)


def _shuffled(seeds: NDArray[np.uint64], count: int, needed: int) -> NDArray[np.int64]:
    """Return permutations of as many rows behind each other, as far as needed, (n, needed).

    Args:
        seeds: Of each generator.
        count: How many rows are permuted.
        needed: How many numbers are asked for.
    """
    parts = [min(count, needed - start) for start in range(0, needed, count)]
    draw_counts = [min(count - 1, part) for part in parts]
    # Whole shuffles but for the last draw count - 1 numbers, whether all are looked at or not.
    words = _words(seeds, (len(parts) - 1) * (count - 1) + draw_counts[-1])
    peers = np.arange(len(seeds))
    shuffles = []
    for number, (part, draw_count) in enumerate(zip(parts, draw_counts, strict=True)):
        order = np.repeat(np.arange(count)[:, None], len(seeds), axis=1)  # (count, n)
        for step in range(draw_count):
            other = words[number * (count - 1) + step] % np.uint32(count - step) + np.uint32(step)
            mine = order[step].copy()
            order[step] = order[other, peers]
            order[other, peers] = mine
        shuffles.append(order[:part])
    return np.concatenate(shuffles).T


def _words(seeds: NDArray[np.uint64], count: int) -> _Words:
    """Return the first numbers of torch's generator for each seed, shape (count, n)."""
    state = _first_state(seeds, min(_WORDS, count + _SHIFT + 1) if count <= _ALIKE else _WORDS)
    if count <= _ALIKE:
        return _tempered(_mixed(state[:count], state[1 : count + 1], state[_SHIFT:][:count]))
    blocks = []
    for _ in range(-(-count // _WORDS)):
        state = _twisted(state)
        blocks.append(_tempered(state))
    return np.concatenate(blocks)[:count]


def _first_state(seeds: NDArray[np.uint64], count: int) -> _Words:
    state = np.empty((count, len(seeds)), dtype=np.uint32)
    state[0] = seeds & np.uint64(0xFFFFFFFF)
    for place in range(1, count):
        before, after = state[place - 1], state[place]
        np.right_shift(before, np.uint32(30), out=after)
        after ^= before
        after *= np.uint32(1812433253)
        after += np.uint32(place)
    return state


def _twisted(state: _Words) -> _Words:
    """Return the state that follows, shape (624, n)."""
    after = np.empty_like(state)
    following = np.concatenate([state[1:], state[:1]])
    for start, end in ((0, _ALIKE), (_ALIKE, 2 * _ALIKE), (2 * _ALIKE, _WORDS)):
        if end == _WORDS:
            following[-1] = after[0]
        distant = state[_SHIFT:] if start == 0 else after[start - _ALIKE : end - _ALIKE]
        after[start:end] = _mixed(state[start:end], following[start:end], distant)
    return after


def _mixed(state: _Words, following: _Words, distant: _Words) -> _Words:
    joined = (state & np.uint32(0x80000000)) | (following & np.uint32(0x7FFFFFFF))
    mixed: _Words = distant ^ (joined >> np.uint32(1))
    mixed ^= (joined & np.uint32(1)) * np.uint32(0x9908B0DF)
    return mixed


def _tempered(words: _Words) -> _Words:
    mixed: _Words = words ^ (words >> np.uint32(11))
    mixed ^= (mixed << np.uint32(7)) & np.uint32(0x9D2C5680)
    mixed ^= (mixed << np.uint32(15)) & np.uint32(0xEFC60000)
    mixed ^= mixed >> np.uint32(18)
    return mixed
