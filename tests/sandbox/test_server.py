"""The sandbox as a command: its output, its TLS certificate, its end."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from cryptography import x509

from service.sandbox.tls import write_certificate
from tests.support.forks import start_fork
from tests.support.processes import PYTHON, Running, bare_environ, running
from tests.support.realtime import CREATE, KEY, bearing, line
from tests.support.tools import require

_ALONE = (PYTHON, "-m", "service.sandbox")


def _is_up(run: Running) -> bool:
    return "sandbox: " in run.output


@pytest.fixture(scope="module")
def secure() -> Iterator[tuple[str, Path]]:
    """A sandbox with TLS: its address, and the certificate to trust."""
    command = (*_ALONE, "--tls", "--port", "0")
    with running(command, environ=bare_environ(), ready=_is_up, start=start_fork) as run:
        certificate, address = run.output.splitlines()
        yield address.removeprefix("sandbox: "), Path(certificate.removeprefix("certificate: "))


def test_it_prints_one_line_once_it_serves() -> None:
    """Port 0 becomes a free one; after the line, connections are accepted."""
    with running((*_ALONE, "--port", "0"), environ=bare_environ(), ready=_is_up) as run:
        (address,) = run.output.splitlines()
        assert address.startswith("sandbox: http://127.0.0.1:")
        assert address.endswith("/v1")
        assert requests.get(f"{address.removeprefix('sandbox: ')}/models", headers=KEY, timeout=10).ok


def test_no_session_ticket_follows_a_handshake(secure: tuple[str, Path]) -> None:
    """A client that reads and sends in two threads, as the vendor's Python SDK does, may trip over a ticket."""
    address, certificate = secure
    host, _, port = address.removeprefix("https://").removesuffix("/v1").rpartition(":")
    context = ssl.create_default_context(cafile=certificate)
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 401"
        assert connection.version() == "TLSv1.3"
        assert connection.session is None or not connection.session.has_ticket


def test_its_log_says_at_each_session_that_no_model_answers() -> None:
    """Nobody should take what it says for the model's words."""
    with running((*_ALONE, "--port", "0"), environ=bare_environ(), ready=_is_up, start=start_fork) as run:
        url = run.output.split()[1]
        for number in (1, 2):
            with line(url, **bearing("sk-test")) as client:
                client.until("session.created")
            assert run.output.count("/v1/realtime opens. No model is behind this session") == number


def test_it_serves_ipv6() -> None:
    """The printed address has the form of a URL."""
    with running(
        (*_ALONE, "--host", "::1", "--port", "0"), environ=bare_environ(), ready=_is_up, start=start_fork
    ) as run:
        url = run.output.split()[1]
        assert url.startswith("http://[::1]:")
        assert requests.get(f"{url}/models", headers=KEY, timeout=10).ok


def test_variables_for_other_servers_have_no_effect() -> None:
    """Its memory is in one process: with two, each would know half of the secrets."""
    environ = bare_environ(WEB_CONCURRENCY="4", GUNICORN_CMD_ARGS="--workers 4 --bind 127.0.0.1:1")
    with running((*_ALONE, "--port", "0"), environ=environ, ready=_is_up) as run:
        workers = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        assert len(workers) == 1


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_soon_and_closes_open_websockets(sent: signal.Signals) -> None:
    """A person who presses Ctrl-C should not wait, and a page should learn of it."""
    with running((*_ALONE, "--port", "0"), environ=bare_environ(), ready=_is_up, start=start_fork) as run:
        with line(run.output.split()[1], **bearing("sk-test")) as client:
            client.until("session.created")
            before = time.monotonic()
            os.kill(run.pid, sent)
            client.listen()
            assert client.closed == (1001, "the sandbox ends")
        assert run.wait() == 0
        assert time.monotonic() - before < 5
        assert "Traceback" not in run.output


def test_a_port_in_use_is_an_error() -> None:
    """Nothing is printed that looks like success."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            (*_ALONE, "--port", port),
            env=bare_environ(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode != 0
    assert "in use" in ended.stderr
    assert "sandbox:" not in ended.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_requests_and_websockets_trust_the_certificate(secure: tuple[str, Path], host: str) -> None:
    """Under both names, once it is configured; a whole conversation runs over it."""
    url, authority = secure[0].replace("127.0.0.1", host), secure[1]
    assert requests.get(f"{url}/models", headers=KEY, verify=str(authority), timeout=10).ok
    with line(url, sslopt={"ca_certs": str(authority)}, **bearing("sk-test")) as client:
        client.send(CREATE)
        assert client.until("response.done")["response"]["status"] == "completed"


def test_a_client_without_the_authority_does_not_trust_it(secure: tuple[str, Path]) -> None:
    """Each run has an authority of its own."""
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{secure[0]}/models", headers=KEY, timeout=10)


@pytest.mark.parametrize("client", ["node", "curl"])
def test_other_clients_trust_the_certificate(secure: tuple[str, Path], client: str) -> None:
    """Node by its variable, curl by its option."""
    require(client)
    url, authority = secure
    commands = {
        "node": ("node", "-e", f"fetch('{url}/models').then(answer => console.log(answer.status))"),
        "curl": (
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--cacert",
            str(authority),
            f"{url}/models",
        ),
    }
    environ = bare_environ(NODE_EXTRA_CA_CERTS=str(authority))
    done = subprocess.run(
        commands[client], env=environ, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "401"


def test_the_key_is_private_and_deleted_afterwards() -> None:
    """Only its owner can read it while the sandbox runs; afterwards it is gone."""
    with running(
        (*_ALONE, "--tls", "--port", "0"), environ=bare_environ(), ready=_is_up, start=start_fork
    ) as run:
        authority = Path(run.output.split()[1])
        assert authority.parent.stat().st_mode & 0o077 == 0
        assert (authority.parent / "server.key").stat().st_mode & 0o077 == 0
        run.stop()
    assert not authority.parent.exists()


def test_the_authoritys_key_is_never_written(tmp_path: Path) -> None:
    """So the authority that a developer trusts can sign no other certificate."""
    files = write_certificate(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "PRIVATE" in path.read_text()] == ["server.key"]
    server, authority = x509.load_pem_x509_certificates(
        files.chain.read_bytes() + files.authority.read_bytes()
    )
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["localhost", "127.0.0.1", "::1"]
    server.verify_directly_issued_by(authority)


def test_clients_that_check_strictly_trust_the_certificate(secure: tuple[str, Path]) -> None:
    """Python 3.13 and newer hold certificates to RFC 5280 by default."""
    url, authority = urlsplit(secure[0]), secure[1]
    context = ssl.create_default_context(cafile=str(authority))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection((url.hostname, url.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.getpeercert()
