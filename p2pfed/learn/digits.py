"""Task `digits`: handwritten digits of 8 x 8 pixels that come with scikit-learn."""

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn.examples import Examples, cut, drop_duplicates, order_by_content
from p2pfed.learn.task import Task
from p2pfed.updates.construction import check_integer

_FILE: Final = "datasets/data/digits.csv.gz"
_SET_OFF_MAX: Final = 1_000  # guess; the other 797 are for training


def digits(*, validation_rows: int = 200, test_rows: int = 300, hidden_size: int = 32) -> Task:
    """Make the task with all training rows in one pool.

    Args:
        validation_rows: Rows for decisions.
        test_rows: Rows for reports. The 1,797 rows that are left after both are for training.
        hidden_size: Units of the one hidden layer.

    Raises:
        ConfigError: If a size is out of range.

    Source: Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits" (UCI), the test
    set, as `sklearn.datasets.load_digits`.
    """
    rows = {"validation_rows": validation_rows, "test_rows": test_rows}
    for name, value in {**rows, "hidden_size": hidden_size}.items():
        check_integer(value, f"task.{name}", least=1)
    if sum(rows.values()) > _SET_OFF_MAX:
        (other, less), (name, most) = sorted(rows.items(), key=lambda row: row[1])
        fix = (
            f"write less; with {other} = {less} at most {_SET_OFF_MAX:,} of 1,797 rows are set off"
        )
        raise ConfigError(f"task.{name}", most, fix)
    pixels, labels = _read()
    # Gray levels run from 0 to 16. Fixed numbers, because statistics of the own rows would differ
    # between peers.
    examples = Examples(
        torch.from_numpy(pixels).float() / 16.0 - 0.5, torch.from_numpy(labels).long()
    )
    pool = order_by_content(drop_duplicates(examples))
    validation, test, train = cut(pool, (validation_rows, test_rows))
    return Task(
        name="digits",
        create_model=lambda: nn.Sequential(
            nn.Linear(64, hidden_size), nn.ReLU(), nn.Linear(hidden_size, 10)
        ),
        train=train,
        validation=validation,
        test=test,
        class_names=tuple("0123456789"),
    )


def _read() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Read scikit-learn's own file: importing the library takes as long as the whole training."""
    found = find_spec("sklearn")
    places = [] if found is None else found.submodule_search_locations or []
    for place in places:
        path = Path(place) / _FILE
        if path.exists():
            with gzip.open(path, "rt", encoding="ascii") as file:
                values = np.loadtxt(file, delimiter=",")
            return values[:, :-1], values[:, -1].astype(np.int64)
    raise LocalError(f"scikit-learn's {_FILE} is missing; install: pip install scikit-learn")
