"""Leaves in good order when a signal asks for it, and at once when that hangs."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

EXIT_INTERRUPTED: Final = 128 + signal.SIGINT  # what a shell reports for Ctrl-C

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_LEAVE_S_MAX: Final = 2.8  # an operator is promised 3 s
_LEAVING: Final = b"p2pfed: leaving; a second signal ends it at once\n"
_LATE: Final = f"p2pfed: has not left within {_LEAVE_S_MAX} s; ended\n".encode()


@contextmanager
def interruptible(tell: Callable[[], None]) -> Iterator[None]:
    """Call a function at the first SIGINT or SIGTERM; end the process at the second one.

    From the first signal on the process has 2.8 s to live, also after the block, whatever hangs:
    its threads, its event loop, or the interpreter's own way out.

    Args:
        tell: Called in a signal handler of the main thread; must be safe there.

    Raises:
        ValueError: If this is not the main thread.
    """
    # Made here and not in the handler, which may interrupt whoever holds the locks for that.
    woken = threading.Event()
    is_asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_asked
        if is_asked:
            os._exit(EXIT_INTERRUPTED)
        is_asked = True
        os.write(2, _LEAVING)  # `print` is not safe in a handler
        woken.set()
        tell()

    def end_late() -> None:
        woken.wait()
        if is_asked:
            threading.Event().wait(_LEAVE_S_MAX)
            os.write(2, _LATE)
            os._exit(EXIT_INTERRUPTED)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    threading.Thread(target=end_late, name="p2pfed-deadline", daemon=True).start()
    try:
        yield
    finally:
        if not is_asked:
            woken.set()
            for number, handler in before.items():
                signal.signal(number, handler)
