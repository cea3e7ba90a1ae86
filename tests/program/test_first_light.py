from tests.machine import Machine


def test_light(machine: Machine) -> None:
    machine.log_in()
    assert machine.run("get", "--profile", "dev").json()["AccountId"] == "111122223333"
