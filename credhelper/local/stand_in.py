"""Runs a program as if nothing stood between it and whoever started us.

It stays in our process group, so the terminal, its keys and the shell's job control deal with both of us at once; it
has our descriptors, working directory and limits. What reaches us alone is passed on, and what becomes of it becomes of
us: we stop when it stops, and end with its status.
"""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_EVERY = signal.valid_signals()
_FROM_KERNEL = 0x80  # SI_KERNEL, asm-generic/siginfo.h: what a terminal does is told so
_KEYS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH})
_ENDS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM})
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_SHELL = "/bin/sh"


class Ending(NamedTuple):
    """How a program has ended."""

    status: int
    """Its exit status, or 128 + N after signal N."""
    by_ctrl_c: bool = False
    """Whether the terminal's Ctrl-C, which has reached us too, was the end of it."""


def hold_signals() -> set[int]:
    """From here on no signal disturbs us; returns what was held before, for ``run``.

    What ``run`` does not pass on waits for ever: whoever ends after it undoes its work undisturbed.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, a child's status is lost
    return signal.pthread_sigmask(signal.SIG_BLOCK, _EVERY)


def run(command: Sequence[str], environment: Mapping[str, str], held: set[int]) -> Ending:
    """Runs ``command`` to its end.

    ``held``: from ``hold_signals``. Raises OSError when it cannot be started, with the file that was found for it;
    FileNotFoundError with its name when there is none.
    """
    for number in sorted(signal.sigpending() & _ENDS):
        if signal.getsignal(number) != signal.SIG_IGN:  # it was to end before it began
            return Ending(128 + int(number))
    child = _start(command, environment, held)
    _let_go_of_descriptors()
    return _follow(child)


def end_alike(ending: Ending) -> int:
    """The exit status for us to end with; after a Ctrl-C it does not return.

    A shell ends its loop or script at that key only if what it ran has died of the signal.
    """
    if ending.by_ctrl_c:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return ending.status


def _start(command: Sequence[str], environment: Mapping[str, str], held: set[int]) -> int:
    """The pid, as execvp(3) looks for the program. Raises OSError."""
    name = command[0]
    directories = [""] if "/" in name else os.get_exec_path(environment)
    if not name:
        directories = []  # execvp(3) finds nothing by it
    failure: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    for path in filter(os.path.exists, (os.path.join(directory, name) for directory in directories)):
        try:
            return _spawn(path, command, environment, held)
        except OSError as error:
            if error.errno == errno.ENOEXEC:  # a script without its first line
                return _spawn(_SHELL, [_SHELL, path, *command[1:]], environment, held)
            failure = error  # there may be another that can be run
    raise failure


def _spawn(path: str, command: Sequence[str], environment: Mapping[str, str], held: set[int]) -> int:
    return os.posix_spawn(path, [*command], environment, setsigmask=held, setsigdef=_IGNORED_BY_PYTHON)


def _let_go_of_descriptors() -> None:
    """Of those that the child has: whoever is at the other end of a pipe must see it close what it closes.

    Standard error stays, to say what went wrong.
    """
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the one that listed them is closed
            if descriptor < 2:
                os.dup2(nowhere, descriptor, inheritable=False)
            elif descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)
    os.close(nowhere)


def _follow(child: int) -> Ending:
    had_ctrl_c = False
    while True:
        number, sender = _next_signal()
        had_ctrl_c = had_ctrl_c or (number == signal.SIGINT and sender == 0)
        if number == signal.SIGCHLD:
            status = _look_at(child)
            if status is not None:
                return Ending(status, by_ctrl_c=had_ctrl_c and status == 128 + signal.SIGINT)
        elif number == signal.SIGCONT or not _has_had_it(child, number, sender):
            with contextlib.suppress(PermissionError):  # it is another user's by now, as sudo is
                os.kill(child, number)


def _next_signal() -> tuple[int, int]:
    """The next signal, and the pid of who has sent it: 0 for the kernel."""
    if sys.platform == "darwin":  # which does not tell: what is on the keyboard is taken to come from there
        number = signal.sigwait(_EVERY)
        return number, 0 if number in _KEYS else 1
    found = signal.sigwaitinfo(_EVERY)
    return found.si_signo, 0 if found.si_code == _FROM_KERNEL else found.si_pid


def _has_had_it(child: int, number: int, sender: int) -> bool:
    """Whether a signal has reached the child too: sent by itself, or by the terminal to our process group.

    Of a hang-up the kernel tells the leader of the session alone (tty_signal_session_leader() in tty_jobctrl.c).
    """
    if sender != 0:
        return sender == child
    is_for_leader = number == signal.SIGHUP and os.getsid(0) == os.getpid()
    return os.getpgid(child) == os.getpgrp() and not is_for_leader


def _look_at(child: int) -> int | None:
    """Its exit status once it has ended; stops with it when it has stopped."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if not os.WIFSTOPPED(status):
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        _stop_by(os.WSTOPSIG(status), child)


def _stop_by(number: int, child: int) -> None:
    """Stops us, by the signal that has stopped the child; returns when we go on, as the shell has it.

    SIGCONT then waits to be passed on, for a child that has made a process group of its own, as shells do. If that one
    had the terminal it gets it back: our own shell knows of our group only, and gives it to that.
    """
    with _terminal() as terminal:
        is_childs = _foreground(terminal) == os.getpgid(child)
        os.kill(os.getpid(), number)
        if number != signal.SIGSTOP:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
            signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        if is_childs and _foreground(terminal) == os.getpgrp() != os.getpgid(child):
            with contextlib.suppress(OSError):  # the terminal is no more
                os.tcsetpgrp(terminal, os.getpgid(child))


def _foreground(terminal: int) -> int | None:
    """The process group that has the terminal; None without one, or when it is no more."""
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return None


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    """A descriptor of our terminal, where there is one: else of nothing that has a process group."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
