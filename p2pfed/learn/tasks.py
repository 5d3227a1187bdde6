"""All built-in tasks by name, and tasks that a user's own factory makes."""

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Final

from p2pfed.errors import ConfigError
from p2pfed.learn.digits import digits
from p2pfed.learn.partition import PartitionRule
from p2pfed.learn.reuters import reuters
from p2pfed.learn.task import Task

TASKS: Final[Mapping[str, Callable[..., Task]]] = {"digits": digits, "reuters": reuters}

_EXAMPLE: Final = "write digits, reuters, or package.module:factory"


def load_task(
    task: str | Task,
    options: Mapping[str, object] | None = None,
    *,
    partition: PartitionRule | None = None,
    seed: int = 0,
    peer_index: int = 0,
    peer_count: int = 1,
) -> Task:
    """Make the task of one peer.

    Args:
        task: A name of `TASKS`, `package.module:factory`, or a task that is made already. A
            factory is called with the options and returns a `Task`; it may read whatever data
            this machine has.
        options: Arguments of the factory.
        partition: How the training rows of a task that comes with all of them are shared out
            among peers. Left out, all rows that the task has are this peer's.
        seed: Of the partition, the same for all peers, in [0, 2^64).
        peer_index: Which share is this peer's, from 0.
        peer_count: How many shares there are.

    Raises:
        ConfigError: If there is no such factory, it does not take these options, it returns
            something else, or the rows cannot be shared out.
    """
    made = _make(task, dict(options or {}))
    if partition is None:
        return made
    return made.for_peer(partition, seed=seed, index=peer_index, count=peer_count)


def check_task_name(task: str) -> None:
    """Check that a text can name a task, without importing its module.

    Raises:
        ConfigError: If it is no name of `TASKS` and not written as `package.module:factory`.
    """
    module_name, colon, attribute = task.partition(":")
    if task not in TASKS and not (module_name and colon and attribute):
        raise ConfigError("task", task, _EXAMPLE)


def _make(task: str | Task, options: dict[str, object]) -> Task:
    if isinstance(task, Task):
        for option, value in options.items():
            raise ConfigError(f"task.{option}", value, "remove it; the task is made already")
        return task
    factory = TASKS[task] if task in TASKS else _find_factory(task)
    _check_options(factory, task, options)
    made = factory(**options)
    if not isinstance(made, Task):
        raise ConfigError(
            "task", task, f"let it return a p2pfed.learn.task.Task, not a {type(made).__name__}"
        )
    return made


def _find_factory(name: str) -> Callable[..., Any]:
    check_task_name(name)
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there; something that it needs is not
        fix = f"there is no module {error.name}; install it or start where it lies; {_EXAMPLE}"
        raise ConfigError("task", name, fix) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise ConfigError("task", name, f"{module_name} has no function {attribute}; {_EXAMPLE}")
    return factory  # type: ignore[no-any-return]  # checked as far as Python can


def _check_options(
    factory: Callable[..., object], name: str, options: Mapping[str, object]
) -> None:
    accepted = signature(factory).parameters
    takes_all = any(it.kind is Parameter.VAR_KEYWORD for it in accepted.values())
    for option, value in options.items():
        if option not in accepted and not takes_all:
            known = ", ".join(accepted) or "no options"
            raise ConfigError(f"task.{option}", value, f"remove it; {name} takes {known}")
    for option, it in accepted.items():
        is_named = it.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        if is_named and it.default is Parameter.empty and option not in options:
            raise ConfigError(f"task.{option}", None, f"set it; {name} needs it")
