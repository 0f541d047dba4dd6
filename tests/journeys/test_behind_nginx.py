"""The server behind a real nginx, with the file of app/deployment/: TLS, limits, headers."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path

import pytest

from tests.journeys.server import ROOT, Server, free_port, start_server, stop_server, wait_until

NAME = "veriscan.hospital.org"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]


@dataclass(frozen=True)
class Front:
    """A running nginx before a running Veriscan."""

    server: Server
    http_port: int
    https_port: int
    certificate: Path

    def get(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> tuple[HTTPResponse, bytes]:
        """Ask over TLS, whose certificate is checked."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = HTTPSConnection("127.0.0.1", self.https_port, context=context, timeout=30)
        connection.sock = context.wrap_socket(_connected(self.https_port), server_hostname=NAME)
        connection.request(method, path, body=body, headers={"Host": NAME} | (headers or {}))
        response = connection.getresponse()
        read = response.read()
        connection.close()
        return response, read


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, decided_weights_dir: Path) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    server = start_server(
        folder,
        decided_weights_dir,
        VERISCAN_TRUSTED_PROXIES="1",
        VERISCAN_SECURE_COOKIES="true",
        VERISCAN_TRUSTED_HOSTS=f"{NAME},127.0.0.1",
        VERISCAN_LOG_FORMAT="json",
    )
    ports = free_port(), free_port()
    _make_certificate(folder)
    (folder / "nginx.conf").write_text(_configuration(folder, server, *ports))
    assert NGINX
    nginx = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    found = Front(server, *ports, folder / "fullchain.pem")
    _wait_for(found)
    yield found
    nginx.send_signal(signal.SIGQUIT)
    nginx.wait(30)
    assert stop_server(server) == 0


def _make_certificate(folder: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"),
            *("-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")),
        ],
        check=True,
        capture_output=True,
    )


def _configuration(folder: Path, server: Server, http_port: int, https_port: int) -> str:
    """Return the file of the project, with only ports and paths of this test in it."""
    site = (ROOT / "app" / "deployment" / "nginx.conf").read_text()
    for old, new in {
        "127.0.0.1:8000": server.url.removeprefix("http://"),
        "listen 80;": f"listen 127.0.0.1:{http_port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{https_port} ssl;",
        "/etc/ssl/veriscan/": f"{folder}/",
        "/var/log/nginx/": f"{folder}/",
    }.items():
        assert site.count(old) >= 1, old
        site = site.replace(old, new)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"{'user root;' if os.geteuid() == 0 else ''}\nevents {{}}\n"
        f"http {{ {temporary} {site} }}\n"
    )


def _wait_for(front: Front) -> None:
    for _ in range(100):
        try:
            if front.get("/healthz")[0].status == 200:
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("nginx does not answer")


def test_http_is_led_to_https(front: Front) -> None:
    connection = HTTPConnection("127.0.0.1", front.http_port, timeout=30)
    connection.request("GET", "/sign-in", headers={"Host": NAME})
    response = connection.getresponse()
    response.read()
    connection.close()

    assert response.status == 308
    assert response.headers["Location"] == f"https://{NAME}/sign-in"


def test_a_script_that_speaks_http_is_not_led_on(front: Front) -> None:
    connection = HTTPConnection("127.0.0.1", front.http_port, timeout=30)
    connection.request("GET", "/api/v1/modalities", headers={"Host": NAME})

    assert connection.getresponse().status == 403
    connection.close()


def test_nginx_logs_no_query_strings(front: Front) -> None:
    front.get("/reset-password?link=Sentinel-secret")

    log = front.certificate.parent / "veriscan.log"
    wait_until(lambda: '"GET /reset-password" ' in log.read_text())  # written after the answer
    assert "Sentinel-secret" not in log.read_text()


def test_pages_come_over_tls_with_hsts_and_secure_cookies(front: Front) -> None:
    response, _ = front.get("/sign-in")

    assert response.status == 200
    assert "max-age=31536000" in response.headers["Strict-Transport-Security"]
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-veriscan=")
    assert "Secure" in cookie
    assert "HttpOnly" in cookie


def test_a_client_cannot_say_where_it_comes_from_or_what_it_asked_for(front: Front) -> None:
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Prefix": "/evil",
        "X-Request-ID": "chosen-by-the-client",
    }
    response, body = front.get("/account", lies)

    assert response.status == 302
    assert response.headers["Location"].startswith("/sign-in")
    assert b"evil" not in body
    assert response.headers["X-Request-ID"] != "chosen-by-the-client"
    assert "6.6.6.6" not in front.server.log.read_text()


def test_the_log_is_json_and_has_the_id_that_nginx_gave(front: Front) -> None:
    response, _ = front.get("/sign-in?name=Sentinel")
    wanted = response.headers["X-Request-ID"]

    def lines_of_it() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in front.server.log.read_text().splitlines()]
        return [line for line in lines if line.get("request_id") == wanted]

    found = wait_until(lines_of_it)  # written after the answer
    assert found[0]["path"] == "/sign-in"
    assert str(found[0]["status"]) == "200"
    assert "Sentinel" not in front.server.log.read_text()


def test_a_name_that_is_not_trusted_is_refused_and_metrics_are_not_for_outside(
    front: Front,
) -> None:
    assert front.get("/sign-in", {"Host": "evil.example"})[0].status == 400
    assert front.get("/metrics")[0].status == 404
    connection = HTTPConnection(front.server.url.removeprefix("http://"), timeout=30)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    assert b"veriscan_http_requests_total" in response.read()
    connection.close()


def test_an_upload_beyond_the_limit_is_refused_with_its_reason(front: Front) -> None:
    limit = 513 * 2**20

    def told(length: int) -> int:
        context = ssl.create_default_context(cafile=str(front.certificate))
        sock = context.wrap_socket(_connected(front.https_port), server_hostname=NAME)
        head = f"POST /analyses HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {length}\r\n\r\n"
        sock.sendall(head.encode())
        status = int(sock.recv(64).split()[1])
        sock.close()
        return status

    assert told(limit + 1) == 413
    big = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n" + b"x" * 2**21 + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Authorization": "Bearer x"}
    assert front.get("/api/v1/analyses", headers, "POST", big)[0].status in (401, 413)
