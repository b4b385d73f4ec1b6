"""The demo, as somebody uses it in their first five minutes."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from urllib.parse import urlsplit

import pytest
import requests

from service.demo.front import MAX_BODY_BYTES, MAX_REQUESTS, MAX_WEBSOCKETS
from service.demo.network import take_port
from service.demo.page import SIGN_INS
from tests.support.demo import COMMAND, PrintedDemo, RestartableDemo, kept_ports, printed_demo
from tests.support.processes import (
    PYTHON,
    ROOT,
    accepts_connections,
    bare_environ,
    free_port,
    shell,
    wait_until,
)
from tests.support.tools import require

PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


ADDED_ORIGIN = "https://added.example.com"

IGNORING_SIGINT = (
    PYTHON,
    "-c",
    """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, which has it ignored
os.execv(sys.argv[1], sys.argv[1:])
""",
)
"""A shell has the background jobs of a script ignore SIGINT."""


@pytest.fixture(scope="module")
def demo() -> Iterator[PrintedDemo]:
    """One that the tests below share; a real environment's variables are not even looked at."""
    environ = {"OPENAI_API_KEY": "sk-canary", "JWT_SECRET": "short", "PORT": "not-a-port"}
    with printed_demo("--origin", ADDED_ORIGIN, **environ) as demo:
        yield demo


def expect_end(demo: PrintedDemo, number: signal.Signals) -> None:
    """Send a signal, at which both servers end, and the demo without an error."""
    sandbox_port = urlsplit(demo.exports["OPENAI_BASE_URL"]).port or 0
    os.kill(demo.run.pid, number)
    assert demo.run.wait(20) == 0
    assert not accepts_connections(demo.port)
    assert not accepts_connections(sandbox_port)


@pytest.mark.parametrize(
    ("options", "ends_by"), [((), signal.SIGINT), (("--tls",), signal.SIGHUP)], ids=["plain", "TLS"]
)
def test_what_it_prints_works_from_any_folder_until_a_signal_ends_it(
    options: tuple[str, ...], ends_by: signal.Signals, tmp_path: Path
) -> None:
    """Also where it is a background job, which ignores SIGINT, and where the folder has a package of the same name."""
    require("curl")
    with printed_demo(*options, prefix=IGNORING_SIGINT, OPENAI_API_KEY="sk-canary") as demo:
        printed = {line.partition(" ")[0] for line in demo.run.output.splitlines() if line[:1].islower()}
        assert printed == {"curl", "env", "export"}, "a command that is printed, and not run below"
        assert json.loads(shell(f"{demo.curl} --silent", tmp_path))["value"].startswith("ek_")
        assert '"response.done"' in shell(demo.connect, tmp_path).splitlines()[-1]
        (tmp_path / "service").mkdir()
        (tmp_path / "service" / "__init__.py").touch()
        assert '"response.done"' in shell(demo.connect, tmp_path).splitlines()[-1]
        exports = "\n".join(line for line in demo.run.output.splitlines() if line.startswith("export "))
        curl = 'curl -sS "$TOKEN_SERVICE/token" -H "Authorization: Bearer $JWT" -H "Content-Type: application/json"'
        trust = '--cacert "$SSL_CERT_FILE"' if "--tls" in options else ""
        minted = json.loads(shell(f"{exports}\n{curl} {trust} -d {{}}", tmp_path))
        base = demo.exports["OPENAI_BASE_URL"].replace("http", "ws", 1)
        assert minted["connection"]["url"].startswith(f"{base}/realtime?")
        assert "sk-canary" not in demo.run.output
        expect_end(demo, ends_by)


def test_the_page_of_an_app_on_loopback_may_call_it_on_any_port(demo: PrintedDemo) -> None:
    for origin in (
        "http://127.0.0.1:5173",
        "http://localhost:3000",
        "http://[::1]:8080",
        "https://localhost",
    ):
        asked = requests.options(
            f"{demo.exports['TOKEN_SERVICE']}/token", headers={"Origin": origin, **PREFLIGHT}, timeout=10
        )
        assert asked.headers["Access-Control-Allow-Origin"] == origin
        assert asked.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
        refused = requests.post(
            f"{demo.exports['TOKEN_SERVICE']}/token", headers={"Origin": origin}, timeout=10
        )
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in refused.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "null",
        "capacitor://localhost",
        "http://[::1",
    ],
)
def test_no_other_page_may(demo: PrintedDemo, origin: str) -> None:
    answer = requests.post(f"{demo.exports['TOKEN_SERVICE']}/token", headers={"Origin": origin}, timeout=10)

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_page_may_call_the_admins_routes(demo: PrintedDemo) -> None:
    asked = requests.options(
        f"{demo.exports['TOKEN_SERVICE']}/admin/calls",
        headers={"Origin": "http://localhost:3000", **PREFLIGHT},
        timeout=10,
    )

    assert "Access-Control-Allow-Origin" not in asked.headers


def test_an_origin_can_be_added(demo: PrintedDemo) -> None:
    asked = {"Origin": ADDED_ORIGIN}
    answer = requests.post(f"{demo.exports['TOKEN_SERVICE']}/token", headers=asked, timeout=10)

    assert answer.headers["Access-Control-Allow-Origin"] == ADDED_ORIGIN


def test_each_request_is_a_line_that_says_who_what_and_why_not(demo: PrintedDemo) -> None:
    url, jwt = demo.exports["TOKEN_SERVICE"], {"Authorization": f"Bearer {demo.exports['JWT']}"}
    requests.post(f"{url}/token", json={}, headers=jwt, timeout=10)
    requests.post(f"{url}/token", json={"model": "nobody's"}, headers=jwt, timeout=10)
    requests.post(f"{url}/token", headers={"Origin": "https://app.example.com"}, timeout=10)
    requests.get(f"{url}/\x1b[2Jnothing?access_token=canary", timeout=10)

    def told() -> list[str]:
        lines = demo.run.output.splitlines()
        return [line for line in lines if "  demo-user  " in line or "  -  " in line]

    wait_until(lambda: any("nothing" in line for line in told()), seconds=10, what="the last line")
    assert any("POST /token  demo-user  200  " in line for line in told())
    assert any("  403  " in line and "model_not_allowed" in line for line in told())
    assert any("--origin https://app.example.com" in line for line in told())
    assert "canary" not in demo.run.output
    assert "\x1b[2J" not in demo.run.output


def test_a_restart_changes_neither_keys_nor_ports_nor_certificate(tmp_path: Path) -> None:
    """What was pasted, a page that is open and a phone that trusts the certificate go on working."""
    demo = RestartableDemo(tmp_path, "--tls")
    before = demo.printed.exports
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(Path(before["SSL_CERT_FILE"]).read_bytes())
    demo.restart()
    headers = {"Authorization": f"Bearer {before['JWT']}"}
    url = before["TOKEN_SERVICE"]
    minted = requests.post(f"{url}/token", json={}, headers=headers, verify=trusted, timeout=10)
    after = demo.printed.exports
    demo.stop()
    assert minted.status_code == 200
    assert after["OPENAI_BASE_URL"] == before["OPENAI_BASE_URL"]
    (kept,) = tmp_path.glob("*/.demo.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_two_demos_run_beside_each_other(tmp_path: Path) -> None:
    """With the same keys, on ports of their own; the first one's stay those of its next start."""
    kept = kept_ports(tmp_path)
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    with (
        printed_demo(named_ports=False, **environ) as first,
        printed_demo(named_ports=False, **environ) as second,
    ):
        assert f"Port {first.port} is taken; the token service takes {second.port}." in second.run.output
        assert first.exports["OPENAI_BASE_URL"] != second.exports["OPENAI_BASE_URL"]
        assert json.loads(kept.read_text())["ports"]["service"] == first.port
        assert requests.get(second.page, timeout=10).status_code == 200


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(tmp_path: Path) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    environ = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"), proxy)
    with printed_demo(named_ports=False, XDG_CACHE_HOME=str(tmp_path), **environ) as demo:
        assert requests.get(demo.page, timeout=10).status_code == 200


def test_a_port_of_another_program_is_passed_over() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        assert port < take_port("127.0.0.1", None, port, lambda _: True) < port + 100


@pytest.mark.parametrize("option", ["--port", "--sandbox-port"])
def test_a_named_port_that_is_taken_is_an_error_of_one_line(option: str) -> None:
    with closing(socket.create_server(("127.0.0.1", free_port()))) as other:
        port = str(other.getsockname()[1])
        named = ["--port", str(free_port())] if option != "--port" else []
        done = subprocess.run(
            [*COMMAND, *named, option, port],
            cwd=ROOT,
            env=bare_environ(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr


@pytest.fixture(scope="module")
def published() -> Iterator[PrintedDemo]:
    """One that is reached from outside, as in a container."""
    with printed_demo("--host", "0.0.0.0") as demo:  # noqa: S104 - what a container needs
        yield demo


def test_one_published_port_of_a_container_is_enough(published: PrintedDemo, tmp_path: Path) -> None:
    """The sandbox is reached through the token service, at an address that the machine around it knows."""
    assert published.exports["OPENAI_BASE_URL"] == f"http://127.0.0.1:{published.port}/sandbox/v1"
    assert '"response.done"' in shell(published.connect, tmp_path).splitlines()[-1]
    outside = requests.get(f"http://127.0.0.1:{published.port}/sandbox/sandbox/calls", timeout=10)
    assert outside.status_code == 404


def open_websocket(port: int) -> tuple[int, socket.socket]:
    """Ask for a session at the sandbox, as anybody on the network can; gives the status."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(
        b"GET /sandbox/v1/realtime?model=gpt-realtime-2.1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        b"Authorization: Bearer sk-anybody\r\n\r\n"
    )
    return int(client.recv(12)[9:]), client


def test_a_body_for_the_sandbox_that_is_too_long_is_refused_and_not_cut(published: PrintedDemo) -> None:
    url = f"http://127.0.0.1:{published.port}/sandbox/v1/realtime/client_secrets"
    answer = requests.post(url, data=bytes(MAX_BODY_BYTES + 1), timeout=10)
    assert (answer.status_code, answer.text) == (
        413,
        f"The body is too large; at most {MAX_BODY_BYTES} bytes are accepted.\n",
    )


def test_one_address_is_given_so_many_users(published: PrintedDemo) -> None:
    """Each has limits, calls and minutes of its own."""
    with requests.Session() as page:
        answers = [
            page.post(f"http://127.0.0.1:{published.port}/demo/jwt", timeout=10)
            for _ in range(SIGN_INS.amount + 1)
        ]
    assert answers[0].ok
    assert (answers[-1].status_code, answers[-1].json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= SIGN_INS.seconds


def test_a_client_may_still_send_when_the_sandbox_has_closed(published: PrintedDemo) -> None:
    """What it had on its way is read: unread, it would reset the connection, and could take the Close frame along."""
    status, client = open_websocket(published.port)
    with client:
        client.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
        received = b"".join(iter(lambda: client.recv(65_536), b""))
        client.sendall(b"late")
        connection = select.poll()
        connection.register(client, 0)  # tells of a reset all the same
        assert connection.poll(500) == []
    assert status == 101
    assert received.endswith(b"\x88\x02\x03\xe8")


def test_what_the_network_can_take_of_the_sandbox_is_bounded(published: PrintedDemo) -> None:
    """WebSockets, and requests that are not answered: those beyond are refused, and the service goes on."""
    url = f"http://127.0.0.1:{published.port}"
    hanging = {"session": {"type": "realtime", "model": "fault-hang"}}
    mints, key = f"{url}/sandbox/v1/realtime/client_secrets", {"Authorization": "Bearer sk-anybody"}
    answers = Queue[int]()

    def mint() -> None:
        with suppress(requests.RequestException):  # the demo ends before they are answered
            answers.put(requests.post(mints, json=hanging, headers=key, timeout=60).status_code)

    with ExitStack() as stack:
        statuses = []
        for _ in range(MAX_WEBSOCKETS + 5):
            status, client = open_websocket(published.port)
            stack.enter_context(client)
            statuses.append(status)
        assert statuses == [101] * MAX_WEBSOCKETS + [503] * 5
        for _ in range(MAX_REQUESTS + 5):
            Thread(target=mint, daemon=True).start()
        assert [answers.get(timeout=20) for _ in range(5)] == [503] * 5
        assert requests.get(f"{url}/healthz", timeout=10).ok

    def is_admitted() -> bool:
        status, client = open_websocket(published.port)
        client.close()
        return status == 101

    wait_until(is_admitted, seconds=10, what="a place")


def test_a_demo_with_many_clients_ends_all_the_same(published: PrintedDemo) -> None:
    expect_end(published, signal.SIGTERM)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--live", "--lan"), "loopback only"),
        (("--live", "--host", "0.0.0.0"), "loopback only"),  # noqa: S104 - it is refused
        (("--lan", "--host", "127.0.0.1"), "--host"),
        (("--origin", "https://app.example.com/"), "without a path"),
        (("--live",), "OPENAI_API_KEY"),
        (("--host", "203.0.113.5"), "cannot listen on 203.0.113.5"),
        (("--host", "nowhere.invalid"), "cannot listen on nowhere.invalid"),
        (("--port", "17001", "--sandbox-port", "17001"), "taken"),
    ],
)
def test_what_cannot_be_is_refused_in_words(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, *options],
        cwd=tmp_path,
        env=bare_environ(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_live_is_the_vendor_with_the_key_of_the_env_file_and_says_what_it_costs(
    demo: PrintedDemo, tmp_path: Path
) -> None:
    """The sandbox is the vendor here, which the page does not take for one: a gateway may be on loopback, too."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-of-the-file\nREDIS_URL=redis://nowhere.invalid\n")
    upstream = demo.exports["OPENAI_BASE_URL"]
    environ = {"PYTHONPATH": str(ROOT), "OPENAI_BASE_URL": upstream}
    kept_ports(tmp_path / "cache")
    cache = str(tmp_path / "cache")
    with printed_demo("--live", named_ports=False, cwd=tmp_path, XDG_CACHE_HOME=cache, **environ) as live:
        assert "billed to the key in OPENAI_API_KEY" in live.run.output
        assert "$0.05 a minute" in live.run.output
        assert "30 per 1 hour" in live.run.output
        assert "calls: 30 minutes in 1 day, " in " ".join(live.run.output.split())
        url = live.exports["TOKEN_SERVICE"]
        for jwt, status in ((live.exports["JWT"], 200), (demo.exports["JWT"], 401)):
            headers = {"Authorization": f"Bearer {jwt}"}
            assert requests.post(f"{url}/token", json={}, headers=headers, timeout=10).status_code == status
        assert "cost money" in requests.get(live.page, timeout=10).text
        rebound = requests.get(live.page, headers={"Host": "attacker.example"}, timeout=10)
        assert rebound.status_code == 421
        assert "sk-of-the-file" not in live.run.output
    mints = requests.get(upstream.removesuffix("/v1") + "/sandbox/mints", timeout=10).json()["mints"]
    assert mints[-1]["key_sha256"] == hashlib.sha256(b"sk-of-the-file").hexdigest()


def test_connect_prints_the_answer_alone_on_a_terminal(demo: PrintedDemo, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    done = subprocess.run(
        ("sh", "-c", demo.connect), cwd=tmp_path, env=bare_environ(), stdout=slave, timeout=60, check=True
    )
    os.close(slave)
    printed = os.read(master, 65_536).decode()
    os.close(master)
    assert done.returncode == 0
    assert "Say hello in one sentence." in printed
    assert "{" not in printed
    assert printed.endswith("\r\n")


def test_connect_opens_a_call_and_ends_it(demo: PrintedDemo, tmp_path: Path) -> None:
    events = [json.loads(line) for line in shell(f"{demo.connect} --call", tmp_path).splitlines()]
    assert events[-1]["type"] == "response.done"
    headers = {"Authorization": f"Bearer {demo.exports['JWT']}"}
    calls = requests.get(f"{demo.exports['TOKEN_SERVICE']}/calls", headers=headers, timeout=10).json()[
        "calls"
    ]
    assert [call for call in calls if call["state"] == "open"] == []


def test_a_call_that_connect_ends_is_ended_by_the_service(demo: PrintedDemo, tmp_path: Path) -> None:
    """Before its client closes: whether a call still runs that its client has just left, nobody could tell."""
    shell(f"{demo.connect} --call", tmp_path)
    sandbox = demo.exports["OPENAI_BASE_URL"].removesuffix("/v1")
    calls = requests.get(f"{sandbox}/sandbox/calls", timeout=10).json()["calls"]
    assert calls[-1]["ended_by"] == "hangup"


def test_connect_says_a_sound_to_gpt_live(demo: PrintedDemo, tmp_path: Path) -> None:
    require("espeak-ng")
    subprocess.run(("espeak-ng", "-w", tmp_path / "hello.wav", "Hello, can you hear me?"), check=True)
    events = shell(f"{demo.connect} --call --model gpt-live-1.1 --sound hello.wav", tmp_path).splitlines()
    assert any(json.loads(line)["type"] == "session.output_transcript.delta" for line in events)
