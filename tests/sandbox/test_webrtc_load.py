"""Many calls at once, and many one after another: the sound has no gaps, and nothing is left behind."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.processes import wait_until
from tests.support.service import Sandbox, running_sandbox
from tests.support.webrtc import Clients, listed, open_call, webrtc_clients, worker_pid

pytestmark = pytest.mark.alone

_CALLS = 10
_PROCESSES = 2
_POOLED = 32
"""Threads that gunicorn's pool has from the beginning: more than there are ever requests at once here."""
_OWN = 2
"""Threads that the first call starts, and that stay: the peers' event loop, and the one for what happens to calls."""

_LONG = 'Say: "' + " ".join(f"word number {number} goes here," for number in range(60)) + '"'


def _connect(sandbox: Sandbox, clients: Clients, number: int) -> str:
    answer = open_call(sandbox.base_url, clients.offers[number])
    clients.answer(answer.text, call=number)
    clients.until_open(call=number)
    return answer.headers["Location"].rpartition("/")[2]


def test_ten_calls_at_once_have_no_gaps() -> None:
    """Each hears its answer with at most 100 ms between two packets.

    What the clients' own processes were late is taken off. A machine that others keep busy gets three tries.
    """
    each = _CALLS // _PROCESSES
    with running_sandbox() as sandbox, ExitStack() as stack:
        groups = [stack.enter_context(webrtc_clients(each)) for _ in range(_PROCESSES)]
        for clients in groups:
            for number in range(each):
                _connect(sandbox, clients, number)
        for clients in groups:
            for number in range(each):
                clients.send({"type": "response.create", "response": {"instructions": _LONG}}, call=number)
        for clients in groups:
            for number in range(each):
                clients.until("output_audio_buffer.started", call=number)
        gaps: list[float] = []
        while len(gaps) < 3 and min(gaps, default=1.0) >= 0.1:
            gaps.append(_worst_gap(groups, each))
    assert min(gaps) < 0.1


def _worst_gap(groups: list[Clients], each: int) -> float:
    """Listen for 200 packets, which are four seconds; give the longest gap, less the delays of the clients."""
    since = time.monotonic()
    heard = groups[0].stats()["frames"]
    while groups[0].stats()["frames"] < heard + 200:
        pass
    stats = [group.stats(call=number, since=since) for group in groups for number in range(each)]
    assert all(one["loud"] > 50 for one in stats)
    return max(one["longest_gap"] - one["own_delay"] for one in stats)


@pytest.mark.parametrize("calls", [24])
def test_calls_leave_nothing_behind(calls: int) -> None:
    """No thread, no socket, no file, and no megabyte, once the first ones have filled the caches."""
    with running_sandbox() as sandbox:
        _fill_pool(sandbox)
        threads = _left(sandbox)["threads"] + _OWN
        before = None
        for _ in range(3):
            with webrtc_clients(calls // 3) as clients:
                for number in range(calls // 3):
                    call_id = _connect(sandbox, clients, number)
                    clients.send({"type": "response.create"}, call=number)
                    clients.until("output_audio_buffer.started", call=number)
                    clients.close(call=number)
                    wait_until(lambda: _has_ended(sandbox, call_id), seconds=10, what="the call's end")  # noqa: B023
            wait_until(lambda: _sockets(sandbox) == 0, seconds=10, what="the end of all sockets")
            # those of a call's resampler end a moment after its socket
            wait_until(
                lambda: _left(sandbox)["threads"] <= threads, seconds=10, what="the end of all other threads"
            )
            before = before or _left(sandbox)
        after = _left(sandbox)
        assert after["files"] <= before["files"] + 1
        assert after["megabytes"] < before["megabytes"] + 10


def _fill_pool(sandbox: Sandbox) -> None:
    """Have gunicorn's pool grow now: it starts a thread where none is idle in that moment, which is left to chance."""
    address = urlsplit(sandbox.base_url)
    wanted = _left(sandbox)["threads"] + _POOLED
    with ExitStack() as stack:
        for _ in range(_POOLED):
            connection = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            connection.sendall(b"GET / HTTP/1.1\r\n")  # a thread waits for the rest
        wait_until(lambda: _left(sandbox)["threads"] >= wanted, seconds=10, what="a thread for each request")


def _has_ended(sandbox: Sandbox, call_id: str) -> bool:
    return bool(listed(sandbox.base_url, call_id)["state"] == "ended")


def _sockets(sandbox: Sandbox) -> int:
    """Count the UDP sockets of the sandbox."""
    inodes = {line.split()[9] for line in Path("/proc/net/udp").read_text().splitlines()[1:]}
    owned = 0
    for entry in Path(f"/proc/{worker_pid(sandbox.run)}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        owned += target.removeprefix("socket:[").removesuffix("]") in inodes
    return owned


def _left(sandbox: Sandbox) -> dict[str, float]:
    process = Path(f"/proc/{worker_pid(sandbox.run)}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return {
        "threads": int(status["Threads"]),
        "files": len(list((process / "fd").iterdir())),
        "megabytes": int(status["VmRSS"].split()[0]) / 1024,
    }
