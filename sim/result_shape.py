"""What a stored result has to look like, so that whoever reads it need not look."""

from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from p2pfed.core.notices import StopReason

_FAILURES: Final = frozenset(str(it) for it in StopReason if it.is_failure)


class _Peer(BaseModel):
    hostile: str | None
    stopped: str | None = None


class _Sides(BaseModel):
    honest: int
    hostile: int


class _Stored(BaseModel):
    """What is read of `result.json`, all of which every version has written."""

    scenario: str
    seed: int = Field(ge=0, strict=True)
    scenario_digest: str
    metrics: dict[str, float | None]
    peers: list[_Peer]
    rows_used: _Sides
    rejected: dict[str, _Sides]
    warning: str | None
    bytes_sent: list[int]
    trace_digest: str

    @model_validator(mode="after")
    def _has_one_number_per_peer(self) -> Self:
        if len(self.bytes_sent) != len(self.peers):
            raise ValueError("bytes_sent and peers are not of one length")
        return self


def misshapen(result: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a stored result; None if nothing is."""
    try:
        _Stored.model_validate(result)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
    return None


def has_failures(result: Mapping[str, Any]) -> bool:
    """Tell whether some peer of a stored result gave up, so that `sim run` ends with a failure."""
    return any(peer.get("stopped") in _FAILURES for peer in result["peers"])
