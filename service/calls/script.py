"""The script of the call registry on Redis: ``lua/calls.lua``, after what it shares with Python."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from service.budgets import MINIMUM_CHARGE, MINIMUM_GRANT
from service.calls.model import (
    CONNECTING_SECONDS,
    ENDED_KEPT_SECONDS,
    ENDING_RETRY_SECONDS,
    MOVES,
    UNKNOWN_SECONDS,
)
from service.store.protocol import Script


def _moves_in_lua() -> str:
    """Write the table of moves down in Lua, so that the script and Python share it."""
    events = (
        f"['{event}'] = {{{', '.join(f'{state} = {_in_lua(following)}' for state, following in moves.items())}}}"
        for event, moves in MOVES.items()
    )
    return f"local MOVES = {{{', '.join(events)}}}\n"


def _constants_in_lua() -> str:
    """Write the constants down in Lua: milliseconds, but for ``LEAST``, which is in seconds."""
    milliseconds = {
        "UNKNOWN": UNKNOWN_SECONDS,
        "CONNECTING": CONNECTING_SECONDS,
        "ENDED_KEPT": ENDED_KEPT_SECONDS,
        "ENDING_RETRY": ENDING_RETRY_SECONDS,
        "LEAST_CHARGE": MINIMUM_CHARGE,
    }
    constants = {"LEAST": MINIMUM_GRANT} | {name: 1000 * value for name, value in milliseconds.items()}
    return "".join(f"local {name} = {value}\n" for name, value in constants.items())


def _in_lua(state: str | None) -> str:
    return "false" if state is None else f"'{state}'"


SCRIPT: Final = Script(
    "calls",
    _moves_in_lua()
    + _constants_in_lua()
    + files(__package__).joinpath("lua", "calls.lua").read_text(encoding="utf-8"),
)
