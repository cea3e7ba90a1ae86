"""Everything one instance knows, composed. Nothing here locks: the server lets one caller in at a time."""

import hmac
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from credhelper.sandbox.authorizations import Authorizations
from credhelper.sandbox.devices import DeviceAuthorization, Devices
from credhelper.sandbox.directory import Account, Assignment, Directory, IamRole, Role
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.mfa import MfaDevices
from credhelper.sandbox.registrations import Registrations
from credhelper.sandbox.role_credentials import IssuedCredentials, RoleCredentials
from credhelper.sandbox.sign_ins import SignIns


class State:
    def __init__(
        self,
        clock: Callable[[], float],
        lifetimes: Lifetimes,
        directory: Directory,
        start_urls: frozenset[str],
    ) -> None:
        self.lifetimes = lifetimes
        self.directory = directory
        self.assignments = set(directory.assignments)
        self.iam_roles: dict[str, IamRole] = {role.arn: role for role in directory.iam_roles}
        self.mfa = MfaDevices(clock, directory)
        self.registrations = Registrations(clock, lifetimes)
        self.sign_ins = SignIns(clock, lifetimes)
        self.devices = Devices(clock, lifetimes, self.sign_ins)
        self.authorizations = Authorizations(clock, lifetimes, self.registrations, self.sign_ins)
        self.credentials = IssuedCredentials(clock, lifetimes)
        self._start_urls = start_urls

    def check_start_url(self, url: str) -> None:
        """People paste a start URL with `/`, `#` or `#/` behind it; the service takes them all for one."""
        try:
            scheme, netloc, path, query, _ = urlsplit(url)
        except ValueError:
            known = False
        else:
            known = urlunsplit((scheme, netloc.lower(), path.rstrip("/"), query, "")) in self._start_urls
        if not known:
            raise ApiError("InvalidRequestException", "The start URL is not that of an instance here.")

    def knows(self, person: str, password: str) -> bool:
        found = self.directory.person(person)
        expected = found.password if found else ""
        return hmac.compare_digest(expected.encode(), password.encode()) and found is not None

    def waiting_device(self, user_code: str) -> DeviceAuthorization:
        device = self.devices.waiting(user_code)
        if device is None:
            raise LookupError("no device waits for a decision under this code")
        return device

    def known_person(self, name: str) -> str:
        if self.directory.person(name) is None:
            raise LookupError(f"nobody here is called {name}")
        return name

    def assign(self, given: Assignment) -> None:
        """Raises ValueError if the directory lacks the person, the account or the role."""
        replace(self.directory, assignments=frozenset({given}))
        self.assignments.add(given)

    def accounts_of(self, person: str) -> list[Account]:
        theirs = {given.account_id for given in self.assignments if given.person == person}
        return [account for account in self.directory.accounts if account.account_id in theirs]

    def roles_of(self, person: str, account_id: str) -> list[Role]:
        theirs = {
            given.role_name for given in self.assignments if given.person == person and given.account_id == account_id
        }
        return [role for role in self.directory.roles if role.name in theirs]

    def role_credentials(self, person: str, account_id: str, role_name: str) -> RoleCredentials:
        """Assigned or not is all the portal tells: of what does not exist it says the same."""
        if Assignment(person, account_id, role_name) not in self.assignments:
            raise ApiError("ForbiddenException", "No access")
        role = next(role for role in self.directory.roles if role.name == role_name)
        return self.credentials.issue(person, account_id, role)
