"""``credhelper exec``: a program works in the chosen role, and in all else as if it were alone."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, SECONDS, Machine, Run
from tests.program.support import refusal, until

URI, TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
ROLE = ("--sso-session", "corp", "--account-id", "222233334444", "--role-name", "ReadOnly")
OVER = {401, 403, None}
"""What a grant's endpoint answers once it has ended: nobody listens where there is no other."""
TELL = "import json, os; print(json.dumps(dict(os.environ)))"
OF_ANOTHER_ACCOUNT = """
[default]
region = us-east-2
sso_session = corp
sso_account_id = 222233334444
sso_role_name = ReadOnly
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Logged in; whoever changes its configuration puts it back."""
    with Sandbox(lifetimes=Lifetimes(interval=0)) as sandbox, Machine(sandbox) as found:
        found.log_in()
        yield found


@pytest.fixture
def hidden(machine: Machine) -> Iterator[Machine]:
    """With a ``[default]`` of another account in the config file, and one with keys in the credentials file."""
    before = machine.config.read_text()
    machine.write_config(before + OF_ANOTHER_ACCOUNT)
    credentials = machine.home / ".aws" / "credentials"
    credentials.write_text("# mine\n[default]\naws_access_key_id = A\naws_secret_access_key = B\n[x]\nrole_arn = r\n")
    yield machine
    credentials.unlink()
    machine.write_config(before)


def environment_of(machine: Machine, *options: str, **environment: str) -> dict[str, str]:
    """What a program that ``credhelper exec`` runs finds in its environment."""
    run = machine.run("exec", *options, "--", sys.executable, "-c", TELL, **environment)
    assert (run.status, run.err) == (0, ""), run
    found: dict[str, str] = run.json()
    return found


def fetch(environment: dict[str, str]) -> Any:
    """What the endpoint of ``environment`` answers: the credentials, or a status; None where nobody listens."""
    place = urlsplit(environment[URI])
    with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=SECONDS)) as connection:
        try:
            connection.request("GET", place.path, headers={"Authorization": environment[TOKEN]})
        except ConnectionRefusedError:
            return None
        answer = connection.getresponse()
        return json.load(answer) if answer.status == 200 else answer.status


def scratch(machine: Machine) -> list[Path]:
    """The directories with copies that there are."""
    return [path for path in machine.runtime.glob("credhelper/exec/*") if path.is_dir()]


def sh(machine: Machine, script: str, *options: str) -> Run:
    """``credhelper exec`` of a shell's script."""
    return machine.run("exec", "--profile", "dev", *options, "--", "sh", "-c", script)


# -- credentials ------------------------------------------------------------------------------------------------------


def test_a_program_gets_the_endpoint_of_its_role_for_as_long_as_it_runs(machine: Machine) -> None:
    program = (
        "import json, os, sys, urllib.request as u;"
        f"r = u.Request(os.environ['{URI}'], headers={{'Authorization': os.environ['{TOKEN}']}});"
        "print(json.dumps([dict(os.environ), json.load(u.build_opener(u.ProxyHandler({})).open(r))]))"
    )
    run = machine.run("exec", "--profile", "dev", "--", sys.executable, "-c", program)
    assert (run.status, run.err) == (0, "")
    environment, credentials = run.json()
    wanted = machine.run("get", "--profile", "dev").json()
    assert credentials.pop("Token") == wanted["SessionToken"]
    assert credentials.items() <= wanted.items()
    assert environment["CREDHELPER_EXEC"] == "dev"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert fetch(environment) in OVER


def test_a_role_may_be_named_without_a_profile(machine: Machine) -> None:
    environment = environment_of(machine, *ROLE, "--env")
    assert environment["CREDHELPER_EXEC"] == "corp/222233334444/ReadOnly"
    assert environment["AWS_ACCOUNT_ID"] == "222233334444"
    assert "AWS_REGION" not in environment
    assert environment_of(machine, *ROLE)[URI].startswith("http://127.0.0.1:")


STALE = {
    "AWS_PROFILE": "native",
    "AWS_DEFAULT_PROFILE": "native",
    "AWS_ACCESS_KEY_ID": "AKIASTALE",
    "AWS_SECRET_ACCESS_KEY": "stale",
    "AWS_SESSION_TOKEN": "stale",
    "AWS_SECURITY_TOKEN": "stale",
    "AWS_CREDENTIAL_EXPIRATION": "stale",
    "AWS_ACCOUNT_ID": "stale",
    "AWS_ROLE_ARN": "stale",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/stale",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/stale",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/stale",
}


def test_the_chosen_role_wins_over_whatever_the_environment_says(machine: Machine) -> None:
    other = {"AWS_RETRY_MODE": "standard", "AWS_EC2_METADATA_DISABLED": "true", "MINE": "\udcff"}
    environment = environment_of(machine, "--profile", "dev", **STALE, **other)
    assert not STALE.keys() & environment.keys()
    assert environment.items() >= other.items()
    fixed = environment_of(machine, "--profile", "dev", "--env", **STALE, **other)
    assert fixed.items() >= other.items()
    assert "stale" not in "".join(fixed.values())
    assert URI not in fixed
    wanted = machine.run("get", "--profile", "dev").json()
    for variable, key in {
        "AWS_ACCESS_KEY_ID": "AccessKeyId",
        "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
        "AWS_SESSION_TOKEN": "SessionToken",
        "AWS_CREDENTIAL_EXPIRATION": "Expiration",
        "AWS_ACCOUNT_ID": "AccountId",
    }.items():
        assert fixed[variable] == wanted[key]


def test_the_environments_profile_chooses_the_role(machine: Machine) -> None:
    for options in ((), ("--env",)):
        assert environment_of(machine, *options, AWS_PROFILE="native")["CREDHELPER_EXEC"] == "native"


def test_a_region_by_option_goes_before_the_environments_and_that_before_the_profiles(machine: Machine) -> None:
    def regions(*options: str, **environment: str) -> tuple[str | None, str | None]:
        found = environment_of(machine, "--profile", "dev", *options, **environment)
        return found.get("AWS_REGION"), found.get("AWS_DEFAULT_REGION")

    for options in ((), ("--env",)):
        assert regions(*options) == ("eu-west-1", "eu-west-1")
        assert regions(*options, AWS_REGION="us-west-2") == ("us-west-2", None)
        assert regions(*options, AWS_DEFAULT_REGION="us-west-2") == (None, "us-west-2")
        assert regions(*options, "--region", "ap-south-1", AWS_REGION="us-west-2") == ("ap-south-1", "ap-south-1")


def test_a_default_profile_with_credentials_is_kept_from_the_program(hidden: Machine) -> None:
    script = 'for f in "$AWS_CONFIG_FILE" "$AWS_SHARED_CREDENTIALS_FILE"; do stat -c "%a %n" "$f"; cat "$f"; done'
    run = sh(hidden, f'stat -c %a "$(dirname "$AWS_CONFIG_FILE")"; {script}')
    config = hidden.config.read_text().partition("[default]")[0] + "[default]\nregion = us-east-2\n"
    place = run.out.splitlines()[1].removeprefix("600 ").removesuffix("/config")
    assert Path(place).parent == hidden.runtime / "credhelper" / "exec"
    credentials = "# mine\n[default]\n[x]\nrole_arn = r\n"
    assert run.out == f"700\n600 {place}/config\n{config}600 {place}/shared_credentials\n{credentials}"
    assert scratch(hidden) == []


def test_copies_are_made_only_where_something_is_hidden(machine: Machine, hidden: Machine) -> None:
    assert "AWS_CONFIG_FILE" not in environment_of(hidden, "--profile", "dev", "--env")
    hidden.write_config(CONFIG.format(start_url=hidden.sandbox.start_url) + "[default]\nregion = us-east-2\n")
    (hidden.home / ".aws" / "credentials").write_text("[x]\naws_access_key_id = A\n")
    assert "AWS_CONFIG_FILE" not in environment_of(hidden, "--profile", "dev")


def test_files_elsewhere_are_found_as_an_sdk_finds_them(machine: Machine) -> None:
    elsewhere = machine.home / "my config"
    elsewhere.write_text(machine.config.read_text() + OF_ANOTHER_ACCOUNT)
    for named in ("my config", "~/my config", "$HOME/my config"):
        environment = environment_of(machine, "--profile", "dev", AWS_CONFIG_FILE=named)
        assert Path(environment["AWS_CONFIG_FILE"]).parent.parent == machine.runtime / "credhelper" / "exec"
        assert "AWS_SHARED_CREDENTIALS_FILE" not in environment


def test_keys_of_a_library_older_than_botocore_are_passed_over(machine: Machine) -> None:
    boto = machine.home / ".boto"
    boto.write_text("[Credentials]\naws_access_key_id = A\naws_secret_access_key = B\n")
    assert environment_of(machine, "--profile", "dev")["BOTO_CONFIG"] == os.devnull
    boto.write_text("[Credentials]\ngs_oauth2_refresh_token = x\n")
    assert "BOTO_CONFIG" not in environment_of(machine, "--profile", "dev")
    boto.unlink()


# -- what it refuses --------------------------------------------------------------------------------------------------


def test_what_the_daemon_says_comes_before_the_program_runs(machine: Machine) -> None:
    mark = machine.home / "ran"
    for options, status, word in (
        (("--profile", "nobody"), 4, "nobody"),
        (("--profile", "legacy"), 3, "credhelper login"),
        (("--profile", "dev", "--min-ttl", "2h"), 6, ""),
    ):
        for form in ((), ("--env",)):
            refusal(machine.run("exec", *options, *form, "--", "touch", str(mark)), status, word)
    assert not mark.exists()
    for form in ((), ("--env",)):
        assert sh(machine, "exit 9", "--min-ttl", "10m", *form).status == 9


def test_wrong_usage(machine: Machine) -> None:
    for arguments, word in (
        ((), "COMMAND"),
        (("--",), "COMMAND"),
        (("--min-ttl", "soon", "true"), "soon"),
        (("--min-ttl", "0", "true"), "10m"),
        (("--nonsense", "true"), "nonsense"),
        (("--profile", "dev", "--region", "", "true"), "--region"),
        (("true",), "--profile"),
    ):
        refusal(machine.run("exec", *arguments), 2, word)


def test_nested_it_is_refused_unless_forced(machine: Machine) -> None:
    inner = f"{sys.executable} -Im credhelper exec --profile native"
    for options in ((), ("--env",)):
        refusal(sh(machine, f"{inner} -- true", *options), 2, "dev", "--force")
    run = sh(machine, f"{inner} --force -- sh -c 'echo $CREDHELPER_EXEC'")
    assert (run.status, run.out, run.err) == (0, "native\n", "")


# -- as if it were not there ------------------------------------------------------------------------------------------


def test_its_status_is_the_programs(machine: Machine) -> None:
    assert [sh(machine, f"exit {status}").status for status in (0, 1, 255)] == [0, 1, 255]
    assert [sh(machine, f"kill -{number} $$").status for number in (9, 15, 11)] == [137, 143, 139]


def test_what_cannot_be_run_is_told_as_shells_do(machine: Machine) -> None:
    plain = machine.home / "plain"
    plain.write_text("echo $0 $1\n")
    refusal(machine.run("exec", "--profile", "dev", "--", "no-such-program"), 127, "no-such-program")
    refusal(machine.run("exec", "--profile", "dev", "--", "./none"), 127, "./none")
    refusal(machine.run("exec", "--profile", "dev", "--", ""), 127, "“”")
    refusal(machine.run("exec", "--profile", "dev", "--", "./plain"), 126, "./plain")
    refusal(machine.run("exec", "--profile", "dev", "--", "."), 126)
    plain.chmod(0o755)
    orphan = machine.put_command("orphan", "")
    orphan.write_text("#!/nonexistent/interpreter\n")
    refusal(machine.run("exec", "--profile", "dev", "--", "orphan"), 126, "orphan", "interpret")
    run = machine.run("exec", "--profile", "dev", "--", "./plain", "a b")
    assert (run.status, run.out) == (0, "./plain a b\n")


def test_dashes_are_needed_only_where_the_command_begins_with_one(machine: Machine) -> None:
    for words, said in (
        (("printf", "%s ", "--", "-x", "--profile", "y", "--help"), "-- -x --profile y --help "),
        (("--", "printf", "%s ", "get", "exec"), "get exec "),
    ):
        run = machine.run("exec", "--profile", "dev", *words)
        assert (run.status, run.out) == (0, said)


def test_it_hands_on_its_descriptors_and_locale_as_they_were(machine: Machine) -> None:
    inherited = "for fd in 0 1 2 6; do [ -e /proc/$$/fd/$fd ] && echo $fd; done; env | grep -c ^LC_"
    bare = ["sh", "-c", inherited]
    command = [sys.executable, "-Im", "credhelper", "exec", "--profile", "dev", "--", *bare]
    env = {name: value for name, value in machine.environment.items() if name != "LANG"}
    for redirection, found in (("<&-", "1\n2\n6"), ("<&- >/dev/null 2>&1", ""), ("", "0\n1\n2\n6")):
        said = [
            subprocess.run(
                ["sh", "-c", f'"$@" 6</dev/null {redirection}', "sh", *each],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            for each in (command, bare)
        ]
        assert said[0].stdout == said[1].stdout == (f"{found}\n0\n" if found else "")
        assert (said[0].returncode, said[0].stderr) == (said[1].returncode, said[1].stderr) == (1, "")


def test_what_the_program_closes_is_closed(machine: Machine) -> None:
    reads, writes = os.pipe()
    command = [sys.executable, "-Im", "credhelper", "exec", "--profile", "dev", "--", "bash", "-c"]
    with subprocess.Popen(
        [*command, f"exec {writes}>&- >&-; cat >/dev/null; exit 3"],
        env=machine.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(writes,),
    ) as program:
        os.close(writes)
        assert program.stdin is not None
        assert program.stdout is not None
        assert (os.read(reads, 1), program.stdout.read()) == (b"", b"")
        assert program.poll() is None
        program.stdin.close()
        assert program.wait(SECONDS) == 3
    os.close(reads)


def test_it_reads_what_the_program_reads_and_stays_in_its_group(machine: Machine) -> None:
    command = [sys.executable, "-Im", "credhelper", "exec", "--profile", "dev", "--", "sh", "-c"]
    script = "cat; ps -o pgid= -p $$; ps -o pgid= -p $PPID; pwd; umask; trap '' TERM; kill -TERM $PPID"
    done = subprocess.run(
        [*command, script],
        env=machine.environment,
        cwd="/",
        umask=0o027,
        input="all of it",
        capture_output=True,
        text=True,
        check=True,
    )
    read, *groups, cwd, umask = done.stdout.replace("all of it", "all of it\n").split("\n")[:5]
    assert (read, cwd, umask) == ("all of it", "/", "0027")
    assert len(set(groups)) == 1


COUNTS = """
import os, signal, sys
def tell(number, _):
    os.write(1, (signal.Signals(number).name if number < 32 else "RT").encode() + b"\\n")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN + 3):
    signal.signal(number, tell)
os.write(1, b"ready\\n")
while (line := sys.stdin.readline()).strip() != "end":
    pass
"""


def test_a_signal_sent_to_it_alone_reaches_the_program_once(machine: Machine) -> None:
    command = [sys.executable, "-Im", "credhelper", "exec", "--profile", "dev", "--", sys.executable, "-c", COUNTS]
    with subprocess.Popen(
        command, env=machine.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            program.send_signal(number)
            assert program.stdout.readline() == number.name + "\n"
        os.kill(program.pid, signal.SIGRTMIN + 3)
        assert program.stdout.readline() == "RT\n"
        program.stdin.write("end\n")
        program.stdin.close()
        assert program.stdout.read() == ""
        assert program.wait(SECONDS) == 0


def test_copies_go_with_the_program_however_it_ends_and_a_killed_ones_with_the_next(hidden: Machine) -> None:
    def started() -> "subprocess.Popen[str]":
        process = hidden.start("exec", "--profile", "dev", "--", "sh", "-c", "echo $$; exec sleep 1000")
        assert process.stdout is not None
        process.pid_of_program = int(process.stdout.readline())  # type: ignore[attr-defined]
        return process

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        with started() as process:
            assert len(scratch(hidden)) == 1
            process.send_signal(number)
            assert process.wait(SECONDS) == 128 + number
        assert scratch(hidden) == []
    with started() as process:
        process.kill()
        process.wait(SECONDS)
        (left,) = scratch(hidden)
        os.kill(process.pid_of_program, signal.SIGKILL)  # type: ignore[attr-defined]
    environment_of(hidden, "--profile", "dev", "--env")
    assert not left.exists()


def test_its_grant_ends_with_it_even_when_it_is_killed(machine: Machine) -> None:
    with machine.start("exec", "--profile", "dev", "--", sys.executable, "-c", TELL + "; input()") as process:
        assert process.stdout is not None
        environment = json.loads(process.stdout.readline() or "{}")
    until(lambda: fetch(environment) in OVER, "the grant has ended")


def test_it_loads_nothing_that_it_does_not_need(machine: Machine) -> None:
    """Half of what it takes is Python's own start, and imports are most of the rest."""
    for options in ((), ("--env",)):
        loaded = machine.imports_of("exec", "--profile", "dev", *options, "--", "true", "status", "login", "service")
        heavy = {"asyncio", "botocore", "configparser", "ctypes", "dataclasses", "inspect", "logging", "subprocess"}
        assert "credhelper.local.stand_in" in loaded
        assert not heavy & loaded
        assert {name for name in loaded if name.startswith("credhelper.")} <= {
            "credhelper.aws.precedence",
            "credhelper.cli.asking",
            "credhelper.cli.daemon_link",
            "credhelper.cli.entry",
            "credhelper.cli.exec_command",
            "credhelper.cli.export",
            "credhelper.cli.main",
            "credhelper.cli.options",
            "credhelper.cli.picking.pick",
            "credhelper.cli.quick",
            "credhelper.cli.shell_words",
            "credhelper.cli.spans",
            "credhelper.cli.speech",
            "credhelper.client",
            "credhelper.domain.errors",
            "credhelper.domain.text",
            "credhelper.local.file_lock",
            "credhelper.local.places",
            "credhelper.local.private_directory",
            "credhelper.local.scratch",
            "credhelper.local.stand_in",
            "credhelper.aws",
            "credhelper.cli",
            "credhelper.cli.picking",
            "credhelper.domain",
            "credhelper.local",
        }
