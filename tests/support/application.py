#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application behind the tests' nginx, on a Unix socket: answers that nginx alone cannot give."""
import hashlib
import html
import os
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "nginx"

    def body(self):
        """The request's body, piece by piece."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data = self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return
                yield data
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            data = self.rfile.read(min(left, 65536))
            if not data:
                return
            left -= len(data)
            yield data

    def answer(self, text, status=200, headers=(), kind="plain"):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def echo(self):
        digest, length = hashlib.sha256(), 0
        for part in self.body():
            digest.update(part)
            length += len(part)
        self.answer(f"method={self.command}\nlength={length}\nsha256={digest.hexdigest()}\n")

    def page(self):
        """What a person clicks through: a link, a form, a cookie that counts the visits."""
        cookies = dict(pair.strip().partition("=")[::2] for pair in self.headers.get("Cookie", "").split(";"))
        visit = int(cookies.get("visits", "0")) + 1
        said = parse_qs(b"".join(self.body()).decode()).get("said", [""])[0]
        self.answer(f"""<!doctype html><title>Page</title><p id="who">{self.headers.get("X-Client-Subject")}</p>
<p id="visit">{visit}</p><p id="cookies">{" ".join(sorted(filter(None, cookies)))}</p>
<p id="asked">{self.command} {self.path} {html.escape(said)}</p>
<p id="origin">{html.escape(self.headers.get("Origin", "none"))}</p>
<a id="link" href="/page?by=link">link</a>
<form method="post" action="/page?by=form"><input name="said" value="a &amp; b"><button id="send">send</button></form>
""", headers=[("Set-Cookie", f"visits={visit}; Path=/; Secure; HttpOnly")], kind="html")

    def do(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        host = self.headers.get("Host", "")
        if url.path == "/slow":
            time.sleep(float(query.get("seconds", "1")))
            self.answer("slow\n")
        elif url.path == "/redirect":
            self.answer("", 302, [("Location", f"https://{host}/whoami?from=redirect#top")])
        elif url.path == "/away":
            self.answer("", 302, [("Location", "https://elsewhere.test/")])
        elif url.path == "/cookie":
            self.answer("", 200, [("Set-Cookie", f"a=1; Domain={host.split(':')[0]}; Path=/; Secure"),
                                  ("Set-Cookie", "b=2; Domain=elsewhere.test")])
        elif url.path == "/page":
            self.page()
        elif url.path == "/everywhere":
            domain = query["domain"]
            self.answer("everywhere\n", 200, [("Set-Cookie", f"everywhere=1; Domain={domain}; Path=/; Secure"),
                                              ("Clear-Site-Data", '"cookies"')])
        elif url.path == "/headers":
            self.answer("".join(f"{name}: {value}\n" for name, value in self.headers.items()))
        elif url.path == "/status":
            self.answer("", int(query["code"]))
        else:
            self.echo()

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = do


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


os.umask(0o077)
Server(sys.argv[1], Handler).serve_forever()
