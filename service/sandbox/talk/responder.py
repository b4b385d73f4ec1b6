"""What the sandbox answers: it echoes what was said, in friendly words, or calls the tool that was named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from service.sandbox.talk.arguments import arguments_for
from service.sandbox.talk.items import Item

_EXCERPT = 160
_SAY = re.compile(
    r"\s*(?:please\s+)?(?:say|repeat after me)\s*[:,]?\s*[\"“:](.+?)[\"”]?\s*$", re.IGNORECASE | re.DOTALL
)
_GREETING = re.compile(r"\s*(?:hi|hello|hey|good (?:morning|day|evening))\b", re.IGNORECASE)
_LEAD_IN = re.compile(r"^\W*(?:(?:in|for|of|with|to|on|at|about|tool|function|please)\b\W*)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Words:
    """An answer in words."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; ``arguments`` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Question:
    """What there is to answer.

    ``context`` are the items that the model sees, oldest first; ``asked`` the instructions of this response alone,
    ``instructions`` the session's own, each empty where nobody gave any.
    """

    context: list[Item]
    asked: str
    instructions: str
    tools: list[dict[str, Any]]
    tool_choice: Any


def answer(question: Question) -> Words | Call:
    """Decide what to answer."""
    said = _last_said(question.context)
    tool = _chosen_tool(question, said)
    if tool is None:
        return Words(_words(question, said))
    remainder = _behind(tool["name"], said)
    return Call(tool["name"], json.dumps(arguments_for(tool.get("parameters"), remainder)))


def text_of(item: Item) -> str:
    """Read what an item says: text, transcripts and a function's output."""
    parts = [part.get("text") or part.get("transcript") or "" for part in item.get("content", [])]
    return " ".join([*filter(None, parts), *filter(None, [item.get("output"), item.get("arguments")])])


def _last_said(context: Iterable[Item]) -> str:
    said = [text_of(item) for item in context if item.get("role") == "user"]
    return said[-1] if said else ""


def _chosen_tool(question: Question, said: str) -> dict[str, Any] | None:
    """Call only what must be called, or what the user named and has not had an answer from."""
    tools = {tool["name"]: tool for tool in question.tools if tool["type"] == "function"}
    choice = question.tool_choice
    if isinstance(choice, dict):
        return tools.get(choice.get("name", ""))
    if choice == "required":
        return next(iter(tools.values()), None)
    last = question.context[-1] if question.context else {}
    if choice == "none" or last.get("role") != "user":
        return None
    return next((tool for name, tool in tools.items() if _named(name, said)), None)


def _named(name: str, said: str) -> bool:
    return re.search(_spelled(name), said, re.IGNORECASE) is not None


def _spelled(name: str) -> str:
    """Match a tool's name as people write it: ``get_weather`` is also "get weather"."""
    return r"(?<!\w)" + r"[\s_-]?".join(map(re.escape, re.split(r"[_-]", name))) + r"(?!\w)"


def _behind(name: str, said: str) -> str:
    """What stands behind the tool's name: "get_weather in Paris?" → "Paris"."""
    found = re.search(_spelled(name), said, re.IGNORECASE)
    return _LEAD_IN.sub("", said[found.end() :]).strip(" .?!:,;\"'”") if found else ""


def _words(question: Question, said: str) -> str:
    exactly = _SAY.match(question.asked or said)
    if exactly:
        return exactly[1].strip()
    last = question.context[-1] if question.context else {}
    sentences = [_opening(last, said)]
    if question.asked:
        sentences.append(f"For this answer you asked me: “{_excerpt(question.asked)}”")
    is_first = not any(_is_of_the_model(item) for item in question.context)
    if is_first and question.instructions:
        sentences.append(f"My instructions are: “{_excerpt(question.instructions)}”")
    sentences.append("What shall we try next?")
    return " ".join(sentences)


def _is_of_the_model(item: Item) -> bool:
    return item.get("role") == "assistant" or item.get("type") == "function_call"


def _opening(last: Item, said: str) -> str:
    if last.get("type") == "function_call_output":
        return f"The tool answered: “{_excerpt(last['output'])}”"
    if not said:
        return "Hello! I am the Realtime sandbox, and I am listening."
    if _GREETING.match(said):
        return f"Hello to you too! You said: “{_excerpt(said)}”"
    if said.rstrip().endswith("?"):
        return f"Good question! You asked: “{_excerpt(said)}”"
    return f"I heard you. You said: “{_excerpt(said)}”"


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _EXCERPT else flat[: _EXCERPT - 1].rstrip() + "…"
