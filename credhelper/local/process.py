"""What a process that holds secrets does to itself before it holds any."""

import ctypes
import os
import resource
import sys
from collections.abc import MutableMapping

_PR_SET_DUMPABLE = 4  # linux/prctl.h

CREDENTIAL_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
)
BEARER_PREFIX = "AWS_BEARER_TOKEN_"  # one for each service that takes API keys
CHOICE_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


def forget_callers_choices(environment: MutableMapping[str, str]) -> None:
    """Removes what belongs to one caller: its profile, its files and its keys."""
    for variable in CREDENTIAL_VARIABLES + CHOICE_VARIABLES:
        environment.pop(variable, None)
    for variable in [name for name in environment if name.startswith(BEARER_PREFIX)]:
        del environment[variable]


def guard_memory() -> None:
    """No core dumps, and no other process of the same user may read this one's memory or environment (Linux)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def has_terminal() -> bool:
    """Whether this process belongs to a terminal, and that terminal is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def raise_descriptor_limit() -> None:
    """A thousand clients may connect at once: as many descriptors as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(hard, 16_384)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
