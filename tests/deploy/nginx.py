"""A real nginx with the site of deploy/nginx.conf: only host name, ports, certificate and folders are other ones."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests import parts
from tests.parts import ROOT
from tests.smtp_sink import free_port

HOST = "news.localhost"  # every name below localhost leads to this machine (RFC 6761 §6.3)
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{}}
http {{
    include {mime_types};
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Where it listens, and where its files are."""

    folder: Path
    http_port: int
    https_port: int

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.https_port}"

    @property
    def access_log(self) -> Path:
        return self.folder / "access.log"

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    def command(self, *more: str) -> list[str]:
        return [nginx_path(), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr", *more]

    def start(self, *, mark: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start it; `mark` is put into its environment, so that it is found with what it stands in front of."""
        process = subprocess.Popen(
            self.command(), env={**os.environ, **mark}, stdin=subprocess.DEVNULL, start_new_session=True
        )
        parts.wait_until(lambda: (self.folder / "nginx.pid").exists(), what="nginx")
        return process

    def trust(self) -> ssl.SSLContext:
        """Return what a client needs to trust its certificate."""
        return ssl.create_default_context(cafile=str(self.authority))


def find_nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def nginx_path() -> str:
    found = find_nginx()
    if found is None:
        parts.skip("nginx is not installed (apt-get install nginx)")
    return str(found)


def write_site(folder: Path, *, web_port: int, flower_port: int) -> Nginx:
    """Write the configuration, with a certificate of an authority of its own."""
    nginx_path()  # skips where there is none
    nginx = Nginx(folder, free_port(), free_port())
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
    authority.cert_pem.write_to_path(nginx.authority)
    mime_types = next(
        path for path in ("/etc/nginx/mime.types", "/usr/local/etc/nginx/mime.types") if Path(path).exists()
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(user=user, folder=folder, mime_types=mime_types))
    (folder / "site.conf").write_text(_our_places(nginx, web_port=web_port, flower_port=flower_port))
    return nginx


def _our_places(nginx: Nginx, *, web_port: int, flower_port: int) -> str:
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"^\s*listen \[::\]:.*\n", "", text, flags=re.MULTILINE)
    changes = {
        r"listen 80\b": f"listen 127.0.0.1:{nginx.http_port}",
        r"listen 443\b": f"listen 127.0.0.1:{nginx.https_port}",
        r"https://news\.example\.com\$": f"{nginx.url}$",
        r"(?<=server_name )news\.example\.com": HOST,
        r"/etc/letsencrypt/live/\S+\.pem": str(nginx.folder / "site.pem"),
        r"/opt/carillon/": f"{ROOT}/",
        r"/var/log/nginx/carillon\.log": str(nginx.access_log),
        r"127\.0\.0\.1:8000": f"127.0.0.1:{web_port}",
        r"127\.0\.0\.1:5555": f"127.0.0.1:{flower_port}",
    }
    for pattern, place in changes.items():
        text, count = re.subn(pattern, place, text)
        assert count, f"deploy/nginx.conf has no {pattern} any more"
    return text
