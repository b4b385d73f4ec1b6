"""What is laid under a caller's session: a profile, the defaults, or next to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.core.model import Caller, SessionType
from service.policy.access import NeedsClaims, Requires
from service.policy.conditions import conditions_of
from service.policy.content import Locked
from service.policy.document import Preset, Profile
from service.policy.paths import MISSING, Path, get, put
from service.policy.rules import Rule
from service.policy.templates import claims_in, is_template, render
from service.vendors.wire import model_path


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a profile or the defaults put under a caller's session, and the rules that come with it."""

    source: str
    profile: str | None
    session_type: SessionType
    session: Mapping[str, Any]
    expires_in: int | None
    rules: tuple[Rule, ...]
    is_template: bool

    def session_for(self, caller: Caller) -> Mapping[str, Any]:
        """Return the session with the caller's claims filled in."""
        filled: Mapping[str, Any] = render(self.session, caller) if self.is_template else self.session
        return filled


def bare_foundation(session_type: SessionType, default_model: str) -> Foundation:
    """Put nothing under a session, but for a conversation's default model."""
    session = {"model": default_model} if session_type == "realtime" else {}
    return Foundation("none", None, session_type, session, None, (), is_template=False)


def compile_preset(source: str, preset: Preset, *, profile: str | None, default_model: str) -> Foundation:
    """Make a profile, or the defaults, a foundation."""
    session: dict[str, Any] = {name: value for name, value in preset.session.items() if name != "type"}
    path = model_path(preset.session_type)
    if preset.model is not None:
        session = put(session, path, preset.model)
    elif preset.session_type == "realtime" and get(session, path) is MISSING:
        session = put(session, path, default_model)
    return Foundation(
        source=source,
        profile=profile,
        session_type=preset.session_type,
        session=session,
        expires_in=preset.expires_in,
        rules=tuple(_preset_rules(source, preset)),
        is_template=is_template(session),
    )


def _preset_rules(source: str, preset: Preset) -> Iterator[Rule]:
    if isinstance(preset, Profile):
        for condition in conditions_of(preset.requires):
            yield Requires(f"{source}.requires", condition)
    if claims := tuple(dict.fromkeys(claims_in(preset.session))):
        yield NeedsClaims(f"{source}.session", claims)
    if preset.locked:
        paths = tuple(_path(name, preset.session_type) for name in preset.locked if name != "expires_in")
        yield Locked(f"{source}.locked", paths, expires_in="expires_in" in preset.locked)


def _path(name: str, session_type: SessionType) -> Path:
    return model_path(session_type) if name == "model" else tuple(name.split("."))
