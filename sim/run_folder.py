"""A folder with everything about one simulation: what was run, with what, and what came out."""

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w

from p2pfed import __version__
from p2pfed.errors import ConfigError, LocalError, cannot_write
from sim.checkers.invariant import InvariantError
from sim.documents import digest_of, document_of
from sim.identities import check_seed
from sim.line_files import LineWriter
from sim.metrics import MetricsRecorder
from sim.named_files import file_digests, is_same_file
from sim.provenance import provenance
from sim.result import Result
from sim.result_shape import misshapen
from sim.rounds_scope import ROUNDS
from sim.running import run
from sim.scenario import Scenario, load_scenario, path_of, read_file
from sim.trace_lines import TraceRecorder
from sim.watching import Watcher, check_watchers

SCENARIO_FILE: Final = "scenario.toml"
PROGRAM_FILE: Final = "program.json"
METRICS_FILE: Final = "metrics.jsonl"
RESULT_FILE: Final = "result.json"
FAILURE_FILE: Final = "failure.json"
TRACE_FILE: Final = "trace.jsonl"
SWEEP_FILE: Final = "sweep.json"  # in the folder that has those of a sweep's settings

_RUNS_SHOWN: Final = 3

WRITTEN: Final = (RESULT_FILE, FAILURE_FILE, METRICS_FILE, PROGRAM_FILE, SCENARIO_FILE, TRACE_FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """What a run folder says.

    Attributes:
        folder: Where it is.
        result: As `Result.to_json` wrote it.
        program: The versions, see `sim.provenance`, and under `files` what was in the files that
            the scenario names.
    """

    folder: Path
    result: Mapping[str, Any]
    program: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Seed of the simulation."""
        return int(self.result["seed"])

    @property
    def scenario_digest(self) -> str:
        """Digest of the scenario with every field written out."""
        return str(self.result["scenario_digest"])

    @property
    def metrics_path(self) -> Path:
        """Where the metrics are, for `sim.line_files.read_lines`."""
        return self.folder / METRICS_FILE

    @property
    def versions(self) -> dict[str, Any]:
        """Versions of the program, by name."""
        return {name: value for name, value in self.program.items() if name != "files"}

    @property
    def files(self) -> Mapping[str, str]:
        """Digests of the files that the scenario names; empty where an earlier version ran it."""
        found = self.program.get("files", {})
        return found if isinstance(found, Mapping) else {}

    def document(self) -> dict[str, Any]:
        """Read what was run, with every field that there was then.

        Raises:
            ConfigError: If it cannot be read, or is not what the result says it is of.
        """
        path = self.folder / SCENARIO_FILE
        document = read_file(path)
        if digest_of(document) != self.scenario_digest:
            fix = "is another scenario than the result's; run it again, or restore the file"
            raise ConfigError("scenario", str(path), fix)
        return document

    def scenario(self) -> Scenario:
        """Load what was run.

        Raises:
            ConfigError: If it cannot be used, or is not what the result says it is of.
        """
        return load_scenario(self.document())


def run_into(
    folder: str | Path,
    scenario: str | Path | Mapping[str, Any] | Scenario,
    *,
    seed: int = 0,
    watchers: Sequence[Watcher] = (),
    trace: str | Path | None = None,
) -> Result:
    """Simulate, and keep everything about it.

    The folder gets `scenario.toml` (with every field written out), `program.json` (versions, and
    digests of the files that the scenario names), `metrics.jsonl` (see `MetricsRecorder`; whole
    lines, also of a run that was interrupted) and, last of all, `result.json`: a folder that has it
    is of a run that came to its end. Of one that an error ended it gets `failure.json` instead:
    its kind and message and the seed; and of an `InvariantError` who found what, and the result by
    then. What it had of an earlier run is replaced; a folder with files of these names that no run
    wrote is refused, as `check_folder` says.

    Args:
        folder: Is made if it does not exist.
        scenario: As for `sim.run`.
        seed: Of everything random.
        watchers: Are told what happens.
        trace: A file for every event; see `TraceRecorder`. A replay looks for `trace.jsonl` in the
            folder, where one of an earlier run is removed.

    Raises:
        ConfigError: If the scenario, the folder or a watcher cannot be used.
        LocalError: If a file cannot be written.
        InvariantError: If the protocol did what it must never do.
    """
    check_seed(seed)
    folder = path_of(folder, "folder")
    trace = None if trace is None else path_of(trace, "trace")
    check_watchers(watchers)
    checked = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    check_trace(checked, trace)
    document = document_of(checked)
    # Before the run, which takes long enough for somebody to edit them.
    files = file_digests(document)
    own = [Path(scenario)] if isinstance(scenario, str | Path) else []
    make_empty(folder, [*own, *map(Path, files)])
    with _writing(folder):
        text = tomli_w.dumps(document)
        (folder / SCENARIO_FILE).write_text(text, encoding="utf-8")
    with ExitStack() as stack:
        recorder = MetricsRecorder(stack.enter_context(LineWriter(folder / METRICS_FILE)).write)
        recorders: list[Watcher] = [recorder]
        if trace is not None:
            recorders.append(TraceRecorder(stack.enter_context(LineWriter(trace)).write))
        try:
            result = run(checked, seed, watchers=[*recorders, *watchers])
        except Exception as error:  # of users' code, too
            if isinstance(error, InvariantError):
                recorder.finish()
            with suppress(LocalError):  # what ended the run is what to raise
                _write_end(folder, FAILURE_FILE, _failure(error, seed), files)
            raise
        recorder.finish()
    _write_end(folder, RESULT_FILE, result.to_json(), files)
    return result


def check_folder(folder: Path, read: Iterable[Path] = (), *, field: str = "folder") -> None:
    """Refuse a folder in which a run would replace what no run wrote, or what it is to read.

    Args:
        folder: May not exist yet.
        read: The scenario, and the files that it names.
        field: What to call the folder in errors.

    Raises:
        ConfigError: If it is a sweep's, one of its files is to be read, or it has files of the
            names that a run writes and no `program.json` of one, which comes before all others.
        LocalError: If it cannot be looked into.
    """
    with _writing(folder):  # who may not look into it may not write there either
        found = [name for name in (SWEEP_FILE, *WRITTEN) if (folder / name).exists()]
    if SWEEP_FILE in found:
        fix = f"is the folder of a sweep, it has {SWEEP_FILE}; name another folder"
        raise ConfigError(field, str(folder), fix)
    for path in read:
        for name in found:
            if is_same_file(path, folder / name):
                fix = f"its {name} is read by this run, which would replace it; name another folder"
                raise ConfigError(field, str(folder), fix)
    if found and not _is_of_a_run(folder):
        fix = (
            f"has {found[0]}, and no {PROGRAM_FILE} that says that a run wrote it; name another "
            "folder, or move the file"
        )
        raise ConfigError(field, str(folder), fix)


def check_sweep_folder(folder: Path, *, field: str = "folder") -> None:
    """Refuse the folder of a run as that of a sweep, whose run folders would lie between its files.

    Args:
        folder: May not exist yet.
        field: What to call the folder in errors.

    Raises:
        ConfigError: If a run wrote it, whether or not that came to its end.
    """
    if _is_of_a_run(folder):
        fix = f"is the folder of a run, it has {PROGRAM_FILE}; name another folder"
        raise ConfigError(field, str(folder), fix)


def _is_of_a_run(folder: Path) -> bool:
    try:
        found = json.loads((folder / PROGRAM_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "p2pfed" in found


def make_empty(folder: Path, read: Iterable[Path] = ()) -> None:
    """Make a run folder, or remove what it has of an earlier run.

    What stays is a `program.json` that tells the folder from one that no run wrote, so that one
    whose run was interrupted can be used again.

    Args:
        folder: Which.
        read: As of `check_folder`.

    Raises:
        ConfigError: If `check_folder` refuses it.
        LocalError: If that cannot be done.
    """
    check_folder(folder, read)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _write_whole(folder / PROGRAM_FILE, json.dumps({"p2pfed": __version__}))
        for name in WRITTEN:
            if name != PROGRAM_FILE:
                (folder / name).unlink(missing_ok=True)


def _failure(error: Exception, seed: int) -> str:
    found = {"kind": type(error).__name__, "message": str(error), "seed": seed}
    if isinstance(error, InvariantError):
        assert error.result is not None
        found |= {"checker": error.checker, "detail": error.detail}
        found["result"] = json.loads(error.result.to_json())
    return json.dumps(found)


def _write_end(folder: Path, name: str, text: str, files: Mapping[str, str]) -> None:
    """Write what was run with, and how a run ended."""
    with _writing(folder):
        # After the run, which may have set torch's threads.
        program = json.dumps({**provenance(), "files": dict(files)}, indent=2)
        _write_whole(folder / PROGRAM_FILE, program)
        _write_whole(folder / name, text)


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole, or as it was before."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(text + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def check_trace(scenario: Scenario, trace: Path | None) -> None:
    """Check that what is to be traced has events, and that one process sees all of them.

    Raises:
        ConfigError: If a trace is asked for and it is not so.
    """
    if trace is not None and scenario.world.fidelity == ROUNDS:
        fix = 'leave it out; rounds have no events to trace; or set fidelity = "messages"'
        raise ConfigError("trace", str(trace), fix)
    if trace is not None and scenario.world.compute.processes > 1:
        fix = "leave it out; or set compute.processes = 1: one process sees events in their order"
        raise ConfigError("trace", str(trace), fix)


def read_run(folder: str | Path) -> FinishedRun:
    """Return what a run folder says.

    Raises:
        ConfigError: If it is none, its run did not come to its end, or its result is damaged.
    """
    folder = path_of(folder, "folder")
    result = _object(folder, folder / RESULT_FILE)
    wrong = misshapen(result)
    if wrong is not None:
        fix = f"its {RESULT_FILE} is damaged, or of another program ({wrong}); {_again(folder)}"
        raise ConfigError("folder", str(folder), fix)
    return FinishedRun(folder=folder, result=result, program=_object(folder, folder / PROGRAM_FILE))


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run that came to its end."""
    return (folder / RESULT_FILE).is_file()


def has_failed(folder: Path) -> bool:
    """Return whether a folder is that of a run that an error ended."""
    return (folder / FAILURE_FILE).is_file()


def _object(folder: Path, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError("folder", str(folder), _without(folder, path.name)) from error
    except (OSError, ValueError, RecursionError) as error:
        fix = f"its {path.name} cannot be read ({error}); {_again(folder)}"
        raise ConfigError("folder", str(folder), fix) from error
    if not isinstance(found, dict):
        fix = f"its {path.name} is of another program; {_again(folder)}"
        raise ConfigError("folder", str(folder), fix)
    return found


def _without(folder: Path, name: str) -> str:
    """Say what a folder is that lacks a file of a finished run, and what to do instead."""
    if has_failed(folder):
        failure = _object(folder, folder / FAILURE_FILE)
        # An earlier version wrote down no kind and no message.
        error = f"{failure.get('kind', 'InvariantError')}: {failure.get('message', '')}"
        return f"its run failed ({error.rstrip(': ')}); {_again(folder, failure.get('seed'))}"
    if (folder / SCENARIO_FILE).is_file():
        return f"has no {name}: its run did not come to its end; {_again(folder)}"
    places = (it for depth in ("*", "*/*") for it in folder.glob(f"{depth}/{SCENARIO_FILE}"))
    if runs := sorted(it.parent for it in places):
        more = f" and {len(runs) - _RUNS_SHOWN} more" if len(runs) > _RUNS_SHOWN else ""
        shown = ", ".join(map(str, runs[:_RUNS_SHOWN]))
        kind = "a sweep" if (folder / SWEEP_FILE).is_file() else "several runs"
        return f"is the folder of {kind}; name one of its run folders: {shown}{more}"
    return f"has no {name}; make one: p2pfed sim run SCENARIO --out {folder}"


def _again(folder: Path, seed: object = None) -> str:
    """Say how to run again what a folder is of."""
    path = folder / SCENARIO_FILE
    if not path.is_file():
        return f"run it again: p2pfed sim run SCENARIO --out {shlex.quote(str(folder))}"
    number = "SEED" if seed is None else seed
    return f"run it again: p2pfed sim run {shlex.quote(str(path))} --seed {number}"


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise cannot_write(place, error) from error
