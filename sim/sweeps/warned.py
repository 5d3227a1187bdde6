"""What the runs of one setting warn of, in one line."""

from collections.abc import Mapping, Sequence

from sim.run_folder import FinishedRun


def warnings_of(runs: Sequence[FinishedRun]) -> dict[int, str]:
    """Return the warnings of those runs that have one, by seed."""
    return {run.seed: run.result["warning"] for run in runs if run.result["warning"]}


def warned(warnings: Mapping[int, str], count: int) -> str | None:
    """Say how many of some runs have a warning, and the first one; None if none has.

    Args:
        warnings: By seed.
        count: How many runs there are.
    """
    if not warnings:
        return None
    have = "has" if len(warnings) == 1 else "have"
    runs = "run" if count == 1 else "runs"
    return f"{len(warnings)} of {count} {runs} {have} a warning: {next(iter(warnings.values()))}"
