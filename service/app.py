"""Build the Flask app: the one module that knows every part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from service.auth.factory import build as build_authenticator
from service.auth.revocations import Revocations
from service.calls.factory import Calls
from service.calls.factory import build as build_calls
from service.calls.rules import CallRules
from service.calls.vendor_calls import CallsAtVendor
from service.exchange import Exchange
from service.http import responses
from service.http.admin import Admin, admin_routes
from service.http.calls import absent_call_routes, call_routes
from service.http.pages import page_routes
from service.http.probes import Watched, describe, probe_routes
from service.http.routes import EVENTS, Services, token_routes
from service.limits import build as build_limits
from service.observe.call_events import CallEvents, OpenCalls
from service.observe.metrics import Metrics, NullMetrics
from service.policy import build as build_policy
from service.settings import Settings
from service.store import MemoryStore, Store
from service.store import build as build_store
from service.vendors.control_sockets import ControlSockets
from service.vendors.network import Network
from service.vendors.transport import Transport


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: none here is asynchronous, and Flask would look at each of them each time."""
        return func


def create_app(settings: Settings) -> Flask:
    """Build the app. Nothing outside the app is touched, and no socket is opened before the first request.

    Logs are configured by whoever runs the process: ``serving.gunicorn_conf``, ``wsgi``, a command.
    """
    app = _App("service", static_folder="static", template_folder="templates")
    app.url_map.merge_slashes = False  # a redirect to the merged path would name this host in the clear
    network = settings.vendor.network
    store = build_store(settings.store)
    revocations = Revocations(
        store, max_lifetime=settings.auth.jwt_max_lifetime, leeway=settings.auth.jwt_leeway
    )
    limits = build_limits(settings.limits, store, read_along=revocations)
    limits.init_app(app)
    authenticator = build_authenticator(
        settings.auth,
        network=network,
        pseudonym_key=settings.pseudonym_key,
        store=store,
    )
    metrics = Metrics() if settings.observe.metrics_token else NullMetrics()
    policy = build_policy(settings.policy, settings.vendor.vendor.layout)
    services = Services(
        exchange=Exchange(authenticator, policy, limits),
        vendor=settings.vendor.vendor,
        models=frozenset(settings.policy.allowed_models),
        transport=build_transport(settings, network),
        endpoint=settings.vendor.endpoint,
        http=settings.http,
    )
    calls = build_calls_of(settings, store, services, metrics, revocations)
    if calls:
        app.extensions["calls"] = calls
        app.before_request(calls.keep)
    responses.install(app, settings.http, metrics=metrics, events=EVENTS)
    app.register_blueprint(token_routes(services))
    if settings.policy.call_types:
        app.register_blueprint(call_routes(services, calls) if calls else absent_call_routes(services))
    if admin_token := settings.calls.admin_token:
        admin = Admin(limits, revocations, calls, settings.pseudonym_of, settings.http)
        app.register_blueprint(admin_routes(admin, token=admin_token.get_secret_value()))
    token, layout = settings.observe.metrics_token, services.vendor.layout
    description = describe(
        longest_life=settings.policy.token_max_ttl,
        profiles=bool(settings.policy.session_policy and settings.policy.session_policy.profiles),
        drop_in=services.vendor.drop_in,
        expiry=layout.has_expiry,
        calls=calls is not None and bool(settings.policy.call_types),
    )
    app.register_blueprint(page_routes(description))
    app.register_blueprint(
        probe_routes(
            Watched(
                limits,
                authenticator.key_sets,
                metrics,
                calls.keeper if calls and settings.policy.call_types else None,
                settings.auth.has_configured_keys,
            ),
            metrics_token=token.get_secret_value() if token else None,
            addresses=settings.http.addresses,
            description=description,
        )
    )
    return app


def build_calls_of(
    settings: Settings, store: Store, services: Services, metrics: Metrics, revocations: Revocations
) -> Calls | None:
    """Make the part that keeps calls, where the vendor has any.

    On Redis that is so with ``CALL_TYPES=none`` too: calls that were opened before are to be ended.
    """
    api = services.vendor.calls
    if api is None or (isinstance(store, MemoryStore) and not settings.policy.call_types):
        return None
    sockets = ControlSockets(
        settings.vendor.openai_base_url,
        credential=settings.vendor.credential,
        network=settings.vendor.network,
    )
    calls = build_calls(
        settings.calls,
        CallRules.from_settings(settings.calls, settings.limits, read_along=revocations),
        store=store,
        vendor=CallsAtVendor(api, services.transport, sockets).questions,
        upstream_timeout=settings.vendor.upstream_timeout,
        events=CallEvents(metrics.calls),
    )
    metrics.ask_at_scrape(OpenCalls(calls.registry.counts))
    return calls


def build_transport(settings: Settings, network: Network) -> Transport:
    """Build the transport to the vendor."""
    return Transport(
        settings.vendor.openai_base_url,
        credential=settings.vendor.credential,
        network=network,
        timeout=settings.vendor.upstream_timeout,
        connections=settings.server.web_connections,
    )
