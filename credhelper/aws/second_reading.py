"""botocore's own reading of ``~/.aws/config`` and ``credentials``, to compare with ours.

A file that botocore refuses is refused by the AWS CLI and every Python program, whatever we make of it.
"""

from dataclasses import dataclass
from pathlib import Path

from credhelper.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Names:
    """What botocore finds in one file."""

    profiles: frozenset[str]
    sso_sessions: frozenset[str]


def names(path: Path, *, is_config: bool) -> Names:
    """The names that botocore finds in the regular file at ``path``, none when there is none. Raises ConfigError.

    ``is_config``: its sections are those of ``config``; else they are bare profile names, as in ``credentials``.
    """
    import botocore.configloader
    import botocore.exceptions

    # botocore expands $ and ~ once more; a name that has them would be another file to it.
    try:
        parsed = botocore.configloader.raw_config_parse(str(path))
        if not is_config:
            return Names(frozenset(parsed), frozenset())
        found = botocore.configloader.build_profile_map(parsed)
    except botocore.exceptions.ConfigNotFound:
        return Names(frozenset(), frozenset())
    except (botocore.exceptions.BotoCoreError, OSError, ValueError) as error:
        # Not its own text, which may repeat a line of a file that holds secrets.
        raise ConfigError(f"{path}: botocore cannot read it ({type(error).__name__})") from None
    return Names(frozenset(found["profiles"]), frozenset(found["sso_sessions"]))
