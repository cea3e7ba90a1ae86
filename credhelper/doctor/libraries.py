"""The Python that runs credhelper, and the libraries installed beside it, against credhelper's own requirements."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from credhelper.doctor.findings import Finding, ok, problem, warning

OLDEST_PYTHON = (3, 11)
FUTURE_PATCH = 900
"""urllib3-future numbers its versions from x.y.900 on, and installs itself under urllib3's name."""

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?P<range>[^;]*?)\s*(?:;\s*(?P<marker>.*))?")
_RANGE = re.compile(r"(?P<operator>>=|<=|==|!=|~=|<|>)\s*(?P<version>[\w.*+!-]+)")
_PLATFORM = re.compile(r"""sys_platform\s*==\s*['"](?P<platform>\w+)['"]""")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of what credhelper needs; ``ranges`` as (operator, version)."""

    name: str
    ranges: tuple[tuple[str, str], ...]

    def allows(self, version: str) -> bool:
        """Whether this version will do. What is compared are the leading numbers."""
        return all(_compares(_numbers(version), operator, _numbers(bound)) for operator, bound in self.ranges)

    @property
    def specifier(self) -> str:
        """As pip takes it."""
        return self.name + ",".join(operator + bound for operator, bound in self.ranges)


class Libraries:
    """What is installed where this very program runs."""

    python = sys.version_info[:3]

    def requirements(self) -> list[Requirement]:
        """credhelper's own, for this platform; none when it runs from a bare directory of sources."""
        try:
            lines = metadata.requires("credhelper") or []
        except metadata.PackageNotFoundError:
            return []
        return [found for line in lines if (found := parse(line, sys.platform)) is not None]

    def version(self, name: str) -> str | None:
        """The version installed under that name."""
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    def urllib3(self) -> str | None:
        """The version that ``import urllib3`` gives, whoever installed it."""
        try:
            import urllib3
        except ImportError:
            return None
        return str(getattr(urllib3, "__version__", ""))


def parse(line: str, platform: str) -> Requirement | None:
    """A requirement of the metadata; None for what belongs to an extra or to another platform."""
    found = _REQUIREMENT.fullmatch(line)
    if found is None or "extra" in (found["marker"] or ""):
        return None
    named = _PLATFORM.search(found["marker"] or "")
    if named is not None and named["platform"] != platform:
        return None
    return Requirement(
        found["name"], tuple((each["operator"], each["version"]) for each in _RANGE.finditer(found["range"]))
    )


def check(libraries: Libraries, interpreter: str) -> Iterator[Finding]:
    """``python.version``, ``libraries.version``, ``libraries.missing`` and ``libraries.urllib3``."""
    yield _python(libraries, interpreter)
    yield from _installed(libraries, interpreter)
    future = libraries.urllib3()
    if future is not None and (*_numbers(future), 0, 0, 0)[2] >= FUTURE_PATCH:
        yield warning(
            "libraries.urllib3",
            f"urllib3 is replaced by urllib3-future ({future}), which botocore is not made for",
            f"{interpreter} -m pip uninstall -y urllib3-future"
            f" && {interpreter} -m pip install --force-reinstall urllib3",
        )


def _python(libraries: Libraries, interpreter: str) -> Finding:
    version = ".".join(map(str, libraries.python))
    if libraries.python < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return problem(
            "python.version",
            f"Python {version} at {interpreter} is older than {oldest}",
            f"install credhelper with Python {oldest} or newer",
        )
    return ok("python.version", f"Python {version} at {interpreter}")


def _installed(libraries: Libraries, interpreter: str) -> Iterator[Finding]:
    fine = []
    for requirement in libraries.requirements():
        version = libraries.version(requirement.name)
        remedy = f"{interpreter} -m pip install '{requirement.specifier}'"
        if version is None:
            yield problem("libraries.missing", f"the library {requirement.specifier} is not installed", remedy)
        elif not requirement.allows(version):
            yield problem(
                "libraries.version",
                f"{requirement.name} is {version}; credhelper needs {requirement.specifier}",
                remedy,
            )
        else:
            fine.append(f"{requirement.name} {version}")
    if fine:
        yield ok("libraries.version", ", ".join(fine))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+", 1)[0])[:3])


def _compares(version: tuple[int, ...], operator: str, bound: tuple[int, ...]) -> bool:
    size = max(len(version), len(bound))
    left, right = (each + (0,) * (size - len(each)) for each in (version, bound))
    match operator:
        case ">=" | "~=":
            return left >= right
        case "<=":
            return left <= right
        case "<":
            return left < right
        case ">":
            return left > right
        case "==":
            return left == right
        case _:
            return left != right
