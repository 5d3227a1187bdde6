"""Whether task, model and rule of each setting go together, known before any cell runs."""

from collections.abc import Iterable
from typing import Final

from p2pfed.config.learning import assemble
from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn.task import Task
from p2pfed.learn.tasks import TASKS, load_task
from sim.documents import digest_of
from sim.identities import identity_of
from sim.in_rounds.translation import rounds_config, scenario_fields
from sim.rounds_scope import ROUNDS
from sim.scenario import Scenario, load_scenario
from sim.sharing import SharedRows
from sim.sweeps.plan import Cell

_FIRST: Final = 0  # the peer that is made of each setting; others differ in their rows


def check_fits(cells: Iterable[Cell]) -> None:
    """Make the first peer of each setting, of those whose task comes with p2pfed.

    A task of one's own is left to its cells: it may take long to load, and workers of a cluster
    may have it where this machine has not. Each distinct task is loaded once.

    Raises:
        ConfigError: If a setting's task, model, rule or codec do not go together.
    """
    tasks: dict[str, Task] = {}
    first_cells = {cell.setting.digest: cell for cell in reversed(list(cells))}
    for cell in reversed(first_cells.values()):
        scenario = load_scenario(dict(cell.setting.document))
        config = scenario.run_config(_FIRST, seed=cell.seed)
        if config.run.task not in TASKS:
            continue
        key = digest_of({"name": config.run.task, "options": config.task})
        try:
            with scenario_fields():
                if key not in tasks:
                    tasks[key] = load_task(config.run.task, config.task)
            _check_fit(scenario, cell.seed, tasks[key])
        except ConfigError as error:
            of = {**cell.setting.overrides}
            fix = f"{error.fix} (in the setting {of})" if of else error.fix
            raise ConfigError(error.field, error.value, fix) from error
        except LocalError:
            continue  # other machines may have the data


def _check_fit(scenario: Scenario, seed: int, task: Task) -> None:
    if scenario.world.fidelity == ROUNDS:
        rounds_config(scenario, seed=seed, pool=task)
        return
    with scenario.naming_variants(_FIRST):
        config = scenario.run_config(_FIRST, seed=seed)
        assemble(config, identity_of(seed, _FIRST), task=SharedRows(task).task_of(config))
