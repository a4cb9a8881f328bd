"""The direction of imports, read from the source: what the layout promises stays true."""

import ast
import contextlib
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "kpi_engine", "dashboard", "sensors_sim")
ALLOWED_BETWEEN_PACKAGES = {("dashboard", "kpi_engine.catalogue")}
ALLOWED_LIBRARIES = {
    "paho": ("ingest/subscriber.py", "sensors_sim/publish.py"),
    "psycopg": ("pulso/db/",),
    "psycopg_pool": ("pulso/db/",),
    "dash": ("dashboard/",),
    "plotly": ("dashboard/",),
}


def imports(file: Path) -> Iterator[str]:
    """Full names of the modules a file imports, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module, _, level) if module and not level:
                yield module


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_no_other_package_but_pulso(package: str) -> None:
    forbidden = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sources(package)
        for name in imports(file)
        if (other := name.split(".")[0]) in PACKAGES
        and other != package
        and not any(package == who and name.startswith(what) for who, what in ALLOWED_BETWEEN_PACKAGES)
    ]
    assert forbidden == []


def test_pulso_imports_none_of_the_packages() -> None:
    forbidden = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sources("pulso")
        for name in imports(file)
        if name.split(".")[0] in PACKAGES
    ]
    assert forbidden == []


@pytest.mark.parametrize("library", ALLOWED_LIBRARIES)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    forbidden = [
        str(file.relative_to(ROOT))
        for package in ("pulso", *PACKAGES)
        for file in sources(package)
        if library in {name.split(".")[0] for name in imports(file)}
        and not str(file.relative_to(ROOT)).startswith(ALLOWED_LIBRARIES[library])
    ]
    assert forbidden == []


def runtime_distributions() -> set[str]:
    """Names of all distributions that an installation without extras brings."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        waiting = [Requirement(text) for text in tomllib.load(file)["project"]["dependencies"]]
    found: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = requirement.extras or {""}
        if name in found:
            continue
        found.add(name)
        with contextlib.suppress(PackageNotFoundError):  # for other systems only
            waiting += [
                needed
                for needed in map(Requirement, requires(name) or [])
                if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras)
            ]
    return found


def test_what_is_imported_is_installed_without_the_tools_of_developers() -> None:
    distributions, installed = packages_distributions(), runtime_distributions()
    missing = {
        f"{file.relative_to(ROOT)} imports {name}"
        for package in ("pulso", *PACKAGES)
        for file in sources(package)
        for name in imports(file)
        if (top := name.split(".")[0]) not in sys.stdlib_module_names
        and top not in ("pulso", *PACKAGES)
        and installed.isdisjoint(canonicalize_name(each) for each in distributions.get(top, []))
    }
    assert missing == set()


def test_the_environment_is_read_in_the_command_alone() -> None:
    """Settings are built once and passed down."""
    readers = {
        str(file.relative_to(ROOT))
        for package in ("pulso", *PACKAGES)
        for file in sources(package)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    }
    assert readers <= {"pulso/cli.py"}
