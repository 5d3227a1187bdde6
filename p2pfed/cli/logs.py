"""What the log of a command looks like: lines for people, and all there is with `--debug`."""

import logging
import sys
from typing import Final, final

from typing_extensions import override

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_HINT: Final = "see where with: p2pfed --debug …"


@final
class OneLine(logging.Formatter):
    """Says in a line that something failed, and how to see where: no traceback."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    @override
    def format(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return super().format(record)
        # Of a copy: handlers of an application may want the traceback of the same record.
        short = logging.makeLogRecord(record.__dict__)
        short.exc_info = short.exc_text = None
        return f"{super().format(short)}; {_HINT}"


def set_up_log(*, debug: bool) -> None:
    """Log to standard error.

    Args:
        debug: Whether all is logged, with tracebacks; else warnings and errors, in a line each.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT) if debug else OneLine())
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, handlers=[handler])
