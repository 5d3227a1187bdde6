"""A scenario file: a run file's tables, and the world around them."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from p2pfed.config.coherence import check_bounds, idle_fields
from p2pfed.config.complaints import known_fields
from p2pfed.config.files import parse
from p2pfed.config.model import RunConfig
from p2pfed.config.plugins import load_plugins
from p2pfed.config.wording import fix_of
from p2pfed.errors import ConfigError
from robust.parameters import meant
from sim.emptiness import idle_of_network
from sim.idleness import alike_peers, unused_of_run
from sim.named_files import whole_paths
from sim.peer_checks import check_sleepers, degree_errors
from sim.rounds_scope import ROUNDS, check_scope
from sim.table_checks import check_tables
from sim.tables import FAULT_KINDS, Surrounding, Table

_GUIDE: Final = "docs/scenarios.md shows them all"
_NODE: Final = "node"  # the table of a run file that says how a real machine is reached


class Scenario(Table):
    """A checked scenario.

    Attributes:
        world: What surrounds the run.
        run: The run file's tables as they stand in the scenario.
    """

    world: Surrounding
    run: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the run, for people."""
        return _parse(self.run).run.name

    def run_config(self, index: int, *, seed: int) -> RunConfig:
        """Return the run file of one peer; real nodes can be given it.

        Args:
            index: Number of the peer.
            seed: Of the simulation; the run's own seed unless the scenario names one.

        Where peers differ, what only others of them use is left out.

        Raises:
            ConfigError: If a table of the run cannot be used.
        """
        config = self._run_config(index, seed=seed)
        idle = [it.field for it in idle_fields(config)] if self.world.variants else []
        return self._run_config(index, seed=seed, without=idle) if idle else config

    def unused(self) -> Iterator[tuple[int, ConfigError]]:
        """Yield what is wrong with each value that has no effect, behind a peer that has it.

        Raises:
            ConfigError: If a table of the run cannot be used, or has bounds that cross.
        """
        yield from ((0, error) for error in idle_of_network(self.world.network))
        configs = {}
        for peer, *_ in self._alike_peers():
            configs[peer] = self._run_config(peer, seed=0)
            with self.naming_variants(peer):
                check_bounds(configs[peer])
        yield from unused_of_run(configs)

    def check_degrees(self, *, seed: int) -> None:
        """Refuse graphs in which peers have more neighbors than they may, or wait for too many.

        Args:
            seed: Of the simulation, on which the graph may depend.

        Raises:
            ConfigError: Naming the field, and the first such peer.
        """
        self.refuse(degree_errors(self.world, self.groups(), seed=seed))

    def groups(self) -> list[tuple[RunConfig, list[int]]]:
        """Return the peers that have the same variants, and the run file of the first of them."""
        return [(self.run_config(peers[0], seed=0), peers) for peers in self._alike_peers()]

    def refuse(self, found: Iterable[tuple[int, ConfigError]]) -> None:
        """Raise the first of some errors about peers' run files.

        Args:
            found: Each with a peer that has it.

        Raises:
            ConfigError: Naming the variant that set the field, if one did.
        """
        for peer, error in found:
            with self.naming_variants(peer):
                raise error

    def _alike_peers(self) -> list[list[int]]:
        return alike_peers(self.world.variants, nodes=self.world.topology.nodes)

    def _run_config(self, index: int, *, seed: int, without: Sequence[str] = ()) -> RunConfig:
        topology = self.world.topology
        overrides: dict[str, Any] = {}
        overrides |= {"share.index": index, "share.count": topology.nodes}
        if "seed" not in self.run.get("run", {}):
            overrides["run.seed"] = seed
        if index in topology.relays:
            overrides["node.role"] = "relay"
        for variant in self.world.variants:
            if index in variant.peers:
                overrides |= variant.fields
        with self.naming_variants(index):
            return _parse(self.run, overrides, without)

    @contextmanager
    def naming_variants(self, index: int) -> Iterator[None]:
        """Say of an error about a peer's run file which variant set the field.

        Raises:
            ConfigError: The one that the block raised, under its place in the scenario.
        """
        try:
            yield
        except ConfigError as error:
            for k, variant in reversed(list(enumerate(self.world.variants))):
                for field in variant.fields if index in variant.peers else ():
                    if f"{error.field}.".startswith(f"{field}."):
                        place = f"variants.{k}.fields.{error.field}"
                        raise ConfigError(place, error.value, error.fix) from error
            raise


def load_scenario(source: str | Path | Mapping[str, Any]) -> Scenario:
    """Read a scenario, and run the plug-ins that it names.

    Args:
        source: Path of a TOML file, to whose folder paths in it are relative; or what would stand
            in it, and then to the folder in which the program was started.

    Raises:
        ConfigError: Naming the first field that cannot be used, or the file.
    """
    scenario = read_scenario(source)
    run_plugins(scenario)
    check_tables(scenario.world)
    _check_variants(scenario)
    config = scenario.run_config(0, seed=0)
    if scenario.world.fidelity == ROUNDS:
        check_scope(scenario.world, config)
    scenario.refuse(scenario.unused())
    check_sleepers(scenario.world, [of_group for of_group, _ in scenario.groups()])
    if scenario.world.fidelity != ROUNDS and not scenario.world.topology.depends_on_seed:
        scenario.check_degrees(seed=0)
    return scenario


def read_scenario(source: str | Path | Mapping[str, Any]) -> Scenario:
    """Read a scenario, check its tables one by one, and run none of its plug-ins.

    Args:
        source: As for `load_scenario`.

    Raises:
        ConfigError: Naming the first field that cannot be used, or the file.
    """
    if isinstance(source, Mapping):
        source = whole_paths(source, Path.cwd())
    else:
        source = read_file(path_of(source, "scenario"))
    scenario = unchecked(source)
    _check_run_tables(scenario.run)
    return scenario


def run_plugins(scenario: Scenario) -> None:
    """Run the plug-ins that a scenario names, those left out that this process has run.

    Raises:
        ConfigError: If one cannot be run, or a table of the run cannot be used.
    """
    load_plugins(_parse(scenario.run).plugins.files, Path.cwd())


def unchecked(source: Mapping[str, Any]) -> Scenario:
    """Return a scenario whose tables have been looked at one by one, and no more.

    Args:
        source: Its content.

    Raises:
        ConfigError: If a field around the run is unknown, or of another type.
    """
    world = {key: value for key, value in source.items() if key in Surrounding.model_fields}
    run = {key: value for key, value in source.items() if key not in Surrounding.model_fields}
    try:
        return Scenario(world=Surrounding.model_validate(world), run=run)
    except ValidationError as error:
        raise _complaint(error) from error


def path_of(given: object, field: str) -> Path:
    """Return a path that was given as one or as text.

    Args:
        given: By a caller of the library.
        field: What to call it in errors.

    Raises:
        ConfigError: If it is neither.
    """
    if isinstance(given, str | Path):
        return Path(given)
    fix = "give a path as text or pathlib.Path"
    raise ConfigError(field, given, f"{fix}, or a mapping" if field == "scenario" else fix)


def read_file(path: Path) -> dict[str, Any]:
    """Return what stands in a scenario file, unchecked, with whole paths of other files.

    Raises:
        ConfigError: If there is no such file, or it is not TOML.
    """
    try:
        source = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        fix = "does not exist; name a TOML file, such as those in scenarios/"
        raise ConfigError("scenario", str(path), fix) from error
    except OSError as error:
        fix = f"cannot be read ({error.strerror}); name a TOML file"
        raise ConfigError("scenario", str(path), fix) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("scenario", str(path), f"is not TOML ({error}); mend it") from error
    return whole_paths(source, path.parent)


def _check_run_tables(run: Mapping[str, Any]) -> None:
    if _NODE in run:
        raise ConfigError(_NODE, run[_NODE], "remove it; simulated machines have none")
    share = run.get("share")
    for field in ("index", "count"):
        if isinstance(share, Mapping) and field in share:
            fix = "remove it; it follows from the topology"
            raise ConfigError(f"share.{field}", share[field], fix)


def _check_variants(scenario: Scenario) -> None:
    for k, variant in enumerate(scenario.world.variants):
        if not variant.fields:
            fix = 'name fields that differ, such as { "training.batch_size" = 8 }, or remove it'
            raise ConfigError(f"variants.{k}.fields", variant.fields, fix)
        for field, value in variant.fields.items():
            place = f"variants.{k}.fields.{field}"
            if field.split(".")[0] == _NODE or field in ("share.index", "share.count"):
                raise ConfigError(place, value, "remove it; it is simulated")
            if field.split(".")[0] == "task":
                raise ConfigError(place, value, "remove it; the task is there once, for all peers")
            if field.split(".")[0] == "plugins":
                fix = "write it at the top, as plugins.files; names are there once, for all peers"
                raise ConfigError(place, value, fix)
            if isinstance(value, Mapping) and value and field in RunConfig.model_fields:
                name, inner = next(iter(value.items()))
                fix = f"write dotted names of single fields, such as {field}.{name}: {inner!r}"
                raise ConfigError(place, value, fix)
        scenario.run_config(variant.peers[0], seed=0)


def _complaint(error: ValidationError) -> ConfigError:
    """Name the first field that cannot be used; of a misspelled one its own name."""
    complaints = error.errors(include_url=False)
    unknown = [it for it in complaints if it["type"] == "extra_forbidden"]
    first = (unknown or complaints)[0]
    table = first["loc"][:-1]
    missing = [
        str(it["loc"][-1])
        for it in complaints
        if it["type"] == "missing" and it["loc"][:-1] == table
    ]
    field = ".".join(map(str, _place(first["loc"])))
    if first["type"].startswith("union_tag"):
        kind = first["input"].get("kind") if isinstance(first["input"], Mapping) else None
        return ConfigError(f"{field}.kind", kind, f"write one of {', '.join(FAULT_KINDS)}")
    if first["type"] == "missing":
        return ConfigError(field, None, "is missing; write it")
    if unknown and missing:
        fix = f"there is no such field, and {missing[0]} is missing; write that"
        return ConfigError(field, first["input"], fix)
    if first["type"] == "extra_forbidden":
        known = known_fields(Surrounding, table)
        fix = f"remove it; there is no such field{meant(str(first['loc'][-1]), known)}"
        return ConfigError(field, first["input"], fix)
    fix = fix_of([first], field)
    if isinstance(first["input"], str) and not {"peer", "peers"}.isdisjoint(first["loc"]):
        fix += "; p2pfed topology show file prints which number has which label"
    return ConfigError(field, first["input"], fix)


def _place(location: Sequence[int | str]) -> list[int | str]:
    """Return where something stands in the file: behind a fault's number pydantic has its kind."""
    place = list(location)
    if place[:1] == ["faults"] and len(place) > 2 and place[2] in FAULT_KINDS:
        del place[2]
    return place


def _parse(
    run: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
) -> RunConfig:
    tables = sorted({*Surrounding.model_fields, *RunConfig.model_fields} - {_NODE})
    return parse(run, overrides=overrides, without=without, tables=tables, shown_by=_GUIDE)
