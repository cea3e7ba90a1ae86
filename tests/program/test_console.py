"""``credhelper console``: a browser is signed in as the role, or the address is printed."""

from credhelper.sandbox.server import Sandbox
from tests.machine import Machine, visit
from tests.program.support import refusal, until


def test_the_address_that_is_printed_signs_in_as_the_role_once(machine: Machine, sandbox: Sandbox) -> None:
    console = ("console", "--profile", "dev", "--print")
    refusal(machine.run(*console), 3, "not logged in", "credhelper login --sso-session corp")
    machine.log_in()
    refusal(machine.run(*console, "--destination", "https://evil.example/"), 2, "is not a page of https://console.aws")
    refusal(machine.run(*console, "--service", ""), 2, "--service needs a value")
    refusal(machine.run(*console, "--service", "s3", "--destination", "/s3"), 2, "not allowed with")
    assert sandbox.calls["GetSigninToken"] == 0
    run = machine.run(*console, "--destination", "/s3/home?a=b#c", "--region", "us-west-2")
    assert run.status == 0
    assert run.err.startswith("It is the console of Developer in 111122223333, us-west-2, until ")
    (url,) = run.out.splitlines()
    page = visit(url)
    assert "Signed in to the console" in page
    assert "https://us-west-2.console.aws.amazon.com/s3/home?a=b#c" in page
    assert "was used" in visit(url)


def test_a_browser_is_opened_and_without_one_the_address_is_printed(machine: Machine) -> None:
    machine.log_in()
    opened = machine.home / "opened"
    machine.put_command("my-browser", f'echo "$2" > {opened}.new; mv {opened}.new {opened}')
    run = machine.run("console", "--profile", "dev", "--service", "s3", BROWSER="my-browser --new-tab %s")
    assert (run.status, run.out) == (0, "")
    assert run.err.startswith("Opened the console of Developer in 111122223333, eu-west-1, until ")
    until(opened.exists, "the browser is there")
    assert "https://eu-west-1.console.aws.amazon.com/s3/home?region=eu-west-1" in visit(opened.read_text().strip())
    for environment, why in (
        ({"BROWSER": "no-such-browser"}, "none can be started: BROWSER=no-such-browser"),
        ({"BROWSER": "", "SSH_CONNECTION": "1 2 3 4"}, "this is an SSH connection"),
    ):
        run = machine.run("console", "--profile", "dev", **environment)
        assert "Signed in to the console" in visit(run.out.strip())
        assert f"No browser was opened, because {why}. " in run.err
