"""After a login through a vanity start URL: the region that its portal turned out to be in, kept in ``~/.aws/config``.

As the AWS CLI does: SDKs refresh the token in the region that the file names. Told, never done behind one's back by
the daemon.
"""

import os
from collections.abc import Mapping
from typing import Any

from credhelper.cli import callers_files
from credhelper.domain.errors import CredhelperError
from credhelper.domain.text import safe


def keep(selector: Mapping[str, str], event: Mapping[str, Any]) -> str | None:
    """Writes the region of a login's ``region`` event; ``selector`` is how the login was chosen.

    What to tell the person of it, None where it stood there already. Raises nothing: the login is good all the same.
    """
    from credhelper.aws.editing import config_edits, session_edits

    region = safe(str(event["region"]))
    try:
        configuration = callers_files.load()
        if event["sso_session"] is not None:
            edits = session_edits.of_session(configuration, event["sso_session"], {"sso_region": region})
        else:
            edits = session_edits.of_legacy_region(configuration, _profile(selector), region)
        change = config_edits.plan(configuration.paths.config, edits)
        if change.is_empty:
            return None
        change.write(backup=False)
    except CredhelperError as error:
        why = safe(error.message)
        return f"credhelper: warning: the portal is in {region}, but sso_region could not be set: {why}"
    return f"The portal is in {region}: sso_region in {safe(str(configuration.paths.config))} says so now."


def _profile(selector: Mapping[str, str]) -> str:
    """By option, else by the environment, as the daemon has chosen it."""
    named = selector.get("profile") or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    return named or "default"
