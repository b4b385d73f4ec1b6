"""Conversations as a state machine: events in, events out, with a manual clock."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from service.sandbox.sessions import items
from tests.support.sandbox_session import Event, SessionClient, error_of, kinds, one, speak

_WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def test_a_text_turn_runs_in_the_vendors_order() -> None:
    """The order is the one that was recorded from the vendor."""
    client = SessionClient({"output_modalities": ["text"]})
    client.say("Hello")
    client.ask()
    assert kinds(client.received) == [
        "session.created",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]


def test_the_deltas_of_an_audio_answer_are_its_transcript_and_its_audio() -> None:
    """The deltas add up to the whole, and an item that is retrieved holds all of the audio."""
    client = SessionClient()
    client.say("What is a walrus?")
    events = client.ask()
    deltas = [e["delta"] for e in events if e["type"] == "response.output_audio_transcript.delta"]
    transcript = one(events, "response.output_audio_transcript.done")["transcript"]
    assert "".join(deltas) == transcript
    assert "What is a walrus?" in transcript
    audio = b"".join(
        base64.b64decode(e["delta"]) for e in events if e["type"] == "response.output_audio.delta"
    )
    item_id = one(events, "response.output_item.done")["item"]["id"]
    retrieved = one(client.send("conversation.item.retrieve", item_id=item_id), "conversation.item.retrieved")
    assert base64.b64decode(retrieved["item"]["content"][0]["audio"]) == audio


def test_audio_is_sent_several_times_faster_than_it_plays() -> None:
    """Clients must not rely on the pace, but a person should not have to wait."""
    client = SessionClient()
    client.say("Tell me something long about the history of the telephone.")
    before = client.clock.now
    client.send("response.create")
    seconds = 0.0
    while not any(event["type"] == "response.done" for event in client.received):
        client.listen(0.1)
    spoken = [e for e in client.received if e["type"] == "response.output_audio.delta"]
    seconds = sum(len(base64.b64decode(e["delta"])) for e in spoken) / 48_000
    assert seconds > 4 * (client.clock.now - before)


def test_rate_limits_follow_the_answer_by_forty_milliseconds() -> None:
    """The vendor was observed to do so."""
    client = SessionClient({"output_modalities": ["text"]})
    client.send("response.create")
    while "response.done" not in kinds(client.received):
        client.listen(0.001)
    client.listen(0.035)
    assert "rate_limits.updated" not in kinds(client.received)
    client.listen(0.01)
    assert "rate_limits.updated" in kinds(client.received)


def test_the_usage_of_a_response_adds_up() -> None:
    """Totals are the sums of their parts; input and output are both counted."""
    client = SessionClient()
    client.say("Count me.")
    usage = one(client.ask(), "response.done")["response"]["usage"]
    into, out = usage["input_token_details"], usage["output_token_details"]
    assert usage["input_tokens"] == into["text_tokens"] + into["audio_tokens"]
    assert usage["output_tokens"] == out["text_tokens"] + out["audio_tokens"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert min(into["text_tokens"], out["text_tokens"], out["audio_tokens"]) > 0


def test_a_response_that_reaches_its_token_limit_is_incomplete() -> None:
    """``max_output_tokens`` is exact, and named as the reason."""
    response = one(SessionClient().ask(max_output_tokens=40), "response.done")["response"]
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["usage"]["output_tokens"] == 40
    assert response["output"][0]["status"] == "incomplete"


def test_a_response_may_override_the_audio_settings_of_its_session() -> None:
    """Voice, format and metadata of one response are its own."""
    events = SessionClient().ask(
        audio={"output": {"voice": "cedar", "format": {"type": "audio/pcmu"}}}, metadata={"purpose": "test"}
    )
    response = one(events, "response.done")["response"]
    assert response["audio"]["output"] == {"format": {"type": "audio/pcmu"}, "voice": "cedar"}
    assert response["metadata"] == {"purpose": "test"}


def test_a_cancelled_response_closes_everything_it_opened() -> None:
    """The status says that the client cancelled it; no more deltas follow."""
    client = SessionClient()
    client.send("response.create")
    client.listen(0.2)
    events = client.send("response.cancel")
    assert kinds(events) == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    response = events[-1]["response"]
    assert response["status"] == "cancelled"
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert kinds(client.listen()) == ["rate_limits.updated"]


@pytest.mark.parametrize("named", [{}, {"response_id": "resp_unknown"}])
def test_with_nothing_to_cancel_there_is_an_error(named: dict[str, str]) -> None:
    """A response that has ended cannot be cancelled either."""
    client = SessionClient()
    client.ask()
    assert error_of(client.send("response.cancel", **named))["code"] == "response_cancel_not_active"


def test_a_response_can_be_cancelled_by_its_id() -> None:
    """Also one outside the conversation."""
    client = SessionClient()
    client.send("response.create", response={"conversation": "none"})
    assert "response.done" in kinds(client.send("response.cancel", response_id="resp_1"))


def test_a_conversation_has_one_active_response() -> None:
    """A second one is refused, unless it is out of band."""
    client = SessionClient()
    client.send("response.create")
    error = error_of(client.send("response.create"))
    assert error["code"] == "conversation_already_has_active_response"
    assert "response.created" in kinds(client.send("response.create", response={"conversation": "none"}))


def test_a_response_outside_the_conversation_leaves_no_item() -> None:
    """Its item is sent, but not added to the conversation."""
    client = SessionClient({"output_modalities": ["text"]})
    events = client.ask(conversation="none", input=[], instructions="Classify this.")
    assert "conversation.item.added" not in kinds(events)
    done = one(events, "response.done")["response"]
    assert done["conversation_id"] is None
    assert "Classify this." in done["output"][0]["content"][0]["text"]
    item_id = done["output"][0]["id"]
    assert (
        error_of(client.send("conversation.item.delete", item_id=item_id))["code"]
        == "item_delete_invalid_item_id"
    )


def test_the_context_of_a_response_can_be_chosen() -> None:
    """References and new items replace the conversation; an unknown reference is an error."""
    client = SessionClient({"output_modalities": ["text"]})
    first = one(client.say("Apples"), "conversation.item.done")["item"]["id"]
    client.say("Pears")
    text = one(client.ask(input=[{"type": "item_reference", "id": first}]), "response.output_text.done")[
        "text"
    ]
    assert "Apples" in text
    assert "Pears" not in text
    error = error_of(
        client.send("response.create", response={"input": [{"type": "item_reference", "id": "no"}]})
    )
    assert error["param"] == "response.input"


def test_items_are_inserted_where_the_client_says() -> None:
    """After another item, at the beginning, or at the end."""
    client = SessionClient()
    client.say("one")
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "zero"}]}
    added = client.send("conversation.item.create", item=item, previous_item_id="root")[0]
    assert added["previous_item_id"] is None
    added = client.send("conversation.item.create", item={**item, "id": "mine"}, previous_item_id="item_1")[0]
    assert (added["item"]["id"], added["previous_item_id"]) == ("mine", "item_1")
    error = error_of(client.send("conversation.item.create", item={**item, "id": "mine"}))
    assert error["code"] == "item_create_duplicate_item_id"
    error = error_of(client.send("conversation.item.create", item=item, previous_item_id="nowhere"))
    assert error["param"] == "previous_item_id"


def test_a_deleted_item_is_gone() -> None:
    """It can be neither retrieved nor deleted again."""
    client = SessionClient()
    client.say("Forget this.")
    assert kinds(client.send("conversation.item.delete", item_id="item_1")) == ["conversation.item.deleted"]
    assert (
        error_of(client.send("conversation.item.retrieve", item_id="item_1"))["code"]
        == "item_retrieve_invalid_item_id"
    )


def test_truncating_removes_words_and_audio() -> None:
    """The part that the user did not hear leaves the conversation."""
    client = SessionClient()
    events = client.ask()
    whole = one(events, "response.output_audio_transcript.done")["transcript"]
    item_id = one(events, "response.output_item.done")["item"]["id"]
    truncated = one(
        client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1000),
        "conversation.item.truncated",
    )
    assert truncated["audio_end_ms"] == 1000
    part = client.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"][0]
    assert len(base64.b64decode(part["audio"])) == 48_000
    assert whole.startswith(part["transcript"])
    assert 0 < len(part["transcript"]) < len(whole)


@pytest.mark.parametrize(
    ("item_id", "members", "words"),
    [
        ("item_1", {}, "Only model output audio messages can be truncated"),
        ("item_2", {"content_index": 1}, "Only model output audio messages can be truncated"),
        ("item_2", {"audio_end_ms": 99_999}, "is already shorter than 99999ms"),
        ("item_9", {}, "does not exist"),
    ],
)
def test_only_spoken_answers_can_be_truncated(item_id: str, members: dict[str, int], words: str) -> None:
    """And only to less than their length."""
    client = SessionClient()
    client.say("Hello")
    client.ask()
    cut = {"item_id": item_id, "content_index": 0, "audio_end_ms": 100} | members
    assert words in error_of(client.send("conversation.item.truncate", **cut))["message"]


def test_a_tool_that_the_user_names_is_called_and_its_result_used() -> None:
    """The whole round trip: named, called with arguments, answered, mentioned in the reply."""
    client = SessionClient({"tools": [_WEATHER], "output_modalities": ["text"]})
    client.say("Please get weather for Paris!")
    events = client.ask()
    call = one(events, "response.function_call_arguments.done")
    assert call["name"] == "get_weather"
    assert json.loads(call["arguments"]) == {"city": "Paris"}
    deltas = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert "".join(deltas) == call["arguments"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
    client.send("conversation.item.create", item=output)
    assert "rain" in one(client.ask(), "response.output_text.done")["text"]


@pytest.mark.parametrize(
    ("choice", "said", "called"),
    [
        ("auto", "How are you?", False),
        ("auto", "Use get_weather", True),
        ("none", "Use get_weather", False),
        ("required", "How are you?", True),
        ({"type": "function", "name": "get_weather"}, "How are you?", True),
        ({"type": "function", "name": "unknown"}, "How are you?", False),
    ],
)
def test_tools_are_called_only_where_they_are_forced_or_named(choice: Any, said: str, called: bool) -> None:
    """Other calls would surprise a person who only wants to talk."""
    client = SessionClient({"tools": [_WEATHER], "tool_choice": choice})
    client.say(said)
    assert ("response.function_call_arguments.done" in kinds(client.ask())) is called


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Good morning!", "Hello to you too!"),
        ("Is it raining?", "Good question!"),
        ("It rains.", "You said: “It rains.”"),
    ],
)
def test_answers_repeat_what_was_said(said: str, heard: str) -> None:
    """So a developer sees that the input arrived."""
    client = SessionClient({"output_modalities": ["text"]})
    client.say(said)
    assert heard in one(client.ask(), "response.output_text.done")["text"]


@pytest.mark.parametrize(
    ("said", "repeated"),
    [("Say: walrus", "walrus"), ("Please say “one two”", "one two"), ("Repeat after me: hello.", "hello.")],
)
def test_a_request_to_say_something_is_followed_word_for_word(said: str, repeated: str) -> None:
    """So a test of a client can choose the words."""
    client = SessionClient({"output_modalities": ["text"]})
    client.say(said)
    assert one(client.ask(), "response.output_text.done")["text"] == repeated


def test_the_first_answer_repeats_the_instructions() -> None:
    """Later ones do not."""
    client = SessionClient({"output_modalities": ["text"], "instructions": "Session like a pirate."})
    assert "Session like a pirate." in one(client.ask(), "response.output_text.done")["text"]
    assert "Session like a pirate." not in one(client.ask(), "response.output_text.done")["text"]


def test_a_session_update_merges_audio_and_replaces_the_rest() -> None:
    """One member of ``audio`` leaves the others as they were."""
    client = SessionClient({"audio": {"output": {"voice": "cedar"}}})
    change = {"type": "realtime", "instructions": "New.", "audio": {"input": {"turn_detection": None}}}
    session = one(client.send("session.update", session=change), "session.updated")["session"]
    assert session["instructions"] == "New."
    assert session["audio"]["output"]["voice"] == "cedar"
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}


def test_the_voice_cannot_change_once_audio_was_sent() -> None:
    """Before that it can; the same voice is not a change."""
    client = SessionClient()
    update = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
    assert kinds(client.send("session.update", session=update)) == ["session.updated"]
    client.ask()
    assert kinds(client.send("session.update", session=update)) == ["session.updated"]
    update["audio"] = {"output": {"voice": "ash"}}
    assert error_of(client.send("session.update", session=update))["code"] == "cannot_update_voice"


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"instructions": "x"}, "missing_required_parameter", "session.type"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"type": "song"}, "invalid_value", "session.type"),
        ({"type": "realtime", "model": "gpt-realtime-2"}, "invalid_value", "session.model"),
        ({"type": "realtime", "voice": "ash"}, "unknown_parameter", "session.voice"),
        ({"type": "realtime", "tracing": {"x": 1}}, "unknown_parameter", "session.tracing.x"),
    ],
)
def test_a_bad_session_update_is_named_and_changes_nothing(session: Event, code: str, param: str) -> None:
    """The error names the member."""
    client = SessionClient()
    error = error_of(client.send("session.update", session=session))
    assert (error["code"], error["param"]) == (code, param)
    unchanged = client.send("session.update", session={"type": "realtime"})[0]["session"]
    assert unchanged == client.received[0]["session"]


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("{", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        ("[" * 100_000, "invalid_json", None),
        ('{"type": "response.cancel", "x": ' + "[" * 900 + "]" * 900 + "}", "invalid_json", None),
        ('{"type": "response.cancel", "x": NaN}', "invalid_json", None),
        ("[]", "invalid_type", None),
        ("{}", "missing_required_parameter", "type"),
        ('{"type": 7}', "invalid_value", "type"),
        ('{"type": "response.creat"}', "invalid_value", "type"),
        ('{"type": "response.create", "respones": {}}', "unknown_parameter", "respones"),
        ('{"type": "input_audio_buffer.append"}', "missing_required_parameter", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": "?"}', "invalid_value", "audio"),
        (
            '{"type": "conversation.item.create", "item": {"type": "message"}}',
            "missing_required_parameter",
            "item.role",
        ),
        ('{"type": "output_audio_buffer.clear"}', "invalid_value", "type"),
    ],
)
def test_a_bad_message_is_an_error_and_the_session_goes_on(
    message: str | bytes, code: str, param: str | None
) -> None:
    """Nothing a client sends ends the session."""
    client = SessionClient()
    error = error_of(client.send_raw(message))
    assert (error["code"], error["param"]) == (code, param)
    assert "response.done" in kinds(client.ask())


def test_an_error_names_the_event_that_caused_it() -> None:
    """By the id that the client gave it."""
    assert error_of(SessionClient().send("nonsense", event_id="mine"))["event_id"] == "mine"


def test_a_session_ends_after_an_hour() -> None:
    """With an error that says so."""
    client = SessionClient()
    assert not client.listen(3599)
    assert error_of(client.listen(2))["code"] == "session_expired"
    assert client.session.ended


def _add_audio(
    client: SessionClient, *parts: bytes, role: str = "user", previous: str | None = None, **members: str
) -> str:
    """Add an item with audio, or have it refused; return its id."""
    kind = {"user": "input_audio", "assistant": "output_audio"}[role]
    content = [{"type": kind, "audio": base64.b64encode(part).decode()} for part in parts]
    item = {"type": "message", "role": role, "content": content, **members}
    answer = client.send("conversation.item.create", item=item, previous_item_id=previous)[0]
    return str(answer["item"]["id"]) if "item" in answer else ""


def _retrieve_audio(client: SessionClient, item_id: str) -> bytes:
    item = client.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    return base64.b64decode(item["content"][0]["audio"])


def _heard_tokens(events: list[Event]) -> int:
    """Count the tokens of audio that an answer took in: ten a second."""
    usage = one(events, "response.done")["response"]["usage"]
    return int(usage["input_token_details"]["audio_tokens"])


def test_audio_in_an_item_counts_and_is_left_out_of_events() -> None:
    """Only retrieving the item returns it."""
    client = SessionClient()
    audio = base64.b64encode(speak(2)).decode()
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
    added = client.send("conversation.item.create", item=item)[0]["item"]
    assert "audio" not in added["content"][0]
    assert (
        client.send("conversation.item.retrieve", item_id=added["id"])[0]["item"]["content"][0]["audio"]
        == audio
    )
    usage = one(client.ask(), "response.done")["response"]["usage"]
    assert usage["input_token_details"]["audio_tokens"] == 20


def test_audio_in_an_item_has_the_sessions_encoding() -> None:
    """That of the input for what users say, and that of the output for answers, given and retrieved."""
    formats = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcma"}}}
    client = SessionClient({"audio": formats})
    second = {"audio/pcmu": b"\x10" * 8_000, "audio/pcma": b"\x2a" * 8_000}
    said = _add_audio(client, second["audio/pcmu"])
    answered = _add_audio(client, second["audio/pcma"], role="assistant")
    events = client.ask()
    assert _heard_tokens(events) == 20
    assert _retrieve_audio(client, said) == second["audio/pcmu"]
    assert _retrieve_audio(client, answered) == second["audio/pcma"]
    heard = b"".join(
        base64.b64decode(e["delta"]) for e in events if e["type"] == "response.output_audio.delta"
    )
    retrieved = _retrieve_audio(client, one(events, "response.output_item.done")["item"]["id"])
    # deltas are not cut at whole samples of 8 kHz
    assert len(retrieved) == pytest.approx(len(heard), rel=0.01)


def test_the_audio_of_several_parts_is_kept_once() -> None:
    """All of it, with the first."""
    client = SessionClient()
    item_id = _add_audio(client, speak(1), speak(2), speak(3))
    first, *others = client.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"]
    assert base64.b64decode(first["audio"]) == speak(1) + speak(2) + speak(3)
    assert others == [{"type": "input_audio", "transcript": None}] * 2


def test_an_items_audio_is_kept_for_five_minutes_at_most() -> None:
    """As that of a turn is."""
    client = SessionClient()
    item_id = _add_audio(client, bytes(301 * 48_000))
    assert len(_retrieve_audio(client, item_id)) == 300 * 48_000


def test_an_item_that_is_refused_leaves_no_audio() -> None:
    """Neither under its own id, nor in place of that of an item which has its id already."""
    client = SessionClient()
    _add_audio(client, speak(2), id="item_mine")
    for wrong in ({"id": "item_mine"}, {"id": "item_other"}):
        _add_audio(client, speak(9), previous="item_none", **wrong)
    assert _retrieve_audio(client, "item_mine") == speak(2)
    client.send(
        "conversation.item.create",
        item={"type": "message", "role": "user", "id": "item_other", "content": []},
    )
    assert _heard_tokens(client.ask()) == 20


def test_what_is_wrong_in_an_item_is_named_by_its_place() -> None:
    """Not by that of its first part."""
    parts = [{"type": "input_text", "text": "Listen:"}, {"type": "input_audio", "audio": "!!!"}]
    refused = SessionClient().send(
        "conversation.item.create", item={"type": "message", "role": "user", "content": parts}
    )
    assert error_of(refused)["param"] == "item.content[1].audio"


def test_a_conversation_keeps_a_bounded_number_of_items_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds some for an hour would fill the memory; the newest are kept."""
    monkeypatch.setattr(items, "MAX_ITEMS", 10)
    monkeypatch.setattr(items, "MAX_BYTES", 10_000)
    kept = items.Items()
    for number in range(30):
        kept.add({"id": f"item_{number}"})
    assert [item["id"] for item in kept] == [f"item_{number}" for number in range(20, 30)]
    for number in range(30, 40):
        kept.add({"id": f"item_{number}"}, audio=bytes(3_000))
    assert [item["id"] for item in kept] == ["item_37", "item_38", "item_39"]
    assert kept.audio.keys() == {"item_37", "item_38", "item_39"}


@pytest.mark.parametrize(
    "part", [{}, {"transcript": None}, {"audio": base64.b64encode(bytes(48_000)).decode()}]
)
def test_a_spoken_item_without_words_can_be_truncated(part: dict[str, Any]) -> None:
    """Clients may write such items into a conversation."""
    client = SessionClient()
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_audio", **part}]}
    item_id = one(client.send("conversation.item.create", item=item), "conversation.item.added")["item"]["id"]
    cut = {"item_id": item_id, "content_index": 0, "audio_end_ms": 0}
    assert (
        one(client.send("conversation.item.truncate", **cut), "conversation.item.truncated")["audio_end_ms"]
        == 0
    )


def test_a_null_is_no_id() -> None:
    """As clients write what they have not set: each item gets an id of its own."""
    client = SessionClient()
    message = {
        "id": None,
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hi."}],
    }
    call = {"id": None, "call_id": None, "type": "function_call", "name": "look", "arguments": "{}"}
    added = [
        one(client.send("conversation.item.create", item=item), "conversation.item.added")["item"]
        for item in (message, message, call)
    ]
    assert len({item["id"] for item in added}) == 3
    assert all(item["id"] for item in added)
    assert added[2]["call_id"]


@pytest.mark.parametrize(
    "params",
    [
        {"audio": {"output": {"format": None, "voice": None}}},
        {"audio": {"output": None}},
        {"audio": None},
        {"metadata": None},
    ],
    ids=str,
)
def test_what_a_response_leaves_open_is_the_sessions(params: dict[str, Any]) -> None:
    """Null is nothing given."""
    client = SessionClient()
    told = client.send("response.create", response=params) + client.listen()
    assert one(told, "response.done")["response"]["status"] == "completed"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "mcp_list_tools", "server_label": "x", "tools": []}, "item.type"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]},
            "item.content",
        ),
    ],
)
def test_the_beta_has_no_items_of_today(item: dict[str, Any], param: str) -> None:
    assert error_of(SessionClient(beta=True).send("conversation.item.create", item=item))["param"] == param
