# SPDX-License-Identifier: GPL-3.0-or-later
"""A relayed session in the browser that a citizen has: Chromium, without a window, moved over its debugging pipe."""

import base64
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from world import PATIENCE, Failure, main, run, wait_until, world

CHROMIUM = shutil.which("chromium")
# Only names of this test are looked up, and nothing goes to the browser's maker.
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
         "--host-resolver-rules=MAP *.relay.localhost 127.0.0.1, MAP * ~NOTFOUND"]
w = None


def setUpModule():
    global w
    if not CHROMIUM:
        raise unittest.SkipTest("chromium is missing")
    w = world()
    for name in ("Hanako", "Taro"):
        w.add_holder(name)


def tearDownModule():
    if w:
        w.tear_down()


def fingerprint(certificate):
    """SHA-256 of a certificate's public key, as Chromium's list of trusted ones has it."""
    pem = run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"]).stdout
    der = run(["openssl", "pkey", "-pubin", "-outform", "DER"], data=pem).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Chromium:
    """One browser with a profile of its own and one tab. Messages are JSON with a zero after each, on descriptors 3 and 4."""

    def __init__(self, trusted):
        self.folder = tempfile.mkdtemp(prefix="cb-chromium-")
        down_out, down_in = os.pipe()
        up_out, up_in = os.pipe()

        def wire():
            # Through high numbers, so that neither pipe's end is overwritten before it is in place.
            high = [os.dup2(fd, place) for fd, place in ((down_out, 203), (up_in, 204))]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        argv = [CHROMIUM, *QUIET, f"--user-data-dir={self.folder}", f"--ignore-certificate-errors-spki-list={trusted}",
                "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, pass_fds=(3, 4), preexec_fn=wire,
                                        start_new_session=True)
        os.close(down_out)
        os.close(up_in)
        self.writing, self.reading = down_in, up_out
        self.seen, self.number, self.session = b"", 0, None
        try:
            tab = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
            self.session = self.call("Target.attachToTarget", targetId=tab["targetId"], flatten=True)["sessionId"]
        except BaseException:
            self.close()
            raise

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.writing)
        os.close(self.reading)
        shutil.rmtree(self.folder, ignore_errors=True)

    def receive(self, deadline):
        while b"\0" not in self.seen:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.reading], [], [], left)[0]:
                raise Failure("Chromium does not answer")
            part = os.read(self.reading, 65536)
            if not part:
                raise Failure("Chromium has ended")
            self.seen += part
        message, _, self.seen = self.seen.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Failure(f"{method}: {answer['error']}")
                return answer["result"]

    def value(self, expression):
        """A JavaScript expression's value on the page; None while there is no page to ask."""
        try:
            return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")
        except Failure as failure:
            if "context" in str(failure) or "navigat" in str(failure):
                return None
            raise

    def open(self, url):
        self.value("window.before = true")
        problem = self.call("Page.navigate", url=url).get("errorText")
        if problem:
            raise Failure(f"{url}: {problem}")
        self.arrive()

    def click(self, name):
        self.value(f"window.before = true; document.getElementById({json.dumps(name)}).click()")
        self.arrive()

    def arrive(self):
        """Waits until another page than before is there and complete."""
        wait_until("the browser's page", lambda: self.value("!window.before && document.readyState") == "complete",
                   20 * PATIENCE)

    def text(self, name=None):
        element = f"document.getElementById({json.dumps(name)})" if name else "document.body"
        return self.value(f"{element}.innerText")


class Relayed(unittest.TestCase):
    def setUp(self):
        self.browser = Chromium(fingerprint(w.pki / "tls" / "relay.pem"))
        self.addCleanup(self.browser.close)

    def enter(self, holder):
        accepted = w.tap_with(holder)
        self.assertEqual(accepted.get("outcome"), "accepted", accepted)
        self.browser.open(accepted["delivery"]["url"])
        return accepted["delivery"]["url"]

    def origin(self):
        return self.browser.value("location.origin")

    def test_a_person_gets_in_clicks_sends_a_form_and_keeps_the_services_cookie(self):
        url = self.enter("Hanako")
        self.assertIn("subject=CN=Hanako", self.browser.text())
        # The one-time code is in no address that the browser shows or keeps.
        self.assertEqual(self.browser.value("location.href"), url.partition("/.cardbroker/")[0] + "/")
        self.assertNotIn("code=", self.browser.value("location.href + document.referrer"))
        self.browser.open(self.origin() + "/page")
        self.assertEqual(self.browser.text("who"), "CN=Hanako")
        self.assertEqual((self.browser.text("visit"), self.browser.text("cookies")), ("1", ""))
        self.browser.click("link")
        self.assertEqual(self.browser.text("asked").strip(), "GET /page?by=link")
        self.assertEqual((self.browser.text("visit"), self.browser.text("cookies")), ("2", "visits"))
        self.browser.click("send")
        self.assertEqual(self.browser.text("asked"), "POST /page?by=form a & b")
        # The service takes the form for its own page's.
        self.assertEqual(self.browser.text("origin"), f"https://localhost:{w.nginx_port}")
        self.assertEqual((self.browser.text("visit"), self.browser.text("cookies")), ("3", "visits"))
        # Scripts of the service's pages see neither its own cookie, which is HttpOnly, nor the broker's.
        self.assertEqual(self.browser.value("document.cookie"), "")

    def test_after_a_revocation_the_person_is_told_that_the_session_has_ended(self):
        self.enter("Taro")
        self.browser.open(self.origin() + "/page")
        self.assertEqual(self.browser.text("who"), "CN=Taro")
        w.ctl("card", "revoke", w.card_ids["Taro"])
        self.browser.click("send")
        self.assertIn("This session has ended", self.browser.text())
        self.assertNotIn("CN=Taro", self.browser.text())
        self.assertEqual(self.browser.value("document.title"), "This session has ended")

    def test_a_second_session_keeps_its_cookies_from_the_first(self):
        w.add_holder("Jiro")
        self.enter("Hanako")
        self.browser.open(self.origin() + "/page")
        first = self.origin()
        self.enter("Jiro")
        self.assertNotEqual(self.origin(), first)
        self.browser.open(self.origin() + "/page")
        self.assertEqual((self.browser.text("who"), self.browser.text("visit"), self.browser.text("cookies")),
                         ("CN=Jiro", "1", ""))
        self.browser.open(first + "/page")
        self.assertEqual((self.browser.text("who"), self.browser.text("visit")), ("CN=Hanako", "2"))

    def test_a_service_can_neither_set_nor_clear_cookies_of_another_session(self):
        self.enter("Hanako")
        first = self.origin()
        w.add_holder("Saburo")
        self.enter("Saburo")
        self.browser.open(self.origin() + "/everywhere?domain=relay.localhost")
        self.browser.open(first + "/page")
        self.assertEqual((self.browser.text("who"), self.browser.text("cookies")), ("CN=Hanako", ""))


if __name__ == "__main__":
    main()
