"""What a sync of 2,500 roles costs besides the listing, and what its file costs the daemon."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths
from credhelper.aws.editing import config_edits, config_proof, managed_profiles
from credhelper.aws.editing.config_edits import SetBlock
from credhelper.aws.editing.managed_profiles import Given
from credhelper.domain.accounts import ListedAccount, Listing
from credhelper.local import installation
from credhelper.local.sync_table import RegionRule, Sync

Figure = tuple[str, str]

ACCOUNTS, ROLES = 500, 5
SESSION = "[sso-session corp]\nsso_start_url = https://bench.awsapps.com/start\nsso_region = us-east-1\n"


def figures(runs: int) -> list[Figure]:
    """All of them."""
    usual = Sync("corp", region="eu-west-1", regions=(RegionRule(("*/Role03",), "us-east-1"),), exclude=("Old *",))
    renaming = Sync("corp", region="eu-west-2", name_template="{account_id}-{role_name}")
    with tempfile.TemporaryDirectory() as home:
        paths = ConfigPaths(Path(home, "config"), Path(home, "credentials"))
        paths.config.write_text(SESSION)
        first = _took(partial(_sync, paths, usual))
        changed = [_took(partial(_sync, paths, wishes)) for _ in range(runs) for wishes in (renaming, usual)]
        same = [_took(partial(_sync, paths, usual)) for _ in range(runs)]
        loads = [_took(partial(config_file.load, paths)) for _ in range(runs)]
        size = paths.config.stat().st_size
    count = f"{ACCOUNTS * ROLES:,} profiles"
    return [
        (f"sync of {count}, besides the listing: the first", f"{first:.2f} s"),
        ("all of them renamed, median", f"{statistics.median(changed):.2f} s"),
        ("nothing to do, median", f"{statistics.median(same):.2f} s"),
        (f"reading a config file of {count} ({size // 1000} KB), median", f"{statistics.median(loads) * 1000:.0f} ms"),
    ]


def _took(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _sync(paths: ConfigPaths, wishes: Sync) -> None:
    """As ``configure sync`` does it once it has the listing, in a process of its own: nothing is remembered."""
    config_proof.reading_of.cache_clear()
    marker = managed_profiles.marker("corp")
    configuration = config_file.load(paths)
    block = config_edits.block(paths.config, marker) or ""
    planned = managed_profiles.plan(Given(_listing(), wishes, configuration, block, _line_of))
    config_edits.plan(paths.config, [SetBlock(marker, planned.text)]).write(backup=False)


def _line_of(profile: str) -> str:
    client = Path("/home/u/.local/share/credhelper/client.py")
    return installation.process_line(profile, client, Path("/usr/bin/python3"))


def _listing() -> Listing:
    roles = [f"Role{number:02}" for number in range(ROLES)]
    accounts = [
        ListedAccount(
            account_id=f"{100_000_000_000 + number}", account_name=f"Account {number:04}", email="", roles=list(roles)
        )
        for number in range(ACCOUNTS)
    ]
    return Listing(sso_session="corp", start_url="https://bench.awsapps.com/start", listed_at="", accounts=accounts)
