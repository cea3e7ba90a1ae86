"""`credhelper sandbox run` from the outside."""

import configparser
import os
import re
import select
import signal
import subprocess
import sys
import tomllib
from urllib.parse import urlsplit

import pytest

from credhelper.sandbox.run import run
from credhelper.sandbox.server import Sandbox

RUN = "import sys; from credhelper.sandbox.run import run; sys.exit(run(0))"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_what_one_needs_serves_and_ends_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        printed = _read_until(process.stdout.fileno(), "battery-staple")
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest.strip(), errors) == (0, "", "")
    assert len(re.findall(r"^export AWS_ENDPOINT_URL_\w+=http://127\.0\.0\.1:\d+$", printed, re.MULTILINE)) == 6
    config = configparser.RawConfigParser()
    config.read_string("\n".join(line for line in printed.splitlines() if not line.startswith(("export", "#"))))
    assert config["sso-session sandbox"]["sso_start_url"] == "https://sandbox.awsapps.com/start"
    assert config["profile sandbox-1"]["sso_session"] == "sandbox"
    deploy = config["profile sandbox-deploy"]
    assert deploy["role_arn"] == "arn:aws:iam::222233334444:role/Deploy"
    assert config[f"profile {deploy['source_profile']}"]["sso_role_name"] == "Developer"
    assert config["profile sandbox-user"]["credhelper_cognito_login"] == "sandbox"
    assert tomllib.loads(printed[printed.index("[cognito_login") : printed.index("# Who")])["cognito_login"]["sandbox"]
    assert "#   alice / correct-horse" in printed


def test_a_port_in_use_is_told(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    port = urlsplit(sandbox.url).port or 0
    assert run(port) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"credhelper: error: cannot listen on port {port}: ")


def _read_until(descriptor: int, text: str) -> str:
    printed = ""
    while text not in printed:
        assert select.select([descriptor], [], [], 10)[0], f"only this came: {printed}"
        printed += os.read(descriptor, 65536).decode()
    return printed
