"""The registry of calls: what it takes on at most, and what it remembers."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator

import pytest

from service.sandbox.calls.call import Call, Opened
from service.sandbox.calls.listeners import Listeners
from service.sandbox.calls.registry import Bounds, Calls, Offer
from service.sandbox.errors import ApiError
from service.sandbox.sessions import configuration
from tests.support.memory import traced_memory
from tests.support.offers import OFFER, offer_without
from tests.support.processes import wait_until
from tests.support.webrtc import webrtc_clients

_NUMBERS = itertools.count()


@pytest.fixture
def calls() -> Iterator[Calls]:
    """A registry that takes on little."""
    calls = Calls(lost_seconds=1, bounds=Bounds(open=4, waiting=2, remembered=5, remembered_bytes=50_000))
    yield calls
    calls.reset()
    calls.close()


def _open(calls: Calls, offer: str = OFFER, instructions: str = "") -> Call:
    return _answered(calls, offer, instructions)[0]


def _answered(calls: Calls, offer: str, instructions: str = "") -> tuple[Call, str]:
    number = next(_NUMBERS)
    posted = {"type": "realtime", "instructions": instructions}
    config = configuration.complete(posted, session_id=f"sess_{number}")
    opened = Opened(f"rtc_{number}", "realtime", "gpt-realtime-2.1", config)
    answer = calls.open_realtime(opened, config, Offer(offer, "sdp"))
    assert answer.startswith("v=0")
    call = calls.find(opened.id)
    assert call
    return call, answer


def test_only_so_many_sessions_are_open(calls: Calls) -> None:
    """One more is refused as the vendor refuses it, until another has ended."""
    first, *_ = [_open(calls) for _ in range(4)]
    with pytest.raises(ApiError) as refused:
        _open(calls)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    first.end("hangup")
    assert _open(calls)


def test_only_so_many_peers_wait(calls: Calls) -> None:
    """The oldest gives its sockets up, and its session stays open."""
    first, second, third = [_open(calls) for _ in range(3)]
    assert (first.waits, second.waits, third.waits) == (False, True, True)
    assert not first.ended


def test_a_call_is_known_as_soon_as_its_client_is_connected(calls: Calls) -> None:
    """Sessions share a thread, which may be busy then: a sideband must not be told that there is no such call."""
    busy, over = threading.Event(), threading.Event()

    def hold(_message: str) -> None:
        busy.set()
        over.wait(30)

    with webrtc_clients() as clients:
        call, answer = _answered(calls, clients.offers[0])
        _open(calls).receive("no JSON", hold)
        assert busy.wait(10)
        clients.answer(answer)
        clients.until_open()
        assert call.was_connected
        over.set()


def test_a_call_is_not_found_any_more_once_its_sidebands_are_told_of_its_end(calls: Calls) -> None:
    call = _open(calls)
    found: list[Call | None] = []

    def listen(message: object) -> None:
        if message is None:
            found.append(calls.find(call.opened.id))

    call.sidebands.add(listen)
    call.end("hangup")
    wait_until(lambda: found, seconds=10, what="the end")

    assert found == [None]


def test_what_has_ended_is_remembered_up_to_a_number(calls: Calls) -> None:
    """In the order of creation; open ones are never forgotten."""
    kept = _open(calls)
    for _ in range(8):
        _open(calls).end("hangup")
    reported = calls.report()["calls"]
    assert len(reported) == 5
    assert reported[0]["id"] == kept.opened.id
    assert [call["state"] for call in reported] == ["open", *["ended"] * 4]


def test_what_has_ended_is_remembered_up_to_a_size(calls: Calls) -> None:
    """A session may have almost a megabyte of instructions; open ones are never forgotten."""
    kept = _open(calls, instructions="x" * 60_000)
    _open(calls).end("hangup")
    for _ in range(3):
        _open(calls, instructions="x" * 20_000).end("hangup")

    reported = [(call["id"] == kept.opened.id, call["state"]) for call in calls.report()["calls"]]
    assert reported == [(True, "open"), (False, "ended"), (False, "ended")]
    kept.end("hangup")
    assert kept.opened.id not in {call["id"] for call in calls.report()["calls"]}


def test_of_a_sidebands_messages_only_so_much_waits_for_its_turn(calls: Calls) -> None:
    """Sessions share a thread, which may be busy; what comes beyond 32 MB is dropped."""
    busy, over = threading.Event(), threading.Event()

    def hold(_message: str | None) -> None:
        busy.set()
        over.wait(30)

    call, answers, done = _open(calls), list[str | None](), threading.Event()
    call.receive("no JSON", hold)
    assert busy.wait(10)
    for number in range(40):
        call.receive(f"{number:07}" + " " * 1024 * 1024, answers.append)
    over.set()
    wait_until(lambda: len(answers) >= 31, seconds=10, what="the answers")
    call.receive("no JSON", lambda _: done.set())
    assert done.wait(10)
    assert len(answers) == 31


def test_events_for_a_client_that_is_not_connected_take_a_bounded_place(calls: Calls) -> None:
    """The newest are kept; a sideband may add items of megabytes, which are told twice."""
    call, done = _open(calls), threading.Event()
    content = [{"type": "input_text", "text": "x" * 1024 * 1024}]
    item = {"type": "message", "role": "user", "content": content}
    message = json.dumps({"type": "conversation.item.create", "item": item})
    with traced_memory() as memory:
        for _ in range(100):
            done.clear()
            call.receive(message, lambda _: None)
            call.receive("no JSON", lambda _: done.set())
            assert done.wait(10)
    assert memory.most < 100 * 1024 * 1024


def test_events_that_are_told_again_take_a_bounded_place() -> None:
    """A sideband that attaches is told the newest of the last seconds."""
    sidebands, heard = Listeners(replays=True), list[str | None]()
    with traced_memory() as memory:
        for number in range(100):
            sidebands.tell(f"{number:03}" + "x" * 1024 * 1024)
    assert memory.most < 40 * 1024 * 1024
    sidebands.add(heard.append)
    assert [str(message)[:3] for message in heard] == [f"{number:03}" for number in range(69, 100)]


def test_an_offer_that_fails_leaves_nothing(calls: Calls) -> None:
    """Also one that is found wanting only by aiortc."""
    bad = offer_without("a=setup:", "a=mid:", "a=group:")
    before = calls.report()
    for offer in (bad.replace("a=sctp-port:5000", "a=sctp-port:x"), "v=0\r\n"):
        with pytest.raises(ApiError, match="Invalid SDP offer"):
            _open(calls, offer)
    assert calls.report() == before


def test_only_so_many_sidebands_attach(calls: Calls) -> None:
    """They are told nothing of a call that has ended."""
    call = _open(calls)
    heard: list[str | None] = []
    while not call.sidebands.at_capacity:
        assert call.sidebands.add(heard.append)
    assert not call.sidebands.add(heard.append)
    call.end("hangup")
    wait_until(lambda: heard.count(None) > 0, seconds=5, what="the end")
    assert not call.sidebands.add(heard.append)
