"""``GET /`` and ``GET /docs``: what this is, for people and for machines, and the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Response, abort, current_app, render_template, request

from service.http.documentation import PAGES, read_page
from service.http.responses import json_response

# Our own style sheet and nothing else (https://www.w3.org/TR/CSP3/).
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_MAX_WORDS = 6
_DOCUMENTATION: Final = {"/docs": "API"} | {f"/docs/{name}": title for name, title in PAGES.items()}
"""The navigation: the title of each path."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a JSON body, or one parameter."""

    name: str
    type: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the documentation: a method on a path."""

    method: str
    path: str
    summary: str
    description: str
    credentials: tuple[str, ...]
    parameters: tuple[Member, ...]
    body: tuple[tuple[str, str], ...]
    """Media types, and the name of each one's schema; empty where it has none."""
    answers: tuple[tuple[str, str, str], ...]
    """Status, meaning, and the schema's name."""


def page_routes(description: Mapping[str, Any]) -> Blueprint:
    """Make the routes; ``description`` is what ``/openapi.json`` answers."""
    routes = Blueprint("pages", __name__)
    reference, info = _reference(description), description["info"]
    calls = "/calls" in description["paths"]

    @routes.get("/")
    def index() -> Response:
        """Say what this is: JSON to machines, a page to those who ask for HTML first."""
        found = _places(calls=calls, demo="demo.demo" in current_app.view_functions)
        if request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html":
            response = _page("index.html", info=info, places=found)
        else:
            response = json_response({"service": info["title"], "version": info["version"], "routes": found})
        response.vary.add("Accept")
        return response

    @routes.get("/docs")
    def docs() -> Response:
        """Show the description to people, without a viewer of megabytes."""
        return _page("docs.html", info=info, documentation=_DOCUMENTATION, **reference)

    @routes.get("/docs/<name>")
    def documentation(name: str) -> Response:
        """Show one page of the documentation."""
        if name not in PAGES:
            abort(HTTPStatus.NOT_FOUND)
        return _page("documentation.html", info=info, documentation=_DOCUMENTATION, page=read_page(name))

    return routes


def _page(template: str, **values: Any) -> Response:
    response = Response(render_template(template, **values), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    return response


def _places(*, calls: bool, demo: bool) -> dict[str, str]:
    """Name the paths that somebody who is new here may want."""
    places = {"mint": "/token", "calls": "/calls", "docs": "/docs", "description": "/openapi.json"}
    places |= {"companion": "/static/realtime.js", "health": "/healthz", "demo": "/demo"}
    absent = {name for name, here in (("calls", calls), ("demo", demo)) if not here}
    return {name: path for name, path in places.items() if name not in absent}


def _reference(description: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what ``docs.html`` shows, once."""
    schemas, schemes = (description["components"].get(kind, {}) for kind in ("schemas", "securitySchemes"))
    return {
        "operations": tuple(_operations(description)),
        "bodies": {name: tuple(_members(schema)) for name, schema in schemas.items()},
        "credentials": {name: scheme.get("description", "") for name, scheme in schemes.items()},
    }


def _operations(description: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            yield Operation(
                method=method.upper(),
                path=path,
                summary=operation.get("summary", ""),
                description=operation.get("description", ""),
                credentials=tuple(name for one in operation.get("security", ()) for name in one),
                parameters=tuple(_parameter(one) for one in operation.get("parameters", ())),
                body=tuple((kind, _name(media.get("schema", {}))) for kind, media in content.items()),
                answers=tuple(
                    (status, answer["description"], _answered(answer))
                    for status, answer in operation["responses"].items()
                ),
            )


def _answered(answer: Mapping[str, Any]) -> str:
    names = [_name(media.get("schema", {})) for media in answer.get("content", {}).values()]
    return next((name for name in names if name), "")


def _parameter(parameter: Mapping[str, Any]) -> Member:
    return Member(
        parameter["name"],
        f"{_words(parameter['schema'])}, in the {parameter['in']}",
        bool(parameter.get("required")),
        parameter.get("description", ""),
    )


def _members(schema: Mapping[str, Any]) -> Iterator[Member]:
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        yield Member(name, _words(member), name in required, member.get("description", ""))


def _name(schema: Mapping[str, Any]) -> str:
    """Return the name of a schema that is referred to; empty for one that is written out."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _words(schema: Mapping[str, Any]) -> str:
    """Say in a few words what a schema allows."""
    if "$ref" in schema:
        return _name(schema)
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        shown = [str(value) for value in schema["enum"][:_MAX_WORDS]]
        return " | ".join([*shown, *(["…"] if len(schema["enum"]) > _MAX_WORDS else [])])
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(filter(None, map(_words, alternatives)))
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {_words(schema.get('items', {})) or 'anything'}"
    bounds = [
        f"{words} {schema[key]}" for key, words in (("minimum", "≥"), ("maximum", "≤")) if key in schema
    ]
    return " ".join([" or ".join(kind) if isinstance(kind, list) else kind, *bounds])
