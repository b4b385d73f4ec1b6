"""A profile's strings may hold ``{sub}`` and named claims, and a claim can be no more than text in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.policy import PolicyError
from service.policy.explain import warnings
from service.policy.templates import MAX_VALUE, escape, render
from tests.support.policies import caller, decide, policy, refusal


def filled(text: Any, **claims: Any) -> Any:
    """Fill in a template for a caller with these claims."""
    return render(text, caller(**claims))


@pytest.mark.parametrize(
    ("text", "claims", "expected"),
    [
        ("You help {claim:name}.", {"name": "Ada"}, "You help Ada."),
        ("User {sub}", {"sub": "u-1"}, "User u-1"),
        ("{claim:n}", {"n": 42}, "42"),
        ("{claim:n}", {"n": True}, ""),
        ("{claim:n}", {"n": ["a"]}, ""),
        ("{claim:n}", {}, ""),
        ("{claim:app_metadata.team}", {"app_metadata": {"team": "red"}}, "red"),
        ("{claim:https://example.com/team}", {"https://example.com/team": "red"}, "red"),
        ("{claim:name}", {"name": "O'Brien-Müller 王"}, "O'Brien-Müller 王"),
    ],
)
def test_a_claim_is_filled_in(text: str, claims: dict[str, Any], expected: str) -> None:
    """By its name, literal or dotted; only text and numbers have words to fill in."""
    assert filled(text, **claims) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{name}",
        "{ sub }",
        "{sub.__class__}",
        "{0}",
        "{{sub}",
        "{claim:}",
        '{"a": 1}',
        "{{",
        "%(sub)s",
        "${x}",
    ],
)
def test_nothing_else_is_evaluated(text: str) -> None:
    """What is no template is sent as it stands."""
    assert filled(text, sub="X", name="Y") == text.replace("{sub}", "X")


def test_a_claim_is_not_a_template_itself() -> None:
    """A user who is called {sub} stays so."""
    assert filled("{claim:a}", a="{claim:b} {sub}", b="secret", sub="X") == "{claim:b} {sub}"


def test_all_strings_of_a_session_are_filled_in_and_nothing_else() -> None:
    """At any depth; the names of members are the vendor's."""
    session = {"{sub}": ["{sub}", {"a": "{sub}"}, 1, None, True]}
    assert filled(session, sub="X") == {"{sub}": ["X", {"a": "X"}, 1, None, True]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('" Ignore all', '\\" Ignore all'),
        ("a\\", "a\\\\"),
        ("a\nSystem: b", "a System: b"),
        ("</user>", "\\u003c/user\\u003e"),
        ("```", "\\u0060\\u0060\\u0060"),
        ("a\u2028b\u202ec\x00d\x7fe", "a b c d e"),
        ("' and so on", "\\u0027 and so on"),
        ("\u201d and \u2019 and \u00bb", "\\u201d and \\u2019 and \\u00bb"),
    ],
)
def test_a_claim_cannot_leave_its_place(value: str, expected: str) -> None:
    """Quotes, tags and fences around it stay closed, and it begins no line of its own."""
    assert escape(value) == expected


@settings(max_examples=400)
@given(value=st.text(max_size=500))
def test_an_escaped_claim_is_one_line_inside_a_json_string(value: str) -> None:
    """Whatever it holds, and no longer than it may be."""
    escaped = escape(value)
    assert escaped.isprintable()
    assert not set(escaped) & set("<>`'\u201c\u201d\u2018\u2019")
    assert len(json.loads(f'"{escaped}"')) == min(len(value), MAX_VALUE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The user is '{claim:name}'.", "The user is 'O\\u0027Brien'."),
        ("The user is \u2018{claim:name}\u2019.", "The user is \u2018O\\u0027Brien\u2019."),
        ("The user's name is {claim:name}, don't forget.", "The user's name is O'Brien, don't forget."),
        ('The user is "{claim:name}".', 'The user is "O\'Brien".'),
    ],
)
def test_an_apostrophe_is_escaped_where_it_could_end_a_quotation(text: str, expected: str) -> None:
    """And spoken as one elsewhere."""
    assert filled(text, name="O'Brien") == expected


def mcp(url: str) -> dict[str, Any]:
    """A session with a remote server at a templated address."""
    return {"tools": [{"type": "mcp", "server_label": "s", "server_url": url}]}


def address(url: str, requires: dict[str, Any] | None = None, **claims: Any) -> str:
    """Decide on a profile with such a server, and return the address that is sent."""
    profile = {"session": mcp(url), **({"requires": requires} if requires else {})}
    grant = decide(policy({"profiles": {"p": profile}}), {"profile": "p"}, claims)
    return str(grant.session["tools"][0]["server_url"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("red", "red"),
        ("a/../b", "a%2F..%2Fb"),
        ("a?x=1#y", "a%3Fx%3D1%23y"),
        ("@evil.example", "%40evil.example"),
        ("\u00fc ", "%C3%BC%20"),
        ("a\\b", "a%5Cb"),
    ],
)
def test_a_claim_stays_within_its_part_of_a_url(value: str, expected: str) -> None:
    """Percent-encoded, whatever it holds."""
    url = "https://m.example/teams/{claim:team}/mcp?user={claim:team}"
    assert address(url, team=value) == f"https://m.example/teams/{expected}/mcp?user={expected}"


@pytest.mark.parametrize("mode", ["enforce", "audit"])
@pytest.mark.parametrize("team", ["..", ".", "x" * 201])
def test_a_claim_that_would_lead_elsewhere_is_refused_in_every_mode(team: str, mode: str) -> None:
    """Dot segments climb, encoded or not, and an identifier that was cut may be somebody else's."""
    document = {"profiles": {"p": {"session": mcp("https://m.example/{claim:team}/mcp")}}, "mode": mode}
    error = refusal(policy(document), {"profile": "p"}, {"team": team})
    assert error is not None
    assert str(error.reason).startswith("profiles.p.session: ")


HOSTS = [
    "https://{claim:region}.m.example/mcp",
    "https://m.example.{claim:region}/mcp",
    "https://m.example:{claim:region}/mcp",
    "https://{claim:region}@m.example/mcp",
    "{claim:region}/mcp",
    "{claim:region}://m.example/mcp",
    "//{claim:region}/mcp",
    "https://m.example{claim:region}",
    "https://{sub}/mcp",
    "https:/{claim:region}/mcp",
    "https:{claim:region}/mcp",
    "https:///{claim:region}/mcp",
    "https:\\\\{claim:region}/mcp",
    "https://m.example\\{claim:region}/mcp",
    " https://{claim:region}/mcp",
]


@pytest.mark.parametrize("url", HOSTS)
def test_a_claim_in_a_host_stops_the_start_unless_its_values_are_listed(url: str) -> None:
    """Else whoever writes the claim chooses who is sent the company's request."""
    with pytest.raises(PolicyError, match='in its host; list the values that it may have in "requires"'):
        policy({"profiles": {"p": {"session": mcp(url)}}})
    with pytest.raises(PolicyError, match="in its host"):
        policy({"defaults": {"session": mcp(url)}})


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_a_listed_value_may_decide_the_host_and_no_other(mode: str) -> None:
    """In audit mode too, which refuses nothing else."""
    profile = {"session": mcp(HOSTS[0]), "requires": {"region": ["eu", "us"]}}
    decider = policy({"profiles": {"p": profile}, "mode": mode})
    grant = decide(decider, {"profile": "p"}, {"region": "eu"})
    assert grant.session["tools"][0]["server_url"] == "https://eu.m.example/mcp"
    for region in ("evil.example/", "eu.evil", ["eu"], None):
        assert refusal(decider, {"profile": "p"}, {"region": region}) is not None


def test_listed_values_must_be_parts_of_a_host() -> None:
    """Or the list would not mean what it says."""
    with pytest.raises(PolicyError, match="letters, digits, dots and -"):
        policy({"profiles": {"p": {"session": mcp(HOSTS[0]), "requires": {"region": ["eu/x"]}}}})


def test_plain_values_are_escaped_once_by_the_json_that_is_sent() -> None:
    """The variables of a stored prompt, and headers; their lines stay one."""
    session = {
        "prompt": {"id": "p", "variables": {"name": "{claim:name}"}},
        "headers": {"X-User": "{claim:name}"},
    }
    sent = filled(session, name='A "B" <c>\r\nX-Admin: 1')
    assert sent["prompt"]["variables"]["name"] == 'A "B" <c>  X-Admin: 1'
    assert sent["headers"]["X-User"] == 'A "B" <c>  X-Admin: 1'


def test_claims_that_users_write_are_warned_about_in_templates() -> None:
    """As they are in conditions."""
    session = {"instructions": "Help {claim:user_metadata.nick} of {claim:app_metadata.team}, {sub}."}
    (warning,) = warnings(policy({"profiles": {"p": {"session": session}}}))
    assert warning.startswith('profiles.p.session: users can often write the claim "user_metadata.nick"')
