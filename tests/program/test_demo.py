"""``credhelper demo --yes``: the whole story, told to whoever looks on, with nothing left behind."""

from tests.machine import Machine


def test_the_tour_shows_every_step_and_leaves_nothing(machine: Machine) -> None:
    place = machine.root / "tmp"
    place.mkdir()
    run = machine.run("demo", "--yes", TMPDIR=str(place))
    assert (run.status, run.err) == (0, ""), run
    _, _, _, login, sdk, memory, door, audit, logout, _, end, *more = run.out.splitlines()
    assert more == []
    assert login.startswith("4. Logged in.")
    arn = sdk.rpartition(" ")[2]
    assert "assumed-role/AWSReservedSSO_Developer_" in arn
    assert memory.endswith("it was fetched once.")
    assert "`credhelper exec" in door
    assert door.endswith(arn)
    assert audit.endswith(": get 2 times, exec once, container once.")
    assert "sign-in ended at the portal" in logout
    assert end.endswith("are gone now.")
    assert list(place.iterdir()) == []
    assert list((machine.home / ".aws").iterdir()) == [machine.config]
