"""Where a function of a program's own failed."""


def failure_of(error: BaseException) -> str:
    """Return what went wrong in a function that was just called, and in which line of its file.

    Args:
        error: As it was caught where the function was called.

    Returns:
        `file:line: kind: message`; without a place if the function has no lines, as those in C.
    """
    said = f"{type(error).__name__}: {error}"
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    own = frames[1:]  # the first one is the caller's
    if not own:
        return said
    file = own[0][0]
    line = [number for name, number in own if name == file][-1]  # not where it led in a library
    return f"{file}:{line}: {said}"
