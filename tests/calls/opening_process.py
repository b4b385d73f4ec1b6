"""A process that opens calls of one user, and may be killed at a named point; started by the tests beside it.

Arguments as JSON: ``port``, ``user``, ``openings`` at once, ``at_limit``, ``calls``, ``opening_seconds``, ``die``
(``before-reservation``, ``after-reservation``, ``after-answer``, ``after-recording``, ``mid-ending`` or nothing).
Prints what became of each opening, a line each. Waits for a line on its input before it begins.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.calls.errors import TooManyCallsError
from tests.support.calls import poll, redis_calls, request
from tests.support.redis import RedisServer


def open_call(given: dict[str, Any], reach: Callable[[str], None]) -> str:
    """Open one call and say what came of it: its state once recorded, or ``refused``."""
    registry = redis_calls(RedisServer(port=given["port"]), opening_seconds=given["opening_seconds"])
    asked = request(given["user"], calls=given["calls"], at_limit=given["at_limit"], minutes="1000/day")
    reach("before-reservation")
    try:
        call = registry.reserve(asked).call
    except TooManyCallsError:
        return "refused"
    reach("after-reservation")
    upstream_id = f"live_{call.id}"  # here the vendor would answer
    reach("after-answer")
    recorded = registry.record(call.id, upstream_id)
    reach("after-recording")
    if given["die"] == "mid-ending":
        registry.end(call.id, "client")
        assert poll(registry).claims
        reach("mid-ending")
    return recorded.state if recorded else "unknown"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Do what the arguments say."""
    given = json.loads(sys.argv[1])

    def reach(point: str) -> None:
        if point == given["die"]:
            os.kill(os.getpid(), signal.SIGKILL)

    say("ready")
    sys.stdin.readline()
    with ThreadPoolExecutor(given["openings"]) as pool:
        for state in pool.map(lambda _: open_call(given, reach), range(given["openings"])):
            say(state)


if __name__ == "__main__":
    main()
