"""Error feedback: nothing of a sum is lost, and residuals stay bounded."""

import pytest
import torch

from p2pfed.errors import ConfigError, LocalError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import Float32, Int4, RandK, Sign, Sparse, TopK, Uniform
from p2pfed.updates.error_feedback import ErrorFeedback
from tests.updates.codecs.cases import make_vector

SIZE = 2_000
LOSSY = [Int4(), Uniform(), Sign(), TopK(), RandK(), Sparse(chunk=500, kept=20)]

lossy = pytest.mark.parametrize("codec", LOSSY, ids=repr)


@lossy
def test_decoded_and_residual_add_up_to_what_came_in(codec: Codec) -> None:
    feedback = ErrorFeedback(codec, SIZE)
    vectors = [make_vector(SIZE, seed=seed) for seed in range(30)]
    decoded = torch.zeros(SIZE, dtype=torch.float64)
    for vector in vectors:
        sent = feedback.encode(vector)
        assert torch.equal(sent.decoded, codec.decode(sent.data, SIZE))
        decoded += sent.decoded
    total = torch.stack(vectors).double().sum(dim=0)
    # 30 additions, each rounded by half a unit of a value below 2.
    assert float((decoded + feedback.residual - total).abs().max()) < 30 * 2.0**-24


@pytest.mark.parametrize("codec", [TopK(values="float32"), RandK(values="float32")], ids=repr)
def test_nothing_is_rounded_where_float32_is_exact(codec: Codec) -> None:
    feedback = ErrorFeedback(codec, SIZE)
    vectors = [make_vector(SIZE, seed=seed, scale=1000).round() for seed in range(30)]
    decoded = sum((feedback.encode(vector).decoded for vector in vectors), torch.zeros(SIZE))
    assert torch.equal(decoded + feedback.residual, torch.stack(vectors).sum(dim=0))


@lossy
def test_the_residual_of_a_steady_stream_stays_bounded(codec: Codec) -> None:
    feedback = ErrorFeedback(codec, SIZE)
    vector = make_vector(SIZE)
    norms = []
    for _ in range(60):
        feedback.encode(vector)
        norms.append(float(feedback.residual.norm() / vector.norm()))
    # Karimireddy et al., lemma 3: 2 sqrt(1 - delta) / delta; delta is 0.1 at least here.
    assert max(norms) < 20


def test_decay_forgets_old_errors() -> None:
    feedback = ErrorFeedback(TopK(density=0.001, values="float32"), SIZE, decay=0.5)
    feedback.encode(make_vector(SIZE))
    first = feedback.residual
    feedback.encode(torch.zeros(SIZE))
    kept = feedback.residual != 0
    assert torch.equal(feedback.residual[kept], (first * 0.5)[kept])


def test_without_loss_there_is_no_residual() -> None:
    feedback = ErrorFeedback(Float32(), SIZE)
    feedback.encode(make_vector(SIZE))
    assert not feedback.residual.any()


def test_a_codec_that_can_lose_everything_is_refused() -> None:
    said = r"codec\.step_rms = 2\.0: write a number below 2; .* and error feedback adds up errors"
    with pytest.raises(ConfigError, match=said):
        ErrorFeedback(Uniform(step_rms=2.0), SIZE)


def test_such_a_codec_does_lose_everything() -> None:
    vector = torch.ones(SIZE)
    assert not Uniform(step_rms=2.0).decode(Uniform(step_rms=2.0).encode(vector), SIZE).any()


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ConfigError, match=r"error_feedback\.decay"):
        ErrorFeedback(TopK(), SIZE, decay=decay)


def test_a_vector_that_cannot_be_encoded_changes_nothing() -> None:
    feedback = ErrorFeedback(TopK(), SIZE)
    feedback.encode(make_vector(SIZE))
    before = feedback.residual.clone()
    for wrong in (torch.full((SIZE,), torch.inf), torch.zeros(SIZE + 1)):
        with pytest.raises(LocalError):
            feedback.encode(wrong)
    assert torch.equal(feedback.residual, before)


def test_a_restored_one_goes_on_with_the_same_bytes() -> None:
    feedback, restored = ErrorFeedback(TopK(), SIZE), ErrorFeedback(TopK(), SIZE)
    feedback.encode(make_vector(SIZE))
    restored.load_state(feedback.state())
    vector = make_vector(SIZE, seed=1)
    assert restored.encode(vector).data == feedback.encode(vector).data
    with pytest.raises(LocalError, match="no residual"):
        restored.load_state({})
