"""Tasks from a user's own CSV file: numeric columns and a label column."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import nn

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples, cut, drop_duplicates, order_by_content
from p2pfed.learn.task import Task

_ROWS_MIN: Final = 10  # so that each of the three sets has a row


def csv_task(
    *,
    path: str,
    label: str,
    classes: Sequence[str],
    hidden_size: int = 32,
    validation_ratio: float = 0.1,
    test_ratio: float = 0.2,
    means: Sequence[float] = (),
    deviations: Sequence[float] = (),
) -> Task:
    """Make a classification task from the rows of a CSV file with a header line.

    All columns but the label are numbers. They are standardized by the given means and deviations,
    or else by those of this machine's own training rows, which a private peer must not do. Rows
    are set off for validation and test by their content, so that the same row never is in two
    sets, on any machine.

    Args:
        path: The file, from the current folder.
        label: Name of the column that is to be predicted.
        classes: All values of that column, in the same order on all peers: a peer may well not
            have seen every class.
        hidden_size: Units of the one hidden layer.
        validation_ratio: Share of the rows for decisions.
        test_ratio: Share of the rows for reports.
        means: Of the columns but the label, in their order; known without the rows.
        deviations: Of the same columns, each above 0; both are given, or none.

    Raises:
        ConfigError: If the file cannot be read, or a cell is not as described; the message names
            line and column.
    """
    if not (validation_ratio > 0 and test_ratio > 0 and validation_ratio + test_ratio < 1):
        ratios = (validation_ratio, test_ratio)
        raise ConfigError("task.test_ratio", ratios, "write two shares above 0 with a sum below 1")
    pool = order_by_content(drop_duplicates(_read(Path(path), label, list(classes))))
    counts = (round(len(pool) * validation_ratio), round(len(pool) * test_ratio))
    if len(pool) < _ROWS_MIN or min(counts) == 0:
        raise ConfigError("task.path", path, f"{len(pool)} different rows are too few; add some")
    validation, test, train = cut(pool, counts)
    assert isinstance(train.inputs, torch.Tensor)
    if means or deviations:
        mean, scale = _given(means, deviations, column_count=train.inputs.shape[1])
    else:
        mean, deviation = train.inputs.mean(dim=0), train.inputs.std(dim=0)
        scale = torch.where(deviation > 0, deviation, 1.0)  # a constant column says nothing
    sets = [
        Examples((torch.as_tensor(rows.inputs) - mean) / scale, rows.labels)
        for rows in (train, validation, test)
    ]
    feature_count = len(mean)
    return Task(
        name="csv",
        create_model=lambda: nn.Sequential(
            nn.Linear(feature_count, hidden_size), nn.ReLU(), nn.Linear(hidden_size, len(classes))
        ),
        train=sets[0],
        validation=sets[1],
        test=sets[2],
        class_names=tuple(classes),
        is_prepared_by_rows=not means,
    )


def _given(
    means: Sequence[float], deviations: Sequence[float], *, column_count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    for field, values in (("task.means", means), ("task.deviations", deviations)):
        if len(values) != column_count:
            fix = f"write {column_count} numbers, one for each column but the label"
            raise ConfigError(field, list(values), fix)
    mean, scale = torch.tensor(means).float(), torch.tensor(deviations).float()
    for field, tensor in (("task.means", mean), ("task.deviations", scale)):
        if not bool(tensor.isfinite().all()):
            raise ConfigError(field, tensor.tolist(), "write finite numbers")
    if not bool((scale > 0).all()):
        raise ConfigError("task.deviations", list(deviations), "write numbers above 0")
    return mean, scale


def _read(path: Path, label: str, classes: list[str]) -> Examples:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if header.count(label) != 1:
                fix = f"write one of the columns {', '.join(header)}"
                raise ConfigError("task.label", label, fix)
            position = header.index(label)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError("task.path", str(path), f"cannot be read ({error})") from error
    rows, labels = [], []
    for line, cells in lines:
        if len(cells) != len(header):
            fix = f"line {line} has {len(cells)} cells, the header {len(header)}; mend it"
            raise ConfigError("task.path", str(path), fix)
        if cells[position] not in classes:
            fix = f"add {cells[position]!r}, which stands in line {line}"
            raise ConfigError("task.classes", classes, fix)
        labels.append(classes.index(cells[position]))
        names_cells = [pair for pair in zip(header, cells, strict=True) if pair[0] != label]
        rows.append([_number(path, line, name, cell) for name, cell in names_cells])
    if not rows:
        raise ConfigError("task.path", str(path), "has no rows below its header; add some")
    return Examples(torch.tensor(rows), torch.tensor(labels))


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    # Not only text: "nan" and "1e999" are numbers to Python, and would end the training.
    if not -3e38 < value < 3e38:
        fix = f"line {line}, column {column} holds {cell!r}; write a number"
        raise ConfigError("task.path", str(path), fix)
    return value
