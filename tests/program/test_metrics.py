"""``credhelper daemon metrics`` and ``health``, and the door for Prometheus, on the whole program."""

import json
import os
import random
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.machine import SECONDS, Machine
from tests.program.support import Daemon, ask, running_daemon, until

Samples = dict[str, float]


@pytest.fixture
def daemon(machine: Machine) -> Iterator[Daemon]:
    """A daemon with session corp logged in."""
    with running_daemon(machine) as running:
        machine.log_in()
        yield running


def parsed(text: str) -> Samples:
    """Every sample by its name and labels, as Prometheus writes them."""
    return {
        sample.name + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(machine: Machine) -> Samples:
    return parsed(ask(machine, "metrics")["out"])


def own_address() -> str:
    """An address of loopback that no other test listens at, with a port that the system gives to nobody by itself."""
    return f"127.{random.randrange(1, 255)}.{random.randrange(255)}.{random.randrange(1, 255)}:9418"


def configure(machine: Machine, listen: str) -> None:
    path = machine.home / ".config" / "credhelper" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[metrics]\nlisten = "{listen}"\n', encoding="utf-8")


def fetch(address: str, page: str = "metrics") -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/{page}", timeout=SECONDS) as answer:
        text: str = answer.read().decode()
    return text


def test_without_a_daemon_both_say_so_with_status_7_and_start_none(machine: Machine) -> None:
    metrics, health = machine.run("daemon", "metrics"), machine.run("daemon", "health")
    assert (metrics.status, metrics.out) == (7, "")
    assert "the daemon is not running" in metrics.err
    assert "credhelper: hint: credhelper daemon start" in metrics.err
    assert (health.status, health.err) == (7, "")
    document = health.json()
    assert document["healthy"] is False
    assert document["troubles"] == [f"the daemon is not running at {machine.socket}"]
    assert not machine.socket.exists()


def test_counters_move_by_exactly_what_was_done(machine: Machine, daemon: Daemon) -> None:
    before = scraped(machine)
    for _ in range(5):
        assert ask(machine, "get", profile="dev")["status"] == "0"
    for _ in range(3):
        assert ask(machine, "get", profile="nobody")["status"] == "4"
    assert machine.run("whoami", "--profile", "dev").status == 0
    assert machine.run("logout").status == 0
    after = scraped(machine)
    moved = {name: after[name] - before.get(name, 0.0) for name in after if after[name] != before.get(name, 0.0)}
    counted = {name: number for name, number in moved.items() if "_total," in name}
    assert counted == {
        "credhelper_requests_total,op=get,outcome=ok": 5,
        "credhelper_requests_total,op=get,outcome=config": 3,
        "credhelper_requests_total,op=whoami,outcome=ok": 1,
        "credhelper_requests_total,op=logout,outcome=ok": 1,
        "credhelper_requests_total,op=metrics,outcome=ok": 1,
        "credhelper_role_cache_lookups_total,result=hit": 4,
        "credhelper_role_cache_lookups_total,result=miss": 1,
        "credhelper_role_fetches_total,outcome=ok": 1,
        "credhelper_upstream_calls_total,operation=GetRoleCredentials,outcome=ok": 1,
        "credhelper_upstream_calls_total,operation=GetCallerIdentity,outcome=ok": 1,
        "credhelper_upstream_calls_total,operation=Logout,outcome=ok": 1,
        "credhelper_logouts_total,outcome=ok": 1,
    }
    assert moved["credhelper_request_duration_seconds_count,cache=hit,op=get"] == 4
    assert moved["credhelper_upstream_call_duration_seconds_count,operation=Logout"] == 1
    assert before["credhelper_logins_total,outcome=ok"] == 1
    assert before["credhelper_upstream_calls_total,operation=RegisterClient,outcome=ok"] == 1
    assert before["credhelper_sso_sessions,state=active"] == 1
    assert after["credhelper_sso_sessions,state=active"] == 0
    assert after["credhelper_role_credentials,state=fresh"] == 0


def test_both_commands_tell_of_the_daemon_that_runs(machine: Machine, daemon: Daemon) -> None:
    until(lambda: scraped(machine).get("credhelper_watched_paths,how=on_use") == 0, "all files are watched")
    metrics, health = machine.run("daemon", "metrics"), machine.run("daemon", "health", "--json")
    assert (metrics.status, metrics.err, health.status, health.err) == (0, "", 0, "")
    document = health.json()
    assert document["healthy"] is True
    assert document["pid"] == daemon.pid
    assert document["watching"] == "events"
    assert document["sessions"]["active"] == 1
    assert document["metrics"] is None
    samples = parsed(metrics.out)
    assert samples[f"credhelper_build_info,version={document['version']}"] == 1
    assert samples["credhelper_healthy"] == 1
    assert samples["process_cpu_seconds_total"] > 0
    assert samples["process_resident_memory_bytes"] > 10_000_000


def test_prometheus_finds_the_same_where_the_settings_say_and_a_reload_moves_it(machine: Machine) -> None:
    first, second = own_address(), own_address()
    configure(machine, first)
    with running_daemon(machine) as daemon:
        assert parsed(fetch(first))["credhelper_healthy"] == 1
        assert json.loads(fetch(first, "health"))["healthy"] is True
        configure(machine, second)
        assert machine.run("daemon", "reload").status == 0
        assert parsed(fetch(second))["credhelper_healthy"] == 1
        assert scraped(machine)["credhelper_http_requests_total,status=200"] == 3
        with pytest.raises(urllib.error.URLError):
            fetch(first)
        assert machine.run("daemon", "health").json()["metrics"] == f"http://{second}/metrics"
        assert ask(machine, "hello")["status"] == "0"
        assert "Traceback" not in daemon.log()
    with pytest.raises(urllib.error.URLError):
        fetch(second)


def test_a_port_that_is_taken_keeps_nobody_from_their_credentials(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        configure(machine, listen)
        with running_daemon(machine) as daemon:
            machine.log_in()
            assert ask(machine, "get", profile="dev")["status"] == "0"
            health = machine.run("daemon", "health")
            assert health.status == 0
            assert (
                f"the metrics endpoint cannot be opened: {listen}: Address already in use" in health.json()["troubles"]
            )
            assert f"metrics cannot be served at {listen}" in daemon.log()


def test_what_prometheus_is_told_names_nobody_and_nothing(machine: Machine) -> None:
    address = own_address()
    configure(machine, address)
    with running_daemon(machine):
        machine.log_in()
        assert ask(machine, "get", profile="dev")["status"] == "0"
        for page in ("metrics", "health"):
            told = fetch(address, page)
            for word in ("corp", "alice", "111122223333", "Developer", str(machine.home), machine.sandbox.start_url):
                assert word not in told


@pytest.mark.real_client
def test_a_daemon_that_does_not_answer_is_not_well(machine: Machine, daemon: Daemon) -> None:
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        health = machine.run("daemon", "health")
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    assert health.status == 7
    assert health.json()["troubles"] == ["the daemon did not answer within 5 s"]
