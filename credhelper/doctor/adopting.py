"""Whether ``credhelper configure adopt`` cures what is wrong with a profile: asked of its own plan, not guessed."""

import shlex

from credhelper.aws.editing import adoption
from credhelper.doctor.scene import Scene
from credhelper.domain.errors import ConfigError
from credhelper.local import installation


def cure(scene: Scene, profile: str, otherwise: str) -> str:
    """The command, where it would change the profile; else ``otherwise``."""
    try:
        plan = adoption.adopt(scene.configuration(), [profile], installation.process_lines(scene.env))
    except ConfigError:
        return otherwise
    return f"credhelper configure adopt --profile {shlex.quote(profile)}" if plan.turns else otherwise
