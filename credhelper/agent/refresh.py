"""One session's token file, renewed or written: blocking work, in the order that loses no refresh token.

Refresh tokens rotate, other programs refresh too, and a logout may come at any moment. So: take the lock that all
credhelper processes of this machine share, look at the file again, ask AWS, make the answer durable, and only then use
it.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.token_cache import TokenStore, UnusableTokenFile
from credhelper.domain.errors import Refused
from credhelper.domain.model import SsoSession, Token
from credhelper.local import file_lock, private_files

log = logging.getLogger(__name__)

LOCK_PATIENCE = 8.0  # seconds


@dataclass(slots=True)
class TokenFile:
    """A session's token file as one piece of work saw it last."""

    cache: TokenStore
    session: SsoSession
    on_file: str | None = field(repr=False)
    """The access token that should be in it; None where there should be no file."""
    lock: Path
    abandoned: threading.Event
    """Set when a logout or a login made the work pointless: nothing it writes may stay."""

    def save(self, token: Token) -> bool:
        """Writes ``token`` under the lock; whether it is on the disk. False: the file holds another one by now.

        Raises OSError, LockBusy.
        """
        with self.locked():
            return self.replace(token)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the lock; where it cannot be made (a full disk, one without locks) it does without. Raises LockBusy."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file_lock.locked(self.lock, seconds=LOCK_PATIENCE))
            except OSError as error:
                log.warning("refreshing without the lock %s: %s", self.lock, error.strerror)
            yield

    def replace(self, token: Token) -> bool:
        """``save`` with the lock in hand."""
        if self.abandoned.is_set() or self.has_changed():
            return False
        self.cache.save_token(self.session, token)
        if self.abandoned.is_set():  # a logout came between the look and the write
            private_files.remove(self.cache.token_path(self.session))
            return False
        return True

    def has_changed(self) -> bool:
        """Whether another program has written or removed it."""
        try:
            found = self.cache.load_token(self.session)
        except UnusableTokenFile:
            return False  # being written, or about to be mended by our own write
        return (None if found is None else found.access_token) != self.on_file


class Refresh:
    """One refresh across processes."""

    def __init__(self, file: TokenFile, api: IdentityCenter, known: Token) -> None:
        self.is_durable = False
        self.issued: Token | None = None
        """What AWS has given, whatever became of it then; may be looked at from the event loop while it runs."""
        self.is_under_way = True
        """Until its thread has ended, though it may have been given up on."""
        self._file = file
        self._api = api
        self._known = known

    def run(self) -> Token | None:
        """The renewed token, durable unless the disk refuses; None when the file holds another one, or none, by now.

        Raises Refused, UpstreamError, LockBusy.
        """
        try:
            with self._file.locked():
                return self._refresh()
        finally:
            self.is_under_way = False

    def _refresh(self) -> Token | None:
        if self._file.has_changed():
            return None
        try:
            issued = self._api.refresh_token(self._file.session, self._known)
        except Refused:
            # Refresh tokens rotate: perhaps another program was quicker, and its token lies there now.
            if self._file.has_changed():
                return None
            raise
        return self._store(
            replace(
                self._known,
                start_url=self._file.session.start_url,
                region=self._file.session.region,
                access_token=issued.access_token,
                expires_at=issued.expires_at,
                # RFC 6749 section 6: no new refresh token in the answer means the old one stays.
                refresh_token=issued.refresh_token or self._known.refresh_token,
            )
        )

    def has_issued(self, token: Token) -> bool:
        """Whether ``token`` is this refresh's own."""
        return self.issued is not None and token.access_token == self.issued.access_token

    def _store(self, token: Token) -> Token | None:
        self.issued = token
        try:
            self.is_durable = self._file.replace(token)
        except OSError as error:
            path = self._file.cache.token_path(self._file.session)
            log.warning("the refreshed token is only in memory: %s: %s", path, error.strerror)
            return token
        return token if self.is_durable else None
