"""Error feedback: what a codec lost of one vector is added to the next one."""

from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.codec import Codec, check_contractive
from p2pfed.updates.construction import check_number

_RESIDUAL: Final = "residual"


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compensated:
    """One vector as it was sent.

    Attributes:
        data: Its encoding.
        decoded: What every receiver decodes, shape (d,); never changed.
    """

    data: bytes
    decoded: Tensor


@final
class ErrorFeedback:
    """Encodes a stream of vectors so that what is lost of one comes with those after it.

    For the sum of a stream, such as steps of training that all receivers add up. With a decay of
    1, what has been decoded and the residual add up to what came in, but for roundings of float32.
    Vectors that replace each other go through `p2pfed.learn.public_copies` instead.

    Source: Seide et al. 2014, "1-bit stochastic gradient descent", sec. 3.1; Karimireddy et al.
    2019, "Error feedback fixes SignSGD and other gradient compression schemes", alg. 2; the decay
    is that of Sarfi et al. 2025, SparseLoCo, alg. 1.
    Differs: the caller multiplies by the learning rate.

    Args:
        codec: One that keeps part of every vector.
        size: d.
        decay: Factor of the residual before the next vector is added, in (0, 1]. Below 1 old
            errors are forgotten.

    Raises:
        ConfigError: If the codec can lose a vector as a whole, or the decay is out of range.
    """

    def __init__(self, codec: Codec, size: int, *, decay: float = 1.0) -> None:
        check_contractive(codec, "error feedback")
        if decay != 1:
            check_number(decay, "error_feedback.decay", above=0, below=1)
        self.codec = codec
        self.decay = decay
        self.residual = torch.zeros(size)

    def encode(self, vector: Tensor) -> Compensated:
        """Encode a vector together with what is left of those before it.

        Args:
            vector: Shape (d,), float32, finite.

        Raises:
            LocalError: If the codec cannot encode the sum; the residual is unchanged.
        """
        if vector.shape != self.residual.shape:
            raise LocalError(
                f"error feedback: a vector of shape {tuple(vector.shape)}, "
                f"expected {tuple(self.residual.shape)}"
            )
        compensated = self.residual * self.decay + vector.detach()
        data = self.codec.encode(compensated)
        decoded = self.codec.decode(data, len(compensated))
        self.residual = compensated - decoded
        return Compensated(data=data, decoded=decoded)

    def state(self) -> dict[str, Tensor]:
        """Return what the next encodings depend on."""
        return {_RESIDUAL: self.residual}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of another size.
        """
        residual = state.get(_RESIDUAL)
        if residual is None or residual.shape != self.residual.shape:
            raise LocalError(f"the saved state holds no residual of {len(self.residual)} values")
        self.residual = residual.to(torch.float32).clone()
