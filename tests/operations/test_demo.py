"""The demo, as somebody uses it in their first five minutes."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.support.demo import COMMAND, PrintedDemo, printed_demo
from tests.support.processes import PYTHON, ROOT, accepts_connections, bare_environ, free_port, wait_until
from tests.support.tools import require

PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


@pytest.fixture(scope="module")
def demo() -> Iterator[PrintedDemo]:
    """One that the tests below share; a real environment's variables are not even looked at."""
    with printed_demo(OPENAI_API_KEY="sk-canary", JWT_SECRET="short", PORT="not-a-port") as demo:
        yield demo


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder in which a demo has kept ports of this test's own."""
    folder = tmp_path / "cache" / "realtime-token-service"
    folder.mkdir(parents=True)
    ports = {"service": free_port(), "sandbox": free_port()}
    (folder / ".demo.json").write_text(json.dumps({"keys": {}, "ports": ports}))
    return folder.parent


def kept(cache: Path) -> Path:
    """Name the file of keys and ports."""
    return cache / "realtime-token-service" / ".demo.json"


def shell(line: str, cwd: Path) -> str:
    """Paste a line into a shell in some folder."""
    done = subprocess.run(
        ("sh", "-c", line),
        cwd=cwd,
        env=bare_environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [(), ("--tls",)], ids=["plain", "TLS"])
def test_what_it_prints_works_from_any_folder(options: tuple[str, ...], tmp_path: Path) -> None:
    require("curl")
    with printed_demo(*options, OPENAI_API_KEY="sk-canary") as demo:
        printed = {line.partition(" ")[0] for line in demo.run.output.splitlines() if line[:1].islower()}
        assert printed == {"curl", "env", "export"}, "a command that is printed, and not run below"
        assert json.loads(shell(f"{demo.curl} --silent", tmp_path))["value"].startswith("ek_")
        assert '"response.done"' in shell(demo.connect, tmp_path).splitlines()[-1]
        exports = "\n".join(line for line in demo.run.output.splitlines() if line.startswith("export "))
        curl = 'curl -sS "$TOKEN_SERVICE/token" -H "Authorization: Bearer $JWT" -H "Content-Type: application/json"'
        trust = '--cacert "$SSL_CERT_FILE"' if "--tls" in options else ""
        minted = json.loads(shell(f"{exports}\n{curl} {trust} -d {{}}", tmp_path))
        base = demo.exports["OPENAI_BASE_URL"].replace("http", "ws", 1)
        assert minted["connection"]["url"].startswith(f"{base}/realtime?")
        assert "sk-canary" not in demo.run.output


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


def test_an_origin_can_be_added() -> None:
    origin = "https://app.example.com"
    with printed_demo("--origin", origin) as demo:
        answer = requests.post(
            f"{demo.exports['TOKEN_SERVICE']}/token", headers={"Origin": origin}, timeout=10
        )
        assert answer.headers["Access-Control-Allow-Origin"] == origin


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


def test_a_restart_changes_neither_keys_nor_ports_nor_certificate(cache: Path) -> None:
    """What was pasted, a page that is open and a phone that trusts the certificate go on working."""
    with printed_demo("--tls", named_ports=False, XDG_CACHE_HOME=str(cache)) as first:
        before = first.exports
        trusted = cache / "trusted.pem"
        trusted.write_bytes(Path(before["SSL_CERT_FILE"]).read_bytes())
    with printed_demo("--tls", named_ports=False, XDG_CACHE_HOME=str(cache)) as second:
        headers = {"Authorization": f"Bearer {before['JWT']}"}
        url = before["TOKEN_SERVICE"]
        minted = requests.post(f"{url}/token", json={}, headers=headers, verify=trusted, timeout=10)
        assert minted.status_code == 200
        assert second.exports["OPENAI_BASE_URL"] == before["OPENAI_BASE_URL"]
    assert stat.S_IMODE(kept(cache).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept(cache).parent.stat().st_mode) == 0o700


def test_a_busy_port_is_passed_over_and_said(cache: Path) -> None:
    usual = json.loads(kept(cache).read_text())["ports"]["service"]
    with (
        closing(socket.create_server(("127.0.0.1", usual))),
        printed_demo(named_ports=False, XDG_CACHE_HOME=str(cache)) as demo,
    ):
        assert demo.port > usual
        assert f"Port {usual} is taken; the token service takes {demo.port}." in demo.run.output
        assert requests.get(demo.page, timeout=10).status_code == 200


def test_two_demos_run_beside_each_other(cache: Path) -> None:
    """With the same keys, on ports of their own; the first one's stay those of its next start."""
    environ = {"XDG_CACHE_HOME": str(cache)}
    with (
        printed_demo(named_ports=False, **environ) as first,
        printed_demo(named_ports=False, **environ) as second,
    ):
        assert first.port != second.port
        assert first.exports["OPENAI_BASE_URL"] != second.exports["OPENAI_BASE_URL"]
        assert json.loads(kept(cache).read_text())["ports"]["service"] == first.port


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


def test_its_page_is_served_and_all_of_it_ends_at_ctrl_c() -> None:
    with printed_demo() as demo:
        page = requests.get(demo.page, timeout=10)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        sandbox_port = int(demo.exports["OPENAI_BASE_URL"].split(":")[2].split("/")[0])
        os.kill(demo.run.pid, signal.SIGINT)
        assert demo.run.wait(20) == 0
        assert not accepts_connections(demo.port)
        assert not accepts_connections(sandbox_port)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda it: it.name)
def test_it_ends_by_each_signal_although_it_is_a_background_job(number: signal.Signals) -> None:
    """A shell has the background jobs of a script ignore SIGINT."""
    with printed_demo(prefix=IGNORING_SIGINT) as demo:
        os.kill(demo.run.pid, number)
        assert demo.run.wait(20) == 0
        assert not accepts_connections(demo.port)


def test_one_published_port_of_a_container_is_enough(tmp_path: Path) -> None:
    """The sandbox is reached through the token service, at an address that the machine around it knows."""
    with printed_demo("--host", "0.0.0.0") as demo:  # noqa: S104 - what a container needs
        assert demo.exports["OPENAI_BASE_URL"] == f"http://127.0.0.1:{demo.port}/sandbox/v1"
        assert '"response.done"' in shell(demo.connect, tmp_path).splitlines()[-1]
        outside = requests.get(f"http://127.0.0.1:{demo.port}/sandbox/sandbox/calls", timeout=10)
        assert outside.status_code == 404


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--live", "--lan"), "loopback only"),
        (("--live", "--host", "0.0.0.0"), "loopback only"),  # noqa: S104 - it is refused
        (("--lan", "--host", "127.0.0.1"), "--host"),
        (("--origin", "https://app.example.com/"), "without a path"),
        (("--live",), "OPENAI_API_KEY"),
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
    demo: PrintedDemo, tmp_path: Path, cache: Path
) -> None:
    """The sandbox is the vendor here."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-of-the-file\nREDIS_URL=redis://nowhere.invalid\n")
    upstream = demo.exports["OPENAI_BASE_URL"]
    environ = {"PYTHONPATH": str(ROOT), "OPENAI_BASE_URL": upstream}
    with printed_demo(
        "--live", named_ports=False, cwd=tmp_path, XDG_CACHE_HOME=str(cache), **environ
    ) as live:
        assert "billed to the key in OPENAI_API_KEY" in live.run.output
        assert "$0.05 a minute" in live.run.output
        assert "30 per 1 hour" in live.run.output
        url = live.exports["TOKEN_SERVICE"]
        for jwt, status in ((live.exports["JWT"], 200), (demo.exports["JWT"], 401)):
            headers = {"Authorization": f"Bearer {jwt}"}
            assert requests.post(f"{url}/token", json={}, headers=headers, timeout=10).status_code == status
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
