"""The commands, each imported only when it is called: ``connect`` needs no Flask, ``issue-jwt`` no sockets."""

from __future__ import annotations

import importlib

import click

from service import __version__

_COMMANDS = {
    "demo": "service.demo.command:demo",
    "sandbox": "service.sandbox.command:sandbox",
    "serve": "service.serving.command:serve",
    "check": "service.check.command:check",
    "limits": "service.limits.command:limits",
    "calls": "service.calls.command:calls",
    "revoke": "service.calls.command:revoke",
    "policy": "service.policy.command:policy",
    "issue-jwt": "service.auth.command:issue_jwt",
    "connect": "service.companion.command:connect",
}


class LazyGroup(click.Group):
    """A group that imports a command when its name is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the names, in the order a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="realtime-token-service %(version)s")
def main() -> None:
    """Mint short-lived Realtime API secrets for your own apps; and try it all offline."""
