"""What a decision costs grows with the body's size, and never with its product with the policy's."""

from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any

import pytest

from service.core.model import TokenRequest
from service.policy import Policy
from tests.support.policies import MODELS, caller, policy

FUNCTIONS = [{"type": "function", "name": f"own{number}"} for number in range(200)]
PATHS = [f"p{number}.q" for number in range(200)]
GROUPS = [f"group{number}" for number in range(200)]


def large_policy(size: int, **more: Any) -> Policy:
    """Make a policy with lists of this length, each of them in several rules."""
    lists = {
        "tools": ["a", *(f"t{number}" for number in range(size))],
        "mcp": [f"https://s{number}" for number in range(size)],
        "fields": {"deny": PATHS[:size]},
    }
    return policy(
        {
            **lists,
            "defaults": {"session": {"tools": FUNCTIONS[:size]}, "locked": PATHS[:size]},
            "rules": [{"when": {"groups": GROUPS[:size]}, **lists}] * 5,
            **more,
        }
    )


def work(decider: Policy, request: TokenRequest, **claims: Any) -> int:
    """Count the calls of Python and C functions, and the lines, that one decision takes."""
    count = 0

    def step(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return step

    traced = sys.gettrace()  # by the measurement of coverage
    sys.settrace(step)
    sys.setprofile(lambda *_: step(*_) and None)
    try:
        decider.decide(caller(**claims), request)
    finally:
        sys.settrace(traced)
        sys.setprofile(None)
    return count


def tools(number: int) -> TokenRequest:
    """Ask for a session with this many tools."""
    return TokenRequest(None, {"tools": [{"name": "a"}] * number})


def members(number: int, depth: int = 1) -> TokenRequest:
    """Ask for a session with this many members, some levels down."""
    inner: dict[str, Any] = {f"m{index}": 1 for index in range(number)}
    for _ in range(depth):
        inner = {"x": inner}
    return TokenRequest(None, inner)


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_a_body_of_4800_tools_is_read_a_few_times_and_not_once_a_rule_and_tool(mode: str) -> None:
    """62 KB of them once cost a second of CPU and more, and ended in a 403 that no limit counts."""
    request = tools(4_800)
    assert len(json.dumps(request.session)) > 62_000
    for size in (1, 200):
        assert work(large_policy(size, mode=mode), request, groups=GROUPS[:size]) < 4_800 * 100


def test_what_a_caller_changes_is_found_once_for_all_rules() -> None:
    """A dozen rules ask for it."""
    assert work(large_policy(2), members(4_800)) < 4_800 * 20


@pytest.mark.parametrize("ask", [tools, members])
def test_work_does_not_multiply_with_the_policys_size(ask: Any) -> None:
    """A longer policy costs its own length more, whatever the body's."""
    small, large = large_policy(2), large_policy(200)
    own = work(large, ask(0)) - work(small, ask(0))
    more = work(large, ask(2_000)) - work(small, ask(2_000))
    assert more < own + 20_000


def test_depth_does_not_multiply_with_the_number_of_members() -> None:
    """Both objects are walked together, never from their root for each member."""
    decider = large_policy(2)
    assert work(decider, members(2_000, depth=100)) < 1.5 * work(decider, members(2_000))


def test_many_groups_in_a_token_are_looked_up_and_not_compared_in_pairs() -> None:
    """A token may hold thousands of them."""
    rule = {"when": {"groups": GROUPS}, "models": [MODELS[0]]}
    claims = {"groups": [f"other{number}" for number in range(2_000)]}
    assert work(policy({"rules": [rule]}), TokenRequest(None, {}), **claims) < 2_000 * 20
