"""The house's own rules, read from the source: imports go downward, modules say what they are for, nobody sleeps."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import credhelper

PACKAGE = Path(credhelper.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
OUR_OWN = [path for path in MODULES if "sandbox" not in path.relative_to(PACKAGE).parts]

FLOORS = {
    "cli": 7,
    "doctor": 6,
    "daemon": 5,
    "endpoints": 4,
    "agent": 3,
    "aws": 2,
    "log": 1,
    "local": 1,
    "identity_pools": 1,
    "domain": 0,
}
"""Who may import whom: floors below one's own, and one's own. aws uses local's files, never the reverse."""

EVERYONES = {"credhelper", "credhelper.client"}
"""The version, and the wire format with the places that the fast client knows."""


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that is imported, inside functions too; ``from a import b`` names a.b when that is a module."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            for alias in node.names:
                inner = PACKAGE.parent / module.replace(".", "/") / alias.name
                is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                yield f"{module}.{alias.name}" if is_module else module


def part_of(module: str) -> str:
    """The demo is a command with a module of its own, and ``__main__`` is the command line's other name."""
    part = module.split(".")[1] if "." in module else ""
    return {"demo": "cli", "__main__": "cli"}.get(part, part)


@pytest.mark.parametrize("path", OUR_OWN, ids=name_of)
def test_imports_go_downward(path: Path) -> None:
    part = part_of(name_of(path))
    if part in {"", "client"}:
        return
    for module in imports(path):
        if module.split(".")[0] != "credhelper" or module in EVERYONES or part_of(module) == "sandbox":
            continue
        other = part_of(module)
        assert other == part or FLOORS[other] < FLOORS[part], f"{name_of(path)} imports {module}"


def test_every_part_of_the_package_has_a_floor() -> None:
    assert {part_of(name_of(path)) for path in OUR_OWN} - {"", "client"} <= set(FLOORS)


def test_the_fast_client_stands_alone() -> None:
    """It is copied out of the package and run with ``-IS``: built-in modules only."""
    for module in imports(PACKAGE / "client.py"):
        assert module in sys.builtin_module_names or module == "_socket", module


def test_the_package_itself_imports_nothing() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        assert not list(imports(path)), path


@pytest.mark.parametrize("path", OUR_OWN, ids=name_of)
def test_only_the_demo_and_its_command_know_the_sandbox(path: Path) -> None:
    if name_of(path) in {"credhelper.demo", "credhelper.cli.sandbox_commands"}:
        return
    assert not [module for module in imports(path) if module.startswith("credhelper.sandbox")]


@pytest.mark.parametrize("path", OUR_OWN, ids=name_of)
def test_only_the_border_to_aws_knows_botocore(path: Path) -> None:
    if name_of(path) in {"credhelper.aws.transport", "credhelper.aws.second_reading"}:
        return
    assert not [module for module in imports(path) if module.split(".")[0] in {"botocore", "boto3"}]


def test_the_domain_knows_neither_time_nor_files_nor_the_network() -> None:
    outside = {"asyncio", "os", "pathlib", "socket", "subprocess", "threading", "time", "logging", "http", "shutil"}
    for path in (PACKAGE / "domain").glob("*.py"):
        assert not {module.split(".")[0] for module in imports(path)} & outside, path


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", OUR_OWN, ids=name_of)
def test_nobody_sleeps(path: Path) -> None:
    """Waiting is for an event; and time.sleep() fails in a process whose clock is moved."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and node.attr == "sleep":
            assert isinstance(node.value, ast.Name), path
            assert node.value.id != "time", f"{path}:{node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            assert "sleep" not in {alias.name for alias in node.names}, path


@pytest.mark.parametrize("path", OUR_OWN, ids=name_of)
def test_nobody_starts_a_shell(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            assert isinstance(node.value, ast.Constant), path
            assert node.value.value is False, path
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in {"system", "popen"}, f"{path}:{node.lineno}"


def test_importing_the_command_line_loads_no_botocore() -> None:
    """A caller that only asks a question must not pay for it."""
    code = "import sys, credhelper.cli.main; print([m for m in ('botocore', 'asyncio', 'h11') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
