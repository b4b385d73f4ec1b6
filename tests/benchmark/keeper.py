"""A process whose keeper looks after the calls in a Redis, as a worker's does; `keeping` starts and measures it.

Arguments as JSON: `port` of Redis, `seconds` to measure, `own` calls to open before, and for checks `vendor`, the base
URL of control sockets, with the `authority` to trust. Waits for a line on its input, and prints what it used as JSON.
Started by `python -m gevent.monkey --module tests.benchmark.keeper`.
"""

import json
import resource
import sys
import threading
from typing import Any

from service.calls.endings import Outcome, VendorCalls
from service.calls.keeper import Keeper
from service.calls.model import Call
from service.vendors.control_sockets import ControlSockets
from service.vendors.credentials import ApiKey
from service.vendors.network import Network
from tests.support.calls import Heard, Vendor, redis_calls, request
from tests.support.redis import RedisServer


def main() -> None:
    """Open calls, look after them, and tell what that cost."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    registry, heard, checked = redis_calls(RedisServer(port=given["port"])), Heard(), Checked(given)
    asked = VendorCalls(end=Vendor(takes=0.3).end, check=checked.check)
    keeper = Keeper(registry, asked, check_seconds=1 if given["vendor"] else 0, events=heard)
    for _ in range(given["own"]):
        opening = registry.reserve(request(seconds=3600, calls_global=10**6)).call
        keeper.record(opening, f"live_{opening.id}")
    keeper.start()
    say({"ready": True})
    sys.stdin.readline()
    before = cpu_seconds()
    threading.Event().wait(given["seconds"])
    used = cpu_seconds() - before
    say({"cpu": used, "late": heard.lateness, "ended": len(heard.endings), "checks": checked.number})
    keeper.stop(5)


class Checked:
    """Asks a real control socket whether a call still runs, and counts how often."""

    def __init__(self, given: dict[str, Any]) -> None:
        network = Network(ca_bundle=given["authority"])
        url = given["vendor"] or "https://127.0.0.1"
        self._sockets = ControlSockets(url, credential=ApiKey("sk-benchmark"), network=network)
        self.number = 0

    def check(self, call: Call) -> Outcome:
        """Open its socket, and close it."""
        self.number += 1
        return Outcome(
            "running" if self._sockets.is_open(f"/live/{call.id}/attach", seconds=10) else "failed"
        )


def cpu_seconds() -> float:
    """Return what this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def say(what: dict[str, Any]) -> None:
    """Print a line at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
