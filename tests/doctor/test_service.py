"""What the doctor says of a service: none is fine, and one of a real `systemd --user` is looked at."""

from typing import Any

import pytest

from credhelper.doctor.findings import State
from tests.doctor.homes import Home, ids
from tests.systemd.manager import ManagedMachine


def test_a_service_without_its_manager_is_a_warning(home: Home) -> None:
    home.write(home.home / ".config/systemd/user/credhelper.service", "[Service]\n")
    findings = home.look()
    assert ids(findings, State.PROBLEM) == []
    assert ids(findings, State.WARNING) == ["service.manager"]


@pytest.mark.real_client
def test_an_installed_service_is_followed_through_its_troubles(managed: ManagedMachine) -> None:
    def states() -> dict[str, str]:
        document: Any = managed.run("doctor", "--json").json()
        return {check["id"]: check["state"] for check in document["checks"] if check["id"].startswith("service.")}

    assert states() == {"service.installed": "ok"}
    install = [managed.python, "-Im", "credhelper", "service", "install"]
    done = managed.run_program(install)
    assert done.status == 0, done
    assert states() == {"service.files": "ok", "service.active": "ok"}

    unit = managed.home / ".config/systemd/user/credhelper.service"
    text = unit.read_text(encoding="utf-8")
    unit.write_text(text + "# mine\n", encoding="utf-8")
    assert states() == {"service.files": "warning", "service.active": "ok"}
    unit.write_text(text, encoding="utf-8")

    managed.do("disable", "credhelper.socket", "credhelper.service")
    assert states()["service.active"] == "warning"
    assert managed.run_program(install).status == 0

    managed.do("stop", "credhelper.socket")
    assert states() == {"service.files": "ok", "service.active": "ok", "service.socket": "warning"}

    managed.do("stop", "credhelper.socket", "credhelper.service")
    assert states() == {"service.files": "ok", "service.active": "problem"}
    assert managed.run_program(install).status == 0
    assert states() == {"service.files": "ok", "service.active": "ok"}
