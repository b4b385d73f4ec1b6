"""Canned replies: an echo of what the user said, or a call of the tool that the user named."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from service.sandbox.audio import pcm
from service.sandbox.sessions.arguments import arguments_for
from service.sandbox.sessions.items import Item

_EXCERPT = 160
_SAY = re.compile(
    r"\s*(?:please\s+)?(?:say|repeat after me)\s*[:,]?\s*[\"“:](.+?)[\"”]?\s*$", re.IGNORECASE | re.DOTALL
)
_GREETING = re.compile(r"\s*(?:hi|hello|hey|good (?:morning|day|evening))\b", re.IGNORECASE)
_LEAD_IN = re.compile(r"^\W*(?:(?:in|for|of|with|to|on|at|about|tool|function|please)\b\W*)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextReply:
    """A reply in words."""

    text: str


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A reply that calls a function; ``arguments`` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a reply is based on.

    ``context`` holds the items that the model sees, oldest first. ``asked`` are the instructions of this response
    alone, ``instructions`` those of the session; each is empty if there are none.
    """

    context: list[Item]
    asked: str
    instructions: str
    tools: list[dict[str, Any]]
    tool_choice: Any


def reply_to(question: Question) -> TextReply | FunctionCall:
    """Choose the reply."""
    last_said = next((text_of(item) for item in reversed(question.context) if item.get("role") == "user"), "")
    tool = _chosen_tool(question, last_said)
    if tool is None:
        return TextReply(_echo(question, last_said))
    found = re.search(_name_pattern(tool["name"]), last_said, re.IGNORECASE)
    # "get_weather in Paris?" → "Paris"
    argument = _LEAD_IN.sub("", last_said[found.end() :]).strip(" .?!:,;\"'”") if found else ""
    return FunctionCall(tool["name"], json.dumps(arguments_for(tool.get("parameters"), argument)))


def text_of(item: Item) -> str:
    """Return the text of an item: text, transcripts, and a function's arguments and output."""
    parts = [part.get("text") or part.get("transcript") or "" for part in item.get("content", [])]
    return " ".join([*filter(None, parts), *filter(None, [item.get("output"), item.get("arguments")])])


def transcript_of(audio: bytes | bytearray) -> str:
    """Return the canned transcript of PCM, which says how long it was; empty for none."""
    if not audio:
        return ""
    return f"I spoke to you for {pcm.milliseconds(audio) / 1000:.1f} seconds."


def _chosen_tool(question: Question, said: str) -> dict[str, Any] | None:
    """Return the tool that must be called, or that the user just named, or None."""
    tools = {tool["name"]: tool for tool in question.tools if tool["type"] == "function"}
    choice = question.tool_choice
    if isinstance(choice, dict):
        return tools.get(choice.get("name", ""))
    if choice == "required":
        return next(iter(tools.values()), None)
    last = question.context[-1] if question.context else {}
    if choice == "none" or last.get("role") != "user":
        return None
    mentioned = (tool for name, tool in tools.items() if re.search(_name_pattern(name), said, re.IGNORECASE))
    return next(mentioned, None)


def _name_pattern(name: str) -> str:
    """Return a pattern for a tool's name as people write it: ``get_weather`` is also "get weather"."""
    return r"(?<!\w)" + r"[\s_-]?".join(map(re.escape, re.split(r"[_-]", name))) + r"(?!\w)"


def _echo(question: Question, said: str) -> str:
    """Repeat what was said, unless the text asks to say something else exactly."""
    exactly = _SAY.match(question.asked or said)
    if exactly:
        return exactly[1].strip()
    last = question.context[-1] if question.context else {}
    if last.get("type") == "function_call_output":
        sentences = [f"The tool answered: “{_excerpt(last['output'])}”"]
    elif not said:
        sentences = ["Hello! I am the Realtime sandbox, and I am listening."]
    elif _GREETING.match(said):
        sentences = [f"Hello to you too! You said: “{_excerpt(said)}”"]
    elif said.rstrip().endswith("?"):
        sentences = [f"Good question! You asked: “{_excerpt(said)}”"]
    else:
        sentences = [f"I heard you. You said: “{_excerpt(said)}”"]
    if question.asked:
        sentences.append(f"For this answer you asked me: “{_excerpt(question.asked)}”")
    is_first = not any(
        item.get("role") == "assistant" or item.get("type") == "function_call" for item in question.context
    )
    if is_first and question.instructions:
        sentences.append(f"My instructions are: “{_excerpt(question.instructions)}”")
    return " ".join([*sentences, "What shall we try next?"])


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1].rstrip() + "…"
