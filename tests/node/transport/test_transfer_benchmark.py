"""The transfer benchmark runs, and what it counts at the socket keeps to the requirement."""

import pytest

from benchmarks.transfer import OVERHEAD_MAX, run


@pytest.mark.net
@pytest.mark.slow
def test_bytes_at_the_socket() -> None:
    """Speed is left to `make bench`: on a busy machine a small payload says nothing about it."""
    result = run(size=2_000_000, rounds=1)
    assert 1.0 < result["wire_factor"] < OVERHEAD_MAX
    assert 1.0 < result["small_wire_factor"] < OVERHEAD_MAX
    assert result["ours_mb_per_s"]["median"] > 0
