"""Results as frames of pandas, which an extra installs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p2pfed.errors import LocalError

if TYPE_CHECKING:
    import pandas


def frame_of(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, numbers: Iterable[str]
) -> "pandas.DataFrame":
    """Return a frame.

    Args:
        rows: Values by column.
        columns: In their order.
        numbers: Those that are floats, NaN for None.

    Raises:
        LocalError: If pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        fix = "python -m pip install 'p2pfed[pandas]'"
        raise LocalError(f"to_dataframe needs pandas; install it: {fix}") from error
    return pandas.DataFrame(list(rows), columns=columns).astype(dict.fromkeys(numbers, float))
