"""Run files to start from, one per task."""

from collections.abc import Mapping
from typing import Any, Final

from p2pfed.config.files import parse
from p2pfed.config.model import RunConfig

_DIGITS: Final[Mapping[str, Any]] = {
    "run": {"name": "digits", "task": "digits"},
    "method": {"name": "full"},
    "codec": {"name": "float32"},
    "training": {
        "steps_per_round": 5,
        "batch_size": 32,
        "threads": 1,
        "step_rule": {"name": "sgd", "learning_rate": 0.3},
    },
    "schedule": {"rounds_max": 40, "evaluate_every_rounds": 5},
}

_REUTERS: Final[Mapping[str, Any]] = {
    "run": {"name": "reuters", "task": "reuters"},
    "method": {"name": "lora", "rank": 8, "alpha": 16.0, "targets": ["query", "value"]},
    "codec": {"name": "bfloat16"},
    "training": {
        "steps_per_round": 2,
        "batch_size": 12,
        "threads": 1,
        "step_rule": {"name": "adamw", "learning_rate": 2e-3, "head_learning_rate": 1e-2},
    },
    "schedule": {"rounds_max": 16, "evaluate_every_rounds": 4},
}

# For a task of one's own: small steps of the usual optimizer on everything that trains.
_OWN: Final[Mapping[str, Any]] = {
    "run": {"name": "my-run"},
    "method": {"name": "full"},
    "codec": {"name": "float32"},
    "training": {"step_rule": {"name": "adamw", "learning_rate": 1e-3}},
}

TEMPLATES: Final[Mapping[str, Mapping[str, Any]]] = {"digits": _DIGITS, "reuters": _REUTERS}

# By task and method, where the task's own steps would diverge: slopes along single directions are
# noisy, and want many short steps. Rates from 0.05 on fail, in one seed each with 1 and 2 peers.
_TRAINING: Final[Mapping[tuple[str, str], Mapping[str, Any]]] = {
    ("digits", "seeds"): {
        "steps_per_round": 50,
        "step_rule": {"name": "sgd", "learning_rate": 0.01},
    },
}


def template(task: str, *, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Return the run file to start from for a task, with steps that suit the method.

    Args:
        task: A built-in task's name, or `package.module:factory`.
        overrides: Values by dotted field name.

    Raises:
        ConfigError: If an override cannot be used.
    """
    data = TEMPLATES.get(task, _OWN)
    wanted = {"run.task": task, **(overrides or {})}
    config = parse(data, overrides=wanted)
    training = _TRAINING.get((task, config.method.name))
    if training is None:
        return config
    return parse({**data, "training": {**data["training"], **training}}, overrides=wanted)
