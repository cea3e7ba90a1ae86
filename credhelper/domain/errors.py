"""The one error tree. Each leaf says what happened, which command helps, and with which status a program ends.

    CredhelperError ................ 1
    ├── UsageError ................. 2
    ├── LoginRequired .............. 3
    │   └── MfaRequired            a chained role wants a code of the person's MFA device
    ├── ConfigError ................ 4
    │   └── ConfigChanged          another program has changed the file since an edit of it was planned
    ├── AccessRefused .............. 5
    │   ├── LoginDenied            the person said no in the browser
    │   ├── RoleNotAssigned
    │   │   ├── AssumeRoleDenied   a chained role's trust policy, or its source's policies, say no
    │   │   └── PoolRefused        an identity pool, or the trust policy of the role behind it, says no
    │   │       └── PoolAbsent     there is no such pool: 4, for a profile names it
    │   ├── MfaRefused             the code of the MFA device is wrong, or was used before
    │   ├── Locked                 ``credhelper lock``
    │   ├── PolicyRefused          a rule of the user's own says no
    │   └── ConfirmationPending    a rule wants the person asked, and the answer is not there yet
    ├── UpstreamError .............. 6
    │   ├── Unavailable            network, time-outs, 5xx, answers that are not AWS's; ``retry_after`` seconds
    │   ├── Throttled              429; ``retry_after`` seconds
    │   ├── TooShortLived          what AWS gives does not live as long as was asked for
    │   └── Refused                AWS understood and said no: ``reason`` is its error code
    │       ├── TokenRefused       an identity pool does not take the token of a login
    │       └── IdentityRefused    an identity pool does not know an identity, or does not give it to this caller
    ├── DaemonUnreachable .......... 7
    ├── DoneInPart ................. 8
    └── Interrupted ................ 130

Foreign errors become one of these at one border each: botocore's in ``aws/transport.py``, configparser's in
``aws/config_file.py``.
"""


class CredhelperError(Exception):
    """What went wrong, in one line for a person; ``hint`` is a command to run or the next thing to do, or None."""

    status = 1
    code = "fault"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CredhelperError):
    """The command line asks for something that cannot be."""

    status = 2
    code = "usage"


class LoginRequired(CredhelperError):
    """A person must log in first; the hint names the command."""

    status = 3
    code = "login_required"


class MfaRequired(LoginRequired):
    """A chained role is given only to who names a code of the MFA device now."""

    code = "mfa_required"


class ConfigError(CredhelperError):
    """A configuration file cannot be used; the message names file, section and key."""

    status = 4
    code = "config"


class ConfigChanged(ConfigError):
    """Another program has changed the file since an edit of it was planned; nothing was written."""

    code = "config_changed"


class AccessRefused(CredhelperError):
    """Access is refused, by AWS or by the person asked."""

    status = 5
    code = "access_refused"


class LoginDenied(AccessRefused):
    """The person denied the request in the browser."""

    code = "login_denied"


class RoleNotAssigned(AccessRefused):
    """The signed-in user may not use this role (403 from the portal)."""

    code = "role_not_assigned"


class AssumeRoleDenied(RoleNotAssigned):
    """STS does not let the source assume a chained role."""

    code = "assume_role_denied"


class PoolRefused(RoleNotAssigned):
    """An identity pool gives no credentials for a role, or STS does not let its identities have the role."""

    code = "pool_refused"


class PoolAbsent(PoolRefused):
    """A profile names an identity pool that does not exist: nothing is to be had of it, now or later."""

    status = 4
    code = "pool_absent"


class MfaRefused(AccessRefused):
    """AWS does not take the code of the MFA device."""

    code = "mfa_refused"


class Locked(AccessRefused):
    """``credhelper lock`` has been run, and nothing is handed out."""

    code = "locked"


class PolicyRefused(AccessRefused):
    """A ``[[policy]]`` rule refuses it; the message has the rule's name."""

    code = "policy"


class ConfirmationPending(AccessRefused):
    """A ``[[policy]]`` rule wants the person asked, who has not answered yet."""

    code = "confirmation_pending"


class UpstreamError(CredhelperError):
    """AWS, or the way to it, failed."""

    status = 6
    code = "upstream"


class Unavailable(UpstreamError):
    """No usable answer: no connection, a time-out, a 5xx, or something that is not AWS speaking.

    ``retry_after`` is in seconds, None when nothing was said of it.
    """

    code = "unavailable"

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Throttled(UpstreamError):
    """AWS asked to slow down; ``retry_after`` is in seconds, None when it did not say."""

    code = "throttled"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooShortLived(UpstreamError):
    """The credentials end sooner than the caller can use them (``--min-ttl``)."""

    code = "too_short_lived"


class Refused(UpstreamError):
    """AWS answered with an error of its API; ``reason`` is the exception's name, such as InvalidGrantException."""

    code = "refused"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class TokenRefused(Refused):
    """An identity pool does not take a login's token: another one may do, which a refresh or a login gives."""

    code = "token_refused"


class IdentityRefused(Refused):
    """An identity pool does not know this identity (``is_gone``), or gives it to somebody else only."""

    code = "identity_refused"

    def __init__(self, message: str, *, reason: str, is_gone: bool) -> None:
        super().__init__(message, reason=reason)
        self.is_gone = is_gone


class DaemonUnreachable(CredhelperError):
    """The daemon cannot be reached and could not be started."""

    status = 7
    code = "daemon_unreachable"


class DoneInPart(CredhelperError):
    """Something was left undone; it has been listed."""

    status = 8
    code = "done_in_part"


class Interrupted(CredhelperError):
    """The person pressed Ctrl-C."""

    status = 130
    code = "interrupted"
