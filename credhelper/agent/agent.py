"""What the daemon can do, in verbs, and what it does by itself. Owns all state; everything runs on one event loop.

A caller names files by its own HOME and AWS variables; where AWS's endpoints are is the daemon's own environment.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
from collections.abc import Coroutine, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from credhelper import __version__
from credhelper.agent import cognito_logout, leases, prompt, status
from credhelper.agent.audit import Audit
from credhelper.agent.callers import WAITING, Callers
from credhelper.agent.choices import Choices
from credhelper.agent.cognito_login import UserLogin, UserLogins
from credhelper.agent.cognito_login import logged_in as cognito_logged_in
from credhelper.agent.cognito_refresh import Sources
from credhelper.agent.cognito_store import CognitoStore
from credhelper.agent.cognito_tokens import CognitoSignIns
from credhelper.agent.configurations import Configurations
from credhelper.agent.confirmations import Confirmations
from credhelper.agent.counts import Counts
from credhelper.agent.gate import Gate, Outcome, Passage, Wanted
from credhelper.agent.health import Health
from credhelper.agent.identities import Identities
from credhelper.agent.inventory import Inventory, Tell, Wish
from credhelper.agent.keeper import Keeper
from credhelper.agent.lock import Lock
from credhelper.agent.logging_out import LoggingOut
from credhelper.agent.login import Login, Logins, logged_in
from credhelper.agent.mfa_codes import MfaCodes
from credhelper.agent.notices import Notices
from credhelper.agent.offers import Offers
from credhelper.agent.openings import Openings, refuse_other_role
from credhelper.agent.policy import Policy
from credhelper.agent.pool_credentials import PoolCredentials
from credhelper.agent.portals import Portals
from credhelper.agent.recent import Recent
from credhelper.agent.revocations import Ending, Revocations
from credhelper.agent.role_credentials import Entry, RoleCredentialsCache, called_source
from credhelper.agent.settings_in_force import SettingsInForce
from credhelper.agent.shown_login import Event, ShownLogin
from credhelper.agent.sign_ins import AllSignIns, GuestSignIns
from credhelper.agent.token_state import TokenState
from credhelper.agent.tokens import Tokens
from credhelper.agent.upkeep import Upkeep
from credhelper.agent.vault import KeyBox, KeyHolder, Vault
from credhelper.aws import federation, reachability
from credhelper.aws.cognito import IdentityPools
from credhelper.aws.config_file import Configuration
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.oidc import Oidc
from credhelper.aws.sealed_token_cache import SealedTokenCache
from credhelper.aws.token_cache import TokenCache, TokenStore
from credhelper.aws.user_pools import UserPools
from credhelper.domain.documents import timestamp
from credhelper.domain.errors import (
    ConfigError,
    CredhelperError,
    LoginRequired,
    MfaRequired,
    Unavailable,
    UsageError,
)
from credhelper.domain.model import (
    AnyRole,
    CognitoLogin,
    CognitoTokens,
    Door,
    Flow,
    Guests,
    SignInSource,
    SsoSession,
    Token,
    cognito_login_name,
    kind_of,
    region_behind,
    sso_session_name,
)
from credhelper.local import places
from credhelper.local.clock import Clock, SystemClock
from credhelper.local.desktop import Desktop
from credhelper.local.keychain import key_name
from credhelper.local.settings import Settings
from credhelper.local.workers import DeadlineExceeded, OneThread, Workers

log = logging.getLogger(__name__)

GET_DEADLINE = 9.0  # seconds; the contract gives a caller 10, and the answer has to travel
KEYRING_PATIENCE = 3.0  # seconds; an open keyring takes one on a busy machine, and one that hangs has five
STOP_PATIENCE = 2.0  # seconds that a stop waits for logouts under way

PROGRAMS_DOORS = frozenset({Door.GET, Door.CONTAINER, Door.LEASE})
"""Through the others comes a command that a person has typed, who has read what it said."""

Json = dict[str, Any]
Fields = Mapping[str, str]


class Watcher(Protocol):
    """Whoever tells of changes of files; see ``local/watch.py``."""

    def add(self, path: Path) -> None:
        """Watch this file too."""

    def discard(self, path: Path) -> None:
        """No longer."""


class Agent:
    """The daemon's state and verbs. ``fields`` are a request's: see ``client.py`` for those that every caller sends."""

    def __init__(
        self,
        home: Path,
        state_directory: Path,
        *,
        settings: Settings | None = None,
        api: IdentityCenter | None = None,
        clock: Clock | None = None,
        keychain: KeyHolder | None = None,
        desktop: Desktop | None = None,
        rng: random.Random | None = None,
        socket: Path | None = None,
    ) -> None:
        settings = settings or Settings()
        clock = clock or SystemClock()
        rng = rng or random.Random()  # noqa: S311  # for jitter
        self.home = home
        self._clock = clock
        self._api = api or IdentityCenter(clock)
        # Each session has places of its own: one whose region hangs must not hold up the others, nor a login.
        self.network = Workers("aws", 8)
        self.disk = Workers("disk", 4)
        self.audit = Audit(places.audit_log(state_directory), clock, OneThread("audit"))
        self.settings = SettingsInForce(settings, self.disk)
        self.lock_path = lambda key: places.refresh_lock(state_directory, key)
        self.vault_directory = places.vault_directory(state_directory)
        self.state_directory = state_directory
        box = KeyBox()
        self.vault = Vault(
            self.vault_directory, keychain, key_name(home), box, Workers("keyring", 1), Workers("vault", 1)
        )
        cache: TokenStore = TokenCache.of_home(home)
        if settings.token_store == "keyring":  # noqa: S105  # a choice, no secret
            cache = SealedTokenCache(self.vault_directory, box)
        self.tokens = Tokens(cache, self._api, clock, self.network, self.lock_path, rng)
        self.user_pools = UserPools(self._api.transport, clock)
        self.cognito_tokens = CognitoSignIns(
            Sources(
                self.user_pools,
                Oidc(self._api.transport),
                CognitoStore(self.vault_directory, box),
                self.lock_path,
                clock,
            ),
            self.network,
            rng,
        )
        self.guests = GuestSignIns()
        self.sign_ins = AllSignIns(self.tokens, self.cognito_tokens, self.guests)
        self.roles = RoleCredentialsCache(self.sign_ins, self._api, clock, self.network, rng)
        self.pools = PoolCredentials(
            IdentityPools(self._api),
            self._api.get_caller_identity,
            Identities(state_directory, self.disk),
            self.roles.call,
        )
        self.roles.pools = self.pools
        self.logins = Logins(self.tokens, self._api, clock, self.network, self.lock_path)
        self.user_logins = UserLogins(self.cognito_tokens, clock, self.network)
        self.user_logins.why_not_kept = lambda: self.vault.trouble or "they could not be written"
        self.inventory = Inventory(
            self.tokens,
            self._api,
            clock,
            self.network,
            self.disk,
            rng,
            lambda key: places.inventory_file(state_directory, key),
        )
        self.revocations = Revocations(self._api, clock, self.network, rng)
        self.gate = Gate()
        self.lock = Lock(places.locked_marker(state_directory), clock, self.disk)
        self.gate.checks += [self.lock.check, refuse_other_role]
        self.recent = Recent(places.recent_file(state_directory), clock, Workers("recent", 1))
        self.gate.on_outcome += [self.audit.note, self.recent.note]
        self.callers = Callers(clock)
        self.waiting = Callers(clock, lately=WAITING)
        self.gate.on_outcome.append(self._note_who_waits)
        told = places.told_notices(state_directory)
        self.notices = Notices((self.tokens, self.cognito_tokens), self.callers, clock, desktop, told)
        self.notices.apply(settings)
        self.settings.on_change.append(self.notices.apply)
        self.openings = Openings(places.open_doors(state_directory, socket or state_directory), clock, self.disk)
        self.gate.checks.append(self.openings.refuse_closed)
        self._upkept = (
            *(self.tokens, self.cognito_tokens, self.roles, self.revocations, self.notices),
            *(self.openings, self.audit, self.recent),
        )
        self.upkeep = Upkeep(self._upkept, clock)
        self.keeper = Keeper(
            self.vault,
            self.sign_ins,
            lambda: [*self.tokens.sessions(), *self.cognito_tokens.logins()],
            self.roles,
            self._api.server_time,
        )
        self.configurations = Configurations(home)
        self.configurations.settings_file = lambda: self.settings.file
        self.choices = Choices(self.configurations)
        self.offers = Offers(
            self.configurations,
            self.recent,
            self.inventory.names,
            lambda source: self._describe(source).state,
        )
        self.confirmations = Confirmations(clock, desktop)
        self.policy = Policy(self.configurations, self.confirmations, lambda: self.settings.file)
        self.gate.checks.append(self.policy.check)
        for applying in (
            self.configurations.apply,
            self._take_up_logins,
            self.lock.apply,
            self.confirmations.apply,
            self.policy.apply,
        ):
            applying(settings)
            self.settings.on_change.append(applying)
        self.portals = Portals(self._api, self.network)
        self.mfa_codes = MfaCodes(self.choices, self.roles, self.policy)
        self.counts = Counts()
        self.health = Health(
            tokens=self.tokens,
            roles=self.roles,
            revocations=self.revocations,
            vault=self.vault,
            server_time=self._api.server_time,
            counts=self.counts,
            clock=clock,
        )
        self.health.asks.append(self.audit.trouble)
        self.leases = leases.Leases(self)
        self.logging_out = LoggingOut(self)
        self._connect_parts()
        self._have_counted()
        self._watcher: Watcher | None = None
        self._vouched_for: frozenset[Path] = frozenset()
        self._logouts: set[asyncio.Task[Json]] = set()
        self._behind_backs: set[asyncio.Task[None]] = set()
        self._socket: str | None = None
        self._started_at = timestamp(clock.now())
        if socket is not None:
            self.introduce(str(socket))

    def _connect_parts(self) -> None:
        self.tokens.is_vouched_for = self.configurations.is_vouched_for = lambda path: path in self._vouched_for
        self.cognito_tokens.is_vouched_for = self.tokens.is_vouched_for
        self.cognito_tokens.on_new_login = lambda login: self._watch(self.cognito_tokens.store.path(login))
        self.cognito_tokens.on_change = self._login_has_changed
        self.cognito_tokens.wait_for_key = self._until_key
        self.cognito_tokens.on_orphan = self._end_orphaned_login
        self.cognito_tokens.on_end = lambda _: self.upkeep.wake()
        self.tokens.on_new_session = lambda session: self._watch(self.tokens.cache.token_path(session))
        self.tokens.on_change = self._token_has_changed
        self.tokens.on_orphan = self._end_orphan
        self.roles.on_fetched = self.roles.on_first_use = self.keeper.keep
        self.roles.on_dropped = self.vault.drop
        self.tokens.on_end = lambda _: self.upkeep.wake()
        self.notices.login_command = self.choices.login_command
        self.notices.is_logging_in = lambda session: any(
            login.session.cache_key == session.cache_key for login in self._logins_under_way()
        )
        self.lock.on_lock = self.confirmations.forget
        self.vault.on_key = self._key_has_come
        self.configurations.on_new_file = self._watch
        self.configurations.on_forgotten_file = self._watch_no_more
        self.configurations.on_change = self.roles.forget_failures
        for part in self._upkept:
            part.on_attention = self.upkeep.wake

    def _have_counted(self) -> None:
        """Whatever happens is told to those who count it."""
        self._api.on_call = self.user_pools.on_call = self.counts.call
        self.tokens.on_refresh = lambda outcome: self.counts.refreshes.update((outcome,))
        self.cognito_tokens.on_refresh = self.tokens.on_refresh
        self.roles.on_fetch = lambda outcome: self.counts.fetches.update((outcome,))
        self.pools.on_new_identity = self.notices.new_identity
        self.notices.on_shown = lambda kind: self.counts.notices.update((kind.value,))
        for timed in (self.network, self.disk, self.upkeep):
            timed.on_delay = self.health.lag.note

    def introduce(self, socket: str) -> None:
        """Tells where the daemon can be reached, for ``status``; leases get their sockets beside that."""
        self._socket = socket
        self.leases.directory = Path(socket).parent

    # -- what happens around it ---------------------------------------------------------------------------------------

    def begin(self, watcher: Watcher) -> None:
        """Takes up every session of the home's own configuration, and has the files watched from now on."""
        self._watcher = watcher
        tokens = [
            *map(self.tokens.cache.token_path, self.tokens.sessions()),
            *map(self.cognito_tokens.store.path, self.cognito_tokens.logins()),
        ]
        for path in (*self.configurations.own_files, *tokens, self.lock.marker):
            watcher.add(path)
        self._take_up_sessions()

    def files_have_changed(self, changed: frozenset[Path], reliable: frozenset[Path]) -> None:
        """The watcher's word: which files to look at again, and which need no look until it speaks of them."""
        for session in self.tokens.sessions():
            if self.tokens.cache.token_path(session) in changed:
                self.tokens.look_again(session)
        for login in self.cognito_tokens.logins():
            if self.cognito_tokens.store.path(login) in changed:
                self.cognito_tokens.look_again(login)
        self.configurations.files_have_changed(changed)
        if self.lock.marker in changed:
            self.behind(self.lock.look_again())
        if changed & self.configurations.own_files:
            self._take_up_sessions()
        self._vouched_for = reliable
        self.upkeep.wake()

    def _key_has_come(self) -> None:
        """What is sealed can be read now, and what is only in memory be written: Cognito's tokens, and all others with

        token_store = "keyring".
        """
        self.cognito_tokens.key_has_come()
        self.upkeep.wake()
        if not self.tokens.cache.is_shared:
            for session in self.tokens.sessions():
                self.tokens.look_again(session)
            self.tokens.retry_now()
            self.upkeep.wake()

    def _token_has_changed(self, session: SsoSession) -> None:
        self.roles.drop_outlived(session)
        if self.tokens.is_gone(session):  # logged out by another program, or by another daemon of this home
            self.behind(self.openings.end(session.cache_key))
            self.behind(self.inventory.clear(session))
        self.keeper.keep_sign_in(session)
        self.upkeep.wake()

    def _login_has_changed(self, login: CognitoLogin) -> None:
        self.roles.drop_outlived(login)
        if self.cognito_tokens.look(login) is None:
            self.behind(self.openings.end(login.cache_key))
        self.keeper.keep_sign_in(login)
        self.upkeep.wake()

    def _take_up_logins(self, settings: Settings) -> None:
        """What a profile's ``cognito_login`` means from now on."""
        for login in settings.cognito_login:
            self.cognito_tokens.take_up(login)

    def _end_orphan(self, session: SsoSession, token: Token) -> None:
        self.revocations.add(Ending(token, session))

    def _end_orphaned_login(self, login: CognitoLogin, tokens: CognitoTokens) -> None:
        self.revocations.add(cognito_logout.ending(self.user_pools, login, tokens))

    def _watch(self, path: Path) -> None:
        if self._watcher is not None and path.is_absolute():  # a caller may say anything
            self._watcher.add(path)

    def _watch_no_more(self, path: Path) -> None:
        if self._watcher is not None:
            self._watcher.discard(path)

    def _take_up_sessions(self) -> None:
        """Looks at the token of every session of the home's configuration: it is kept alive before anybody asks."""
        configuration, _ = self.configurations.and_mistakes(self.configurations.own_fields)
        for session in configuration.sessions()[0]:
            self.tokens.take_up(session)
        self.upkeep.wake()

    # -- the verbs ----------------------------------------------------------------------------------------------------

    def hand_out_at_once(self, wanted: Wanted) -> Entry | None:
        """``hand_out`` when it takes neither a thread nor the network; None when it does. Raises like ``hand_out``."""
        if wanted.min_left is not None:
            return None
        passage = Passage(wanted)
        with self.gate.noting_refusals(passage):
            role, profile = self.choices.role_of_hit(wanted.fields)
            role = self.roles.settled(self.policy.limited(role, wanted.fields, profile))
            self._admit(passage, role, profile)
            entry = self.roles.hit(role)
        if entry is not None:
            self.gate.passed(passage, entry.credentials.expires_at, is_hit=True)
        return entry

    async def hand_out(self, wanted: Wanted) -> Entry:
        """The credentials of the role that is wanted.

        Raises LoginRequired, ConfigError, UsageError, AccessRefused, UpstreamError.
        """
        passage = Passage(wanted)
        with self.gate.noting_refusals(passage):
            role, profile = self.choices.role(wanted.fields)
            entry, is_hit = await self._admitted(passage, role, profile)
        self.gate.passed(passage, entry.credentials.expires_at, is_hit=is_hit)
        return entry

    def role_behind(self, wanted: Wanted) -> tuple[AnyRole, str | None]:
        """The role that a door is opened to for what ``hand_out`` has just given, and its profile.

        The files that chose it may have changed meanwhile: whoever comes through the door is not looked at any more,
        so that this role is. Raises like ``hand_out``.
        """
        passage = Passage(wanted)
        with self.gate.noting_refusals(passage):
            role, profile = self.choices.role(wanted.fields)
            role = self.roles.settled(self.policy.limited(role, wanted.fields, profile))
            passage.leads_to(role, profile)
            self.gate.admit(passage)
        return role, profile

    async def _admitted(self, passage: Passage, role: AnyRole, profile: str | None) -> tuple[Entry, bool]:
        """The role's credentials, not yet told as handed out, and whether they were in memory."""
        role = self.roles.settled(self.policy.limited(role, passage.wanted.fields, profile))
        self._admit(passage, role, profile)
        before = self.roles.present(role)
        entry = await self._present(role, passage.wanted)
        passage.leads_to(self.roles.settled(role), profile)  # a pool may just have said which role it is
        self.gate.admit(passage)  # a lock or a new rule may have come in the meantime
        return entry, entry is before

    def _admit(self, passage: Passage, role: AnyRole, profile: str | None) -> None:
        passage.leads_to(role, profile)
        self.gate.admit(passage)
        self.callers.note(role.session, passage.wanted.caller.name)

    async def _present(self, role: AnyRole, wanted: Wanted) -> Entry:
        patience = GET_DEADLINE if wanted.patience is None else wanted.patience
        try:
            async with asyncio.timeout(patience):
                await self._until_tokens_can_be_read()
                return await self._get(role, wanted.min_left)
        except TimeoutError:
            raise Unavailable(f"no credentials from AWS within {patience:g} s") from None
        except LoginRequired as error:
            is_about_session = not isinstance(error, MfaRequired)
            if is_about_session and not isinstance(role.session, Guests):
                self.notices.refused(role.session)
            raise self.choices.with_hint(error, role.session, wanted.fields) from None

    async def _get(self, role: AnyRole, min_left: timedelta | None) -> Entry:
        """As ``roles.get``; a code that a person has named to the daemon before us may still be of use."""
        try:
            return await self.roles.get(role, min_left=min_left)
        except MfaRequired:
            if not await self.keeper.opens_within(KEYRING_PATIENCE):
                raise
            return await self.roles.get(role, min_left=min_left)

    async def whoami(self, wanted: Wanted) -> Json:
        """Whose credentials the role gives that is wanted, by AWS's own word. Raises like ``hand_out``."""
        fields = wanted.fields
        credentials = (await self.hand_out(wanted)).credentials
        role, profile = self.choices.role(fields)
        region = self.choices.region(fields) or region_behind(role)
        try:
            identity = await self.network.run(
                GET_DEADLINE, lambda: self._api.get_caller_identity(region, credentials), lane="sts"
            )
        except DeadlineExceeded as error:
            raise Unavailable(f"STS gave {error}") from None
        return {
            "account_id": identity.account_id,
            "role_name": self.roles.settled(role).role_name,
            "user": identity.arn.rpartition("/")[2],
            "arn": identity.arn,
            "user_id": identity.user_id,
            "sso_session": sso_session_name(role.session),
            "profile": profile,
        }

    async def console(self, wanted: Wanted) -> Json:
        """A way into the AWS console with the role that is wanted: ``url``, with whatever a person is told of it.

        Whoever has the URL is signed in. Raises like ``hand_out``, and UsageError for a page that is none of this
        console's.
        """
        fields, passage = wanted.fields, Passage(wanted)
        with self.gate.noting_refusals(passage):
            role, profile = self.choices.role(fields)
            passage.leads_to(role, profile)
            place = await self._landing(role, fields)
            entry, is_hit = await self._admitted(passage, role, profile)
            found = await self._sign_in(role, entry, place)
            self.gate.admit(passage)
            if not self.roles.is_of_present_login(role, entry):  # the console's session would outlive the logout
                await self._admitted(passage, role, profile)  # which says so where nobody is logged in any more
                raise Unavailable(f"the login to {called_source(role.session)} has changed; try again")
            role = self.roles.settled(role)
        self.gate.passed(passage, entry.credentials.expires_at, is_hit=is_hit)
        return {
            "url": found.url,
            "expires_at": timestamp(found.expires_at),
            "account_id": role.account_id,
            "role_name": role.role_name,
            "region": place.region,
            "profile": profile,
        }

    async def _sign_in(self, role: AnyRole, entry: Entry, place: federation.Landing) -> federation.ConsoleSession:
        try:
            return await self.network.run(
                GET_DEADLINE, lambda: federation.sign_in(self._api, role, entry.credentials, place), lane="signin"
            )
        except DeadlineExceeded as error:
            raise Unavailable(f"AWS Sign-In gave {error}") from None

    async def _landing(self, role: AnyRole, fields: Fields) -> federation.Landing:
        region, service, destination = self.choices.region(fields), fields.get("service"), fields.get("destination")
        transport = self._api.transport
        try:
            return await self.disk.run(
                GET_DEADLINE,
                lambda: federation.landing(transport, role, region, service=service, destination=destination),
            )
        except ConfigError as error:
            if "region" in fields:
                raise UsageError(f"--region: {error.message}", hint=error.hint) from None
            raise
        except DeadlineExceeded as error:
            raise Unavailable(f"botocore's data gave {error}") from None

    async def list_inventory(self, fields: Fields, tell: Tell) -> Json:
        """The accounts and roles of the chosen session, or of the only one; ``tell`` is given events of the progress.

        It hands out no credentials, but makes calls with the login: while locked it refuses, at the end too. Raises
        Locked, LoginRequired, ConfigError, UsageError, AccessRefused, UpstreamError.
        """
        wish, session = Wish.of(fields), self.choices.session_to_list(fields)
        await self._until_tokens_can_be_read()
        try:
            found = await self.inventory.take(session, wish, tell)
        except LoginRequired as error:
            is_chosen = self.choices.is_session_chosen(fields)
            options = "credhelper login " + self.choices.selector(session, fields) if is_chosen else None
            raise LoginRequired(
                error.message, hint=error.hint or options or self.choices.login_command(session)
            ) from None
        self.lock.refuse()
        return {**found}

    async def before_login(self) -> None:
        """Has the keyring asked, which may prompt the person who is there: perhaps a login turns out to be needless."""
        await self._for_a_moment(self.vault.ask(is_person_there=True))

    def login(self, fields: Fields) -> tuple[ShownLogin | None, Event]:
        """The chosen session's login, begun or joined; None with the event to show when there is nothing to do."""
        session = self.choices.sign_in(fields)
        if isinstance(session, CognitoLogin):
            return self._login_of_user(session, fields)
        if isinstance(session, Guests):
            raise UsageError(
                f"{session.label} are served without a login", hint="nothing is to be done: use the profile as it is"
            )
        return self._login_to_session(session, fields)

    def _login_to_session(self, session: SsoSession, fields: Fields) -> tuple[Login | None, Event]:
        port = int(fields.get("redirect_port", 0)) or self.settings.now.login_redirect_port
        flow = Flow(fields["flow"])
        if session.name is None:  # as the AWS CLI: a legacy profile, with a device code, whatever the caller can do
            flow = Flow.DEVICE_CODE
        elif port and fields.get("by_itself") == "1":  # the person has seen to it that the browser comes back there
            flow = Flow.AUTHORIZATION_CODE
        hint = "credhelper login " + self.choices.selector(session, fields)
        login = self.logins.join(session, flow, force=fields.get("force") == "1", hint=hint, redirect_port=port)
        if login is not None:
            login.on_end = lambda outcome: self._login_has_ended(session, outcome)
            login.waited_for_by(self.waiting.lately(session))
            return login, {}
        token = self.tokens.look(session)
        return None, logged_in(session, token.expires_at if token else self._clock.now())

    def _login_of_user(self, session: CognitoLogin, fields: Fields) -> tuple[UserLogin | None, Event]:
        if fields["flow"] == Flow.DEVICE_CODE and fields.get("by_itself") != "1":
            raise UsageError(
                "Cognito has no login by device code",
                hint="without --use-device-code the address is shown, and the one that the browser ends at is taken",
            )
        login = self.user_logins.join(
            session, force=fields.get("force") == "1", redirect_port=int(fields.get("redirect_port", 0))
        )
        if login is not None:
            login.on_end = lambda outcome: self._login_has_ended(session, outcome)
            login.waited_for_by(self.waiting.lately(session))
            return login, {}
        return None, cognito_logged_in(session, self.cognito_tokens.look(session), self._clock.now())

    async def answer_login(self, fields: Fields) -> Json:
        """A person's answer to what their login has asked them; whether it was waited for."""
        return {"taken": self.user_logins.answer(fields.get("id", ""), fields.get("answer", ""))}

    def _logins_under_way(self) -> list[Login | UserLogin]:
        return [*self.logins.under_way(), *self.user_logins.under_way()]

    def _note_who_waits(self, outcome: Outcome) -> None:
        """A program that was told to have somebody log in waits for that; who logs in is shown it."""
        role, door = outcome.passage.role, outcome.passage.wanted.door
        if role is None or outcome.outcome != LoginRequired.code or door not in PROGRAMS_DOORS:
            return
        self.waiting.note(role.session, outcome.passage.wanted.caller.name)
        for login in self._logins_under_way():
            if login.session.cache_key == role.session.cache_key:
                login.waited_for_by(self.waiting.lately(role.session))

    def _login_has_ended(self, session: SsoSession | CognitoLogin, outcome: str) -> None:
        self.counts.logins.update((outcome,))
        if outcome == "ok":
            self.waiting.forget(session)

    async def logout(self, fields: Fields) -> Json:
        """Clears the chosen session or Cognito login, or everything, and revokes it; the contract's receipt.

        Goes on to its end when the caller leaves: half a logout is none.
        """
        logging_out = asyncio.ensure_future(self.logging_out.log_out(fields))
        self._logouts.add(logging_out)
        logging_out.add_done_callback(self._logouts.discard)
        return await asyncio.shield(logging_out)

    async def check(self, fields: Fields) -> Json:
        """What ``credhelper doctor`` can only learn here: which endpoints answer to it, and what it may write.

        Raises DaemonUnreachable.
        """
        configuration, _ = self.configurations.and_mistakes(fields)
        written = (self.home / ".aws" / "sso" / "cache", self.vault_directory)
        return await reachability.report(self._api, configuration) | {
            "installation": _installation(),
            "unwritable": [str(path) for path in written if not os.access(_nearest(path), os.W_OK)],
        }

    @property
    def api(self) -> IdentityCenter:
        """Whoever calls AWS."""
        return self._api

    def now(self) -> datetime:
        """By this machine's clock."""
        return self._clock.now()

    def about_to_sleep(self) -> None:
        """The machine is: with ``[lock] at_suspend`` nothing is handed out afterwards."""
        self.behind(self.lock.suspended())

    def screen_changed(self) -> None:
        """A screen may have been unlocked: what was kept for whoever sits there may be shown."""
        self.notices.screen_changed()
        self.confirmations.screen_changed()

    async def confirm(self, fields: Fields) -> Json:
        """The questions that wait for the person; with ``id`` and ``verdict`` an answer to one. Raises UsageError."""
        if "id" not in fields:
            return {"questions": self.confirmations.standing()}
        return {"answered": self.confirmations.answer(fields["id"], fields.get("verdict", ""))}

    async def reload(self, _: Fields) -> Json:
        """Reads ``config.toml`` anew; what has changed, or why nothing has: see ``SettingsInForce.reload``."""
        return await self.settings.reload()

    def status(self, fields: Fields) -> Json:
        """The contract's status document, and ``chosen``: the state of the session chosen by an option, or None."""
        configuration, mistakes = self.configurations.and_mistakes(fields)
        found = status.document(
            daemon=self.about(),
            sso_sessions=status.sessions(configuration, self.tokens.describe),
            cognito_logins=status.logins(self.configurations.tables.by_name.values(), self.cognito_tokens.describe),
            role_credentials=self._describe_roles(configuration, fields),
            logins=[_describe_login(login) for login in self._logins_under_way()],
            leases=map(leases.brief, self.leases.all()),
        )
        chosen = None
        if self.choices.is_session_chosen(fields):
            try:
                chosen = self._state(self.choices.sign_in(fields))
            except CredhelperError as mistake:
                chosen = "unusable"
                mistakes.append(mistake.message)
        return {"status": found, "chosen": chosen, "mistakes": list(dict.fromkeys(mistakes))}

    def prompt(self, fields: Fields) -> str:
        """A line for a shell's prompt, or nothing. Raises nothing."""
        return prompt.line(
            fields,
            self.configurations,
            self.choices,
            self._describe,
            self._clock.now(),
            is_locked=self.lock.is_locked,
        )

    def _sources(self, configuration: Configuration) -> list[SsoSession | CognitoLogin]:
        return [*self.logging_out.known_sessions(configuration), *self.cognito_tokens.logins()]

    def _state(self, source: SignInSource) -> str:
        """In the contract's words; guests need no login."""
        return "active" if isinstance(source, Guests) else self._describe(source).state

    def _describe(self, source: SsoSession | CognitoLogin) -> TokenState:
        if isinstance(source, CognitoLogin):
            return self.cognito_tokens.describe(source)
        return self.tokens.describe(source)

    def watch(self, fields: Fields) -> Json:
        """What ``status --watch`` shows: ``status``, ``mistakes``, and per session the programs that asked lately."""
        found = self.status(fields)
        configuration, _ = self.configurations.and_mistakes(fields)
        return {
            "status": found["status"],
            "mistakes": found["mistakes"],
            "clients": [
                {"sso_session": sso_session_name(source), "cognito_login": cognito_login_name(source), "names": names}
                for source in self._sources(configuration)
                if (names := self.callers.lately(source))
            ],
        }

    async def stop(self) -> None:
        """Ends everything under way, within some 4 s: what must reach the disk may."""
        await asyncio.gather(self.logins.stop(), self.user_logins.stop())
        await asyncio.gather(
            self._end_logouts(),
            self.inventory.stop(),
            *(part.stop() for part in (self.roles, self.pools, self.tokens, self.cognito_tokens)),
            *(part.stop() for part in (self.revocations, self.notices, self.confirmations)),
        )
        await self.vault.stop()
        await self.leases.stop()
        await self.openings.stop()
        await self.recent.stop()
        await self.audit.stop()

    async def _end_logouts(self) -> None:
        if ending := self._logouts | self._behind_backs:
            await asyncio.wait(ending, timeout=STOP_PATIENCE)

    # -- parts of the verbs -----------------------------------------------------------------------------------------

    async def _until_tokens_can_be_read(self) -> None:
        """With token_store = "keyring": for a moment, and only while the keyring is being asked."""
        if not self.tokens.cache.is_open:
            await self._for_a_moment(self.vault.ask())

    async def _until_key(self) -> None:
        """For a moment, and only while the keyring is being asked for the key that opens sealed files."""
        asking = self.vault.ask()
        if asking is not None:
            await asyncio.wait({asking}, timeout=KEYRING_PATIENCE)

    async def _for_a_moment(self, asking: asyncio.Task[None] | None) -> None:
        if asking is not None and not self.tokens.cache.is_open:
            await asyncio.wait({asking}, timeout=KEYRING_PATIENCE)

    def behind(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that nobody waits for; a stop gives it a moment."""
        task = asyncio.ensure_future(work)
        self._behind_backs.add(task)
        task.add_done_callback(self._behind_backs.discard)

    def about(self) -> Json:
        """The daemon itself, for ``status``."""
        skew = self._api.server_time.skew
        return {
            "running": True,
            "pid": os.getpid(),
            "version": __version__,
            "started_at": self._started_at,
            "socket": self._socket,
            "vault": self.vault.state,
            "vault_error": self.vault.trouble,
            "clock_skew": None if skew is None else round(skew.total_seconds()),
            "settings_error": self.settings.error,
            "locked": self.lock.is_locked,
        }

    def _describe_roles(self, configuration: Configuration, fields: Fields) -> list[Json]:
        profiles: dict[AnyRole, list[str]] = {}
        for name, role in configuration.roles().items():
            with contextlib.suppress(CredhelperError):  # the rules name roles by files that cannot be read
                profiles.setdefault(self.policy.limited(role, fields, name), []).append(name)
        return [
            {
                "source": kind_of(role),
                "sso_session": sso_session_name(role.session),
                "account_id": role.account_id,
                "role_name": role.role_name,
                "profiles": profiles.get(role, []),
                "state": state,
                "expires_at": timestamp(entry.credentials.expires_at),
                "last_used_at": status.optional_timestamp(entry.last_used_at),
            }
            for role, entry, state in self.roles.entries()
        ]


def render(document: Json) -> str:
    """A document as it goes over the socket."""
    return json.dumps(document)


def _nearest(path: Path) -> Path:
    """``path``, or where it would have to be made."""
    return next(place for place in (path, *path.parents) if place.exists())


def _installation() -> Json:
    return {"package": str(Path(__file__).parent.parent), "exists": Path(__file__).exists()}


def _describe_login(login: Login | UserLogin) -> Json:
    name = {"cognito_login": login.session.name} if isinstance(login, UserLogin) else {}
    return {
        "sso_session": None if isinstance(login, UserLogin) else login.session.name,
        **name,
        "flow": login.flow.value,
        "started_at": timestamp(login.started_at),
        "expires_at": timestamp(login.expires_at),
    }
