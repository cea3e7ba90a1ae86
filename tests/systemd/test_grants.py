"""``credhelper exec`` beside the service as it is locked down, which sees whose grant it is and serves on as before."""

import pytest

from tests.program.support import until
from tests.systemd.manager import ManagedMachine

pytestmark = pytest.mark.real_client

PROGRAM = """
import os, signal, subprocess, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
headers = {"Authorization": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers=headers)
print(opener.open(request).status, flush=True)
subprocess.run(["systemctl", "--user", "restart", "credhelper.service"], check=True)
print(opener.open(request).status, flush=True)
os.kill(os.getppid(), signal.SIGKILL)
"""
"""At last it ends `credhelper exec`, which then cannot say goodbye to the daemon."""


def test_a_grant_outlives_a_restart_of_the_service_and_ends_with_its_program(managed: ManagedMachine) -> None:
    managed.install_units()
    managed.do("start", "credhelper.socket")
    managed.log_in()
    done = managed.run("exec", "--profile", "dev", "--", managed.python, "-c", PROGRAM)
    assert (done.out, done.err) == ("200\n200\n", "")
    until(lambda: not list(managed.home.glob(".local/state/credhelper/doors-*.json")), "the daemon has seen it end")
