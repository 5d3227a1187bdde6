"""What a node keeps on disk: records in SQLite, models as safetensors, written atomically."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, final

from p2pfed.core.effects import Record
from p2pfed.errors import LocalError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pointers (name TEXT PRIMARY KEY, file TEXT NOT NULL) WITHOUT ROWID;
"""
STATE_FILE = "state.sqlite"
_FORMAT = 1  # of the folder; a later one must be able to read this or say that it cannot
_DAMAGED = (
    "make sure that the disk is not full; if the file is damaged, restore the state folder from a "
    "backup, or move all of it but identity.key away: the peer then begins anew under its name"
)
_LAST = "last"
_BEST = "best"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one."""
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


@final
class StateStore:
    """The state folder of one node, locked while it is open.

    Args:
        folder: Made if missing.

    Raises:
        LocalError: If another process has it open, a newer version wrote it, or it is damaged; the
            text names the file. Reading and saving raise it as well.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / STATE_FILE
        self._lock = self._take_lock()
        try:
            with self._naming_file():
                self._database = self._open()
        except LocalError:
            self._lock.close()
            raise

    def __enter__(self) -> "StateStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder."""
        self._database.close()
        self._lock.close()

    def records(self) -> dict[str, bytes]:
        """Return everything that was saved, by key."""
        with self._naming_file():
            return dict(self._database.execute("SELECT key, value FROM records ORDER BY key"))

    def save(
        self,
        records: Iterable[Record],
        *,
        model: bytes | None = None,
        model_job: int | None = None,
        best: bool = False,
    ) -> None:
        """Make records, and the model that goes with them, durable together.

        Args:
            records: To write, or to remove where the value is None.
            model: The current model, or None when it has not changed.
            model_job: Names the model's file; needed with `model`.
            best: Whether that model is also the best so far.
        """
        file_name = None
        if model is not None:
            assert model_job is not None
            file_name = f"model-{model_job}.safetensors"
            write_atomically(self.folder / file_name, model)
        with self._naming_file(), self._database:
            for record in records:
                if record.value is None:
                    self._database.execute("DELETE FROM records WHERE key = ?", (record.key,))
                else:
                    self._database.execute(
                        "INSERT OR REPLACE INTO records VALUES (?, ?)", (record.key, record.value)
                    )
            if file_name is not None:
                for name in (_LAST, _BEST) if best else (_LAST,):
                    self._database.execute(
                        "INSERT OR REPLACE INTO pointers VALUES (?, ?)", (name, file_name)
                    )
        if file_name is not None:
            self._remove_old_models()

    def last_model(self) -> bytes | None:
        """Return the model that the saved records go with, None before the first."""
        return self._model(_LAST)

    def best_model(self) -> bytes | None:
        """Return the model with the best validation score so far, None before the first."""
        return self._model(_BEST)

    def _model(self, name: str) -> bytes | None:
        with self._naming_file():
            found = self._database.execute("SELECT file FROM pointers WHERE name = ?", (name,))
            row = found.fetchone()
        if row is None:
            return None
        path = self.folder / str(row[0])
        try:
            return path.read_bytes()
        except OSError as error:
            raise LocalError(
                f"cannot read {path}: {error.strerror or error}; {_DAMAGED}"
            ) from error

    @contextmanager
    def _naming_file(self) -> Iterator[None]:
        """Say which file cannot be used; what SQLite says does not."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # a mistake of ours
        except sqlite3.DatabaseError as error:
            raise LocalError(f"cannot use {self.path}: {error}; {_DAMAGED}") from error

    def _remove_old_models(self) -> None:
        kept = {row[0] for row in self._database.execute("SELECT file FROM pointers")}
        for path in self.folder.glob("model-*.safetensors"):
            if path.name not in kept:
                path.unlink()

    def _open(self) -> sqlite3.Connection:
        with ExitStack() as on_failure:
            database = sqlite3.connect(self.path, check_same_thread=False)
            on_failure.callback(database.close)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # Save is a barrier
            database.executescript(_SCHEMA)
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if found not in (0, _FORMAT):
                raise LocalError(
                    f"state folder {self.folder} has format {found}, this version knows {_FORMAT}; "
                    "upgrade p2pfed or use another folder"
                )
            database.execute(f"PRAGMA user_version = {_FORMAT}")
            on_failure.pop_all()
        return database

    def _take_lock(self) -> IO[bytes]:
        lock = (self.folder / "lock").open("ab")
        # `is_locked` holds the lock for an instant, which is not another node.
        for pause_s in (0.0, 0.05, 0.2):
            time.sleep(pause_s)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            return lock
        lock.close()
        raise LocalError(
            f"state folder {self.folder} is in use by another process; stop it, or give "
            "this node a folder of its own"
        )


def is_locked(folder: Path) -> bool:
    """Return whether a running node has the state folder open."""
    path = folder / "lock"
    if not path.exists():
        return False
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
