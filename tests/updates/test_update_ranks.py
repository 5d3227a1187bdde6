"""The method `update-ranks`: what travels of an update are its largest entries, in their order."""

import pytest
import torch
from torch import Tensor

from p2pfed.errors import CodecError, ConfigError, LocalError
from p2pfed.updates.methods import FfaLora, UpdateRanks
from p2pfed.updates.registry import create_method
from p2pfed.updates.signed_ballots import SignedBallots
from robust.rules.update_vote import signed_ballot
from tests.updates.tiny import make_model

SIZE = 300


def draw(seed: int = 0) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))


def test_what_trains_is_that_of_ffa_lora() -> None:
    ours = UpdateRanks(rank=2).adapt(make_model(1), seed=3)
    theirs = FfaLora(rank=2).adapt(make_model(2), seed=3)
    assert ours.specification == theirs.specification
    assert torch.equal(ours.vector(), theirs.vector())
    assert {name: it.tolist() for name, it in ours.fixed.items()} == {
        name: it.tolist() for name, it in theirs.fixed.items()
    }


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_order_and_signs_survive_and_magnitudes_to_a_level(share: float) -> None:
    codec, vector = SignedBallots(share=share), draw()
    count = int(share * SIZE)
    decoded = codec.decode(codec.encode(vector), SIZE)
    assert torch.equal(signed_ballot(decoded, count), signed_ballot(vector, count))
    listed = decoded != 0
    assert int(listed.sum()) == count
    error = (decoded - vector)[listed].abs().max()
    assert float(error) <= float(vector.abs().max()) / 255
    assert float(decoded.abs().max()) == float(vector.abs().max())


def test_many_entries_of_one_level_keep_their_order() -> None:
    vector = 1.0 + draw() * 1e-4
    codec = SignedBallots(share=1.0)
    decoded = codec.decode(codec.encode(vector), SIZE)
    assert torch.equal(signed_ballot(decoded, SIZE), signed_ballot(vector, SIZE))


def test_bytes_are_those_of_ids_signs_and_levels() -> None:
    codec = SignedBallots(share=0.5)
    expected = -(-150 * 9 // 8) + -(-150 // 8) + 4 + 256
    assert len(codec.encode(draw())) == expected == codec.encoded_bytes_max(SIZE)


def test_nothing_learned_is_a_ballot_that_says_nothing() -> None:
    codec = SignedBallots(share=0.5)
    assert not codec.decode(codec.encode(torch.zeros(SIZE)), SIZE).any()


def test_what_is_no_ballot_is_refused() -> None:
    codec = SignedBallots(share=0.5)
    data = codec.encode(draw())
    wrong = [b"", data[:-1], data + b"\0", bytes(len(data)), b"\xff" * len(data)]
    wrong += [data[:200] + bytes([data[200] ^ 1]) + data[201:]]  # a count of magnitudes
    for bad in wrong:
        with pytest.raises(CodecError, match="ballot"):
            codec.decode(bad, SIZE)


def test_any_bytes_are_a_ballot_or_refused() -> None:
    codec, data = SignedBallots(share=0.1), bytearray(SignedBallots(share=0.1).encode(draw()))
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(len(data), (100,), generator=generator).tolist()
    refused = 0
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 16
        try:
            assert bool(codec.decode(bytes(changed), SIZE).isfinite().all())
        except CodecError:
            refused += 1
    assert 0 < refused < 100


def test_a_magnitude_beyond_float32_is_the_callers_fault() -> None:
    with pytest.raises(LocalError):
        SignedBallots(share=0.5).encode(torch.full((SIZE,), torch.inf))


def test_a_wrong_share_is_named() -> None:
    with pytest.raises(ConfigError, match=r"method\.share = 0"):
        create_method("update-ranks", share=0)
