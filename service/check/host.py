"""Check the hosting platform: the proxies in front, and how many processes may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.check.finding import Finding, ok, problem, warning
from service.http.client_address import AddressSource


@dataclass(frozen=True, slots=True)
class Host:
    """A hosting platform, known by a variable it sets.

    ``hops`` is how many proxies append an address, and ``header`` the one in which the host puts the client's.
    """

    name: str
    variable: str
    hops: int | None
    header: str | None = None


HEROKU = Host("Heroku", "DYNO", 1)  # https://devcenter.heroku.com/articles/http-routing#heroku-headers
HOSTS = (
    HEROKU,
    # https://render.com/docs/web-services: a CDN stands before the platform's own balancer
    Host("Render", "RENDER", 2),
    # Each of these has at least one; a load balancer or a CDN of one's own adds to it.
    Host("Fly.io", "FLY_APP_NAME", None, "Fly-Client-IP"),  # https://fly.io/docs/networking/request-headers/
    Host("Railway", "RAILWAY_ENVIRONMENT_ID", None),
    Host("Google Cloud Run", "K_SERVICE", None),
    Host("Kubernetes", "KUBERNETES_SERVICE_HOST", None),
)

_OWN_FILES = 64
"""File descriptors a process needs beside its connections: logs, metrics, storage, key sets."""


def find_host(environ: Mapping[str, str]) -> Host | None:
    """Tell which platform this is, if one is known."""
    return next((host for host in HOSTS if environ.get(host.variable)), None)


def check_proxies(host: Host | None, addresses: AddressSource) -> Finding:
    """Say whether ``TRUSTED_PROXY_HOPS``, or ``CLIENT_ADDRESS_HEADER`` instead, fits the host.

    Too few hops, and all callers share the router's address; too many, and a caller may choose the address
    that its failures are counted by.
    """
    where, hops = host.name if host else "an unknown host", addresses.hops
    if addresses.header:
        return ok("proxies", f"CLIENT_ADDRESS_HEADER={addresses.header} on {where}, trusted on every request")
    seen = f"TRUSTED_PROXY_HOPS={hops} on {where}"
    if host is None:
        return ok("proxies", seen + (", right where callers connect directly" if hops == 0 else ""))
    if hops == 0:
        by_header = f" (or CLIENT_ADDRESS_HEADER={host.header})" if host.header else ""
        fix = f"set TRUSTED_PROXY_HOPS={host.hops or 1}{by_header}, or all callers share one address"
        return problem("proxies", seen, fix)
    if host.hops is not None and hops != host.hops:
        return problem(
            "proxies", seen, f"set TRUSTED_PROXY_HOPS={host.hops} unless proxies of your own add to it"
        )
    return ok("proxies", seen)


def check_workers(
    host: Host | None, *, wanted: int, in_memory: bool, connections: int, files: int
) -> Finding:
    """Say how many processes will run. ``files`` is how many descriptors each may have open.

    Heroku sets ``WEB_CONCURRENCY`` by itself, so there nobody may have asked for so many.
    """
    seen = f"WEB_CONCURRENCY={wanted}, WEB_CONNECTIONS={connections}"
    if in_memory and wanted > 1:
        report = warning if host == HEROKU else problem
        return report(
            "workers",
            f"{seen}, but limits are counted in memory, so only one process will run",
            "set RATE_LIMIT_STORAGE_URL to a Redis, or WEB_CONCURRENCY=1",
        )
    # A request in flight holds its caller's connection and one to the vendor.
    needed = 2 * connections + _OWN_FILES
    if files < needed:
        return problem(
            "workers",
            f"{seen}, but a process may open {files} files only",
            f"raise the limit (ulimit -n) to {needed}, or lower WEB_CONNECTIONS",
        )
    return ok("workers", seen)
