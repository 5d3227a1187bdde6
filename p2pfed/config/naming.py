"""Errors of parts, in the words of the run file that their constants came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from p2pfed.errors import ConfigError

# What a part calls a field -> where it stands in a run file. Parts are also used without one.
_FIELDS: Final = {
    "codec": "codec.name",
    "degree_max": "integration.degree_max",
    "device": "training.device",
    "dtype": "training.dtype",
    "method": "method.name",
    "mixing": "integration.weights",
    "partition": "share.name",
    "peer_count": "share.count",
    "peer_index": "share.index",
    "steps": "training.step_rule.name",
    "steps.batch_size": "training.batch_size",
    "steps.evaluation_batch_size": "training.evaluation_batch_size",
    "steps.normal_steps": "training.normal_steps",
    "steps.steps_per_round": "training.steps_per_round",
    "steps.steps_per_round_min": "training.steps_per_round_min",
}
_TABLES: Final = {"partition": "share", "steps": "training.step_rule"}


@contextmanager
def run_file_fields() -> Iterator[None]:
    """Name fields in a ConfigError as the run file does.

    Raises:
        ConfigError: The one that the block raised, under its field's name in a run file.
    """
    try:
        yield
    except ConfigError as error:
        table, dot, rest = error.field.partition(".")
        field = _FIELDS.get(error.field)
        if field is None and dot and table in _TABLES:
            field = f"{_TABLES[table]}.{rest}"
        if field is None:
            raise
        raise ConfigError(field, error.value, error.fix) from error
