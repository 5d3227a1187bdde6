"""How far one call raises the peak of this process's memory. Linux only."""

from collections.abc import Callable
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")


def extra_peak_bytes(call: Callable[[], object]) -> int:
    """Call once and return how far that raises the peak, the result included."""
    _RESET_PEAK.write_text("5")  # proc(5): the peak becomes what is resident now
    before = _status_bytes("VmHWM")
    result = call()
    peak_bytes = max(0, _status_bytes("VmHWM") - before)
    del result
    return peak_bytes


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {field}; memory is measured on Linux only")
