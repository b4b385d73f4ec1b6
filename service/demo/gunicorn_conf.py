"""How gunicorn serves the demo: as it serves production, without a word about itself.

What an admin is told of a start (workers, storage, variables to set) would hide the lines that are to be pasted. A
module of its own, since gunicorn reads its settings from one.
"""

from service.serving.gunicorn_conf import *  # noqa: F403 # isort: skip - first, since it patches for gevent

import logging
import os

from service.demo.environment import LIVE_VARIABLE

logging.getLogger("gunicorn.error").setLevel(logging.ERROR)

if LIVE_VARIABLE not in os.environ:
    # What is open ends with the sandbox; calls at the vendor have to be ended, which may take longer.
    graceful_timeout = 3
