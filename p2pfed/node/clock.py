"""The node's clock: seconds since the epoch that never step back."""

import time
from typing import final


@final
class Clock:
    """Reads the wall clock once and goes on by the monotonic one."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        return self._offset_s + time.monotonic()
