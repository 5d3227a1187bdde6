"""Rules about the source itself that no linter checks."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["p2pfed", "robust", "topologies", "sim"]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef
Finder = Callable[[ast.Module], Iterator[tuple[int, str]]]


def python_files(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def violations(files: list[Path], find: Finder) -> list[str]:
    """Run a finder of (line, what is wrong there) over files."""
    return [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for file in files
        for line, what in find(ast.parse(file.read_text()))
    ]


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Map each name that an import binds to the dotted name of what it stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.split(".")[0]
                names[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def references(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each use of an imported name, dotted and in full, and each import."""
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Attribute):
            attributes = [node.attr]
            base = node.value
            while isinstance(base, ast.Attribute):
                attributes.append(base.attr)
                base = base.value
            if isinstance(base, ast.Name) and base.id in names:
                yield node.lineno, ".".join([names[base.id], *reversed(attributes)])


def find_references(pattern: str) -> Finder:
    banned = re.compile(pattern)
    return lambda tree: (hit for hit in references(tree) if banned.fullmatch(hit[1]))


def find_draws_without_generator(tree: ast.Module) -> Iterator[tuple[int, str]]:
    draw = re.compile(r"torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial)")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not draw.fullmatch(ast.unparse(node.func)):
            continue
        if all(keyword.arg != "generator" for keyword in node.keywords):
            yield node.lineno, ast.unparse(node.func)


def find_device_literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    device = re.compile(r"(cuda|cpu|mps)(:\d*)?")
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and device.fullmatch(text):
            yield node.lineno, repr(text)


def find_long_functions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            lines = line_count(node)
            if ast.get_docstring(node) is not None:
                lines -= line_count(node.body[0])
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {lines} lines"


def line_count(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def algorithms(package: str) -> dict[str, Function | ast.ClassDef]:
    """Find what the package's tables name: functions and classes that stand in a `NAMES = {…}`."""
    trees = [ast.parse(file.read_text()) for file in python_files(package)]
    statements = [statement for tree in trees for statement in tree.body]
    tabled = set()
    for statement in statements:
        if isinstance(statement, ast.AnnAssign | ast.Assign) and isinstance(
            statement.value, ast.Dict
        ):
            for value in statement.value.values:
                tabled |= {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    return {
        statement.name: statement
        for statement in statements
        if isinstance(statement, Function | ast.ClassDef) and statement.name in tabled
    }


def test_no_file_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [file for file in python_files(*PACKAGES) if file.stem in drawers] == []


def test_files_fit_one_reading() -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines())
        for file in python_files(*PACKAGES)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_functions_fit_one_screen() -> None:
    assert violations(python_files(*PACKAGES), find_long_functions) == []


def test_no_literal_device() -> None:
    # The run file says which device; one module turns the word into a device.
    resolver = ROOT / "p2pfed" / "learn" / "device.py"
    files = [file for file in python_files(*PACKAGES) if file != resolver]
    assert violations(files, find_device_literals) == []


def test_peer_data_is_never_unpickled() -> None:
    pattern = r"(pickle|cloudpickle|dill|joblib|marshal|shelve)(\..*)?|torch\.load"
    assert violations(python_files(*PACKAGES), find_references(pattern)) == []


def test_no_global_random_generator() -> None:
    pattern = r"random\.(?!(Random|SystemRandom)\b)\w+|numpy\.random\.(?!default_rng\b)[a-z]\w*"
    assert violations(python_files(*PACKAGES), find_references(pattern)) == []


def test_every_draw_has_a_generator() -> None:
    files = python_files(*PACKAGES, "tests", "benchmarks", "examples")
    assert violations(files, find_draws_without_generator) == []
    control = ast.parse("torch.randn(3)\ntorch.randn(3, generator=g)")
    assert list(find_draws_without_generator(control)) == [(1, "torch.randn")]


def test_no_test_sleeps() -> None:
    # Wait for a state, or let trio's autojump clock pass the time.
    pattern = r"(time|trio|anyio|asyncio)\.(sleep|sleep_until)"
    assert violations(python_files("tests", "p2pfed/testing"), find_references(pattern)) == []


@pytest.mark.parametrize("package", ["robust", "topologies"])
def test_every_algorithm_names_its_source(package: str) -> None:
    found = algorithms(package)
    assert found
    lacking = {
        f"{name}: {section}"
        for name, node in found.items()
        for section in ("Source:", "Differs:")
        if section not in (ast.get_docstring(node) or "")
    }
    assert lacking == set()


def test_no_path_of_one_machine() -> None:
    machine_path = re.compile(r"(?<![\w.:~*-])/(home|mnt|opt|root|work|Users|tmp/venv)/")
    hidden_but_ours = [ROOT / ".ci" / "run", ROOT / ".gitignore"]
    folders = [*PACKAGES, "tests", "docs", "examples", "benchmarks", "scenarios"]
    suffixes = {".py", ".md", ".toml", ".txt", ".json", ".yaml", ".yml", ".sh", ".js", ".html"}
    files = [
        *(file for file in ROOT.iterdir() if file.is_file()),
        *(file for file in hidden_but_ours if file.exists()),
        *(
            file
            for folder in folders
            for file in (ROOT / folder).rglob("*")
            if file.suffix in suffixes
        ),
    ]
    hits = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in sorted(files)
        if not file.name.startswith(".coverage")
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if machine_path.search(line)
    ]
    assert hits == []
