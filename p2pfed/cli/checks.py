"""What `p2pfed doctor` looks at."""

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path
from typing import Final

import p2pfed
from p2pfed.errors import P2PFedError

_PACKAGES: Final = ("p2pfed", "robust", "topologies", "sim")
_PYTHON: Final = (3, 11)
_OWN_ENVIRONMENT: Final = "install p2pfed in an environment of its own: python -m venv"


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    NOTE = "note"  # something that not everybody needs is missing
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check found.

    Attributes:
        name: What was looked at.
        state: How it went.
        found: What there is.
        fix: What to do about it, empty when all is well.
    """

    name: str
    state: State
    found: str
    fix: str = ""


def check_all() -> list[Check]:
    """Run all checks; none of them raises for what it finds."""
    found = [check_python(), check_assertions()]
    found += check_packages()
    found += check_libraries()
    for check in (_torch, _device, _loopback):
        found.append(_guarded(check))
    return [*found, *check_data()]


def _guarded(check: Callable[[], Check]) -> Check:
    """Report a check that cannot even be made; a broken library may raise anything."""
    name = check.__name__.strip("_")
    try:
        return check()
    except Exception as error:  # the edge to whatever is broken on this machine
        return Check(
            name=name,
            state=State.WRONG,
            found=f"{type(error).__name__}: {error}",
            fix=f"mend or reinstall the libraries; {_OWN_ENVIRONMENT}",
        )


def check_python() -> Check:
    """Look at the interpreter's version."""
    found = f"Python {sys.version.split()[0]} at {sys.executable}"
    if sys.version_info < _PYTHON:
        wanted = ".".join(map(str, _PYTHON))
        return Check(
            name="python", state=State.WRONG, found=found, fix=f"use Python {wanted} or newer"
        )
    return Check(name="python", state=State.OK, found=f"{found}, p2pfed {p2pfed.__version__}")


def check_assertions() -> Check:
    """Look whether the interpreter keeps assertions."""
    if sys.flags.optimize:
        return Check(
            name="assertions",
            state=State.WRONG,
            found="Python runs with -O, which turns checks of our own invariants off",
            fix="start without -O, and unset PYTHONOPTIMIZE",
        )
    return Check(name="assertions", state=State.OK, found="on")


def check_packages() -> list[Check]:
    """Look for other distributions that bring packages of our names."""
    # Empty for editable installations; there the markers that `import p2pfed` checks must do.
    owners = packages_distributions()
    checks = []
    for name in _PACKAGES:
        module = importlib.import_module(name)
        place = Path(module.__file__ or "").parent
        others = sorted({owner for owner in owners.get(name, ()) if owner != "p2pfed"})
        if others or not hasattr(module, "__p2pfed__"):
            found = f"{place}; also brought by {', '.join(others) or 'another distribution'}"
            fix = f"uninstall it and reinstall p2pfed, or {_OWN_ENVIRONMENT}"
            checks.append(Check(name=name, state=State.WRONG, found=found, fix=fix))
        else:
            checks.append(Check(name=name, state=State.OK, found=str(place)))
    return checks


def check_libraries() -> Iterable[Check]:
    """Look for what p2pfed requires; versions where only one will do."""
    for requirement in requires("p2pfed") or ():
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        exact = re.search(r"==([\w.]+)", requirement)
        fix = f"python -m pip install '{requirement}'"
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Check(name=name, state=State.WRONG, found="is not installed", fix=fix)
            continue
        if exact is not None and found != exact[1]:
            text = f"{found}, and p2pfed is written for {exact[1]} exactly"
            yield Check(name=name, state=State.WRONG, found=text, fix=fix)
        else:
            yield Check(name=name, state=State.OK, found=found)


def _torch() -> Check:
    import torch

    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    found = f"{threads} threads on {cores} cores"
    if threads > cores:
        fix = "set OMP_NUM_THREADS, or training.threads in the run file, to the cores or fewer"
        return Check(name="torch threads", state=State.NOTE, found=found, fix=fix)
    return Check(name="torch threads", state=State.OK, found=found)


def _device() -> Check:
    from p2pfed.learn.device import resolve_placement

    placement = resolve_placement("auto", "float32")
    return Check(name="device", state=State.OK, found=f"auto is {placement.device}")


def _loopback() -> Check:
    """Let two hosts of the library say hello to each other."""
    import trio

    from p2pfed.identity import Identity
    from p2pfed.node.libp2p_transport import LibP2PTransport
    from p2pfed.node.transport import PayloadSource

    async def serve(_peer: object, _hash: bytes, _offset: int) -> PayloadSource | str:
        return "nothing here"

    async def meet() -> str:
        identity = Identity.create()
        listener = LibP2PTransport(identity, listen=["/ip4/127.0.0.1/tcp/0"])
        dialer = LibP2PTransport(Identity.create(), listen=[])
        async with listener.run(serve), dialer.run(serve):
            (address,) = listener.loopback_addresses()
            await dialer.dial(identity.peer, [address])
            return address.split("/p2p/")[0]

    try:
        address = trio.run(meet)
    except P2PFedError as error:
        fix = "allow this program to listen on 127.0.0.1 (firewall, sandbox)"
        return Check(name="loopback", state=State.WRONG, found=str(error), fix=fix)
    return Check(name="loopback", state=State.OK, found=f"two peers met at {address}")


def check_data() -> Iterable[Check]:
    """Look for the data of the built-in tasks."""
    from p2pfed.learn.fetch import SOURCES, locate

    for name in SOURCES:
        try:
            yield Check(name=f"data {name}", state=State.OK, found=str(locate(name)))
        except P2PFedError:
            fix = f"for the task reuters: p2pfed data fetch {name}"
            yield Check(name=f"data {name}", state=State.NOTE, found="not fetched", fix=fix)
