"""The companion under its public name: what an app without a key runs. See ``service.companion.client``."""

from service.companion.client import *  # noqa: F403 - this module is the companion's public name
