"""What opens a call costs time that grows with its length, and never with the square of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from service.calls.vendor_calls import without_offer
from service.core.errors import InvalidRequestError, RejectedSessionError, ServiceError
from service.core.model import Offer, TokenRequest
from service.http.call_bodies import parse_realtime

BYTES = 262_144
"""``MAX_BODY_BYTES`` by default."""

SECONDS = 0.25
"""Of CPU; before, the worst of these took 0.9 s, and words about an offer 3 s. All take some milliseconds now."""

HEAD = b"--b\r\nContent-Disposition: form-data; name="
BODIES = {
    "fields without end": b"--b\r\n" + b"A: b\r\n" * (BYTES // 6),
    "options without end": HEAD + b"sdp; " + b"a=b; " * (BYTES // 5) + b"\r\n\r\nx\r\n--b--",
    "quotes without end": HEAD + b'"' + b'\\"' * (BYTES // 2) + b"\r\n\r\nx\r\n--b--",
    "a preamble without end": b"-" * BYTES,
    "empty lines without end": b"\r\n" * (BYTES // 2),
    "beginnings of boundaries": HEAD + b"sdp\r\n\r\n" + b"\r\n--" * (BYTES // 4),
    "a field of white space": HEAD + b" " * BYTES + b"\r\n\r\nx\r\n--b--",
    "white space after a boundary": HEAD + b"sdp\r\n\r\nx\r\n--b" + b" \t" * (BYTES // 2),
    "parts without end": (HEAD + b"sdp\r\n\r\nx\r\n") * (BYTES // 50),
}


def read(body: bytes, boundary: str = "b") -> TokenRequest:
    content_type = f'multipart/form-data; boundary="{boundary}"'
    request = Request(EnvironBuilder(method="POST", content_type=content_type, data=body).get_environ())
    return parse_realtime(request, body)


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


@pytest.mark.parametrize("name", BODIES)
def test_a_form_that_is_none_costs_no_more_than_to_look_at_it(name: str) -> None:
    def refuse() -> None:
        with pytest.raises(InvalidRequestError):
            read(BODIES[name])

    assert cpu_seconds(refuse) < SECONDS


def test_a_long_boundary_is_refused() -> None:
    """RFC 2046 §5.1.1 has 70 characters."""
    with pytest.raises(InvalidRequestError):
        read(b"--" + b"-" * 71 + b'\r\nContent-Disposition: form-data; name="sdp"\r\n\r\nx', "-" * 71)


def test_each_part_is_read_byte_for_byte() -> None:
    sdp = b"v=0\r\n\xff\r\n--b is none\r\n\r\n"
    form = (
        b'preamble\r\n--b \r\ncontent-disposition: form-data; name="sdp"; filename="a"\r\nX: y\r\n\r\n'
        + sdp
        + b'\r\n--c\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b--\r\nepilogue'
    )
    asked = read(form.replace(b"\r\n--b is none", b"\r\n--a is none"))
    assert asked.offer == Offer(sdp.replace(b"--b is none", b"--a is none") + b"\r\n--c")
    assert asked.model == "m"


def test_a_refusal_of_an_offer_with_thousands_of_lines_costs_next_to_nothing() -> None:
    offer = Offer("\r\n".join(f"a={number:08x}" for number in range(5_000)).encode())
    for words in ("a=" * 400, "a=" * 100_000):
        refused = RejectedSessionError(words)
        found: list[ServiceError] = []
        assert cpu_seconds(lambda: found.append(without_offer(refused, offer))) < SECONDS  # noqa: B023 - called at once
        assert (found[0] is refused) is (len(words) < 1_000)


def test_words_that_repeat_a_line_of_the_offer_or_go_on_for_ever_are_not_passed_on() -> None:
    offer = Offer(b"v=0\r\na=candidate:1 1 udp 1 192.0.2.7 9 typ host\r\n")
    for words in ("No: 'a=candidate:1 1 udp 1 192.0.2.7 9 typ host'", "x" * 1_001):
        assert (
            without_offer(RejectedSessionError(words), offer).message == "The Realtime API refused the offer."
        )
    refused = RejectedSessionError("Invalid value for v=0.")
    assert without_offer(refused, offer) is refused
