# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration that ./demo runs: the whole life of a card, on real parts, one line a step with its time."""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from environment import ROOT, Environment, Failure, answers, free_port, run, wait_until

PROVIDER_VERSION = "8.8.1"
HOLDER = "Tanaka Hanako"


class Demonstration:
    def __init__(self, environment):
        self.e = environment
        self.step_number = 0

    # ---- Telling -----------------------------------------------------------------------------------------------------

    def step(self, what, action):
        began = time.monotonic()
        seen = action()
        took = (time.monotonic() - began) * 1000
        self.step_number += 1
        print(f"{self.step_number:3}. {what:<58} {took:8.1f} ms   {seen or ''}".rstrip(), flush=True)

    @staticmethod
    def expect(condition, what):
        if not condition:
            raise Failure(what)

    # ---- Steps -------------------------------------------------------------------------------------------------------

    def run_all(self):
        e = self.e
        self.step("make token, authorities, configuration", e.prepare)
        self.step("start hsmd, connectord, cardbrokerd, pcscd", self.start)
        self.step("enrol a terminal (its own key; mutual TLS)", lambda: self.short(e.enrol_terminal()["id"]))
        self.step("start nginx, which demands client certificates", self.start_nginx)
        self.step("issue a card to a holder", self.issue_card)
        self.step("enrol the holder at nginx (EC P-256 key made in the HSM)", self.enrol_at_nginx)
        self.step("tap: log in at nginx", self.tap_nginx)
        self.step("the citizen's browser sees nginx's page for this holder", self.see_page)
        self.step("start an OAuth server (npm oidc-provider)", self.start_provider)
        self.step("add it as a second service; nothing is written to the card", self.enrol_at_provider)
        self.step("tap with the same card: a token", self.tap_provider)
        self.step("renew the key at nginx as RSA-3072; the card is untouched", self.renew_at_nginx)
        self.step("tap with the renewed key", self.tap_nginx)
        self.step("nginx sees the new certificate", self.see_new_certificate)
        self.step("the card is lost: an administrator revokes it", self.revoke)
        self.step("the open session is cut", self.session_is_cut)
        self.step("the next tap is refused", self.tap_is_refused)
        self.step("issue a replacement card", self.replace_card)
        self.step("tap with the replacement: nginx", self.tap_nginx)
        self.step("nginx shows the same holder", self.see_new_certificate)
        self.step("tap with the replacement: OAuth", self.tap_provider)
        self.step("the record of it all verifies", self.verify_record)

    def start(self):
        self.e.start()
        status = self.e.ctl("status")
        self.expect(status["broker"]["ready"], "the broker is not ready")
        return f"{status['hsm']['workers']} key workers, {status['hsm']['objects']} HSM objects"

    def start_nginx(self):
        self.nginx_port = self.e.start_nginx()
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.nginx_port}", "-ign_eof"],
                              input=b"GET /whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
        self.expect(b"400 No required SSL certificate" in done.stdout or b" 400 " in done.stdout,
                    "nginx let somebody in without a certificate")
        return "without a certificate it answers 400"

    def issue_card(self):
        self.holder = self.e.ctl("holder", "add", "--name", HOLDER)["id"]
        certificate = self.e.make_card("first")
        self.card = self.e.ctl("card", "issue", "--holder", self.holder, "--certificate", certificate, "--activate")["id"]
        self.e.insert_card("first")
        return f"card {self.short(self.card)}"

    def enrol_at_nginx(self):
        e = self.e
        before = self.card_digest("first")
        config = e.folder / "nginx.json"
        config.write_text(json.dumps({"url": f"https://localhost:{self.nginx_port}/whoami",
                                      "ca_file": str(e.folder / "nginx" / "server-ca.pem")}))
        e.ctl("service", "add", "--name", "nginx", "--title", "The unmodified nginx", "--connector", "mtls", "--level",
              "possession", "--kind", "relayed", "--needs-certificate", "yes", "--config", config)
        request = e.folder / "request.pem"
        self.nginx = e.ctl("enrolment", "add", "--holder", self.holder, "--service", "nginx", "--algorithm", "ec-p256",
                           "--csr", request, "--subject", f"CN={HOLDER}")["id"]
        e.ctl("enrolment", "certify", self.nginx, "--certificate",
              e.sign_with_nginx_authority(request, e.folder / "first-certificate"))
        self.expect(self.card_digest("first") == before, "something was written to the card")
        return "certificate from the service's own authority"

    def tap(self, service, ok=(0,)):
        """One tap; the last object that cardlink prints."""
        return self.e.cardlink("tap", "--service", service, "--timeout", "15", ok=ok, timeout=40)[-1]

    def tap_nginx(self):
        result = self.tap("nginx")
        self.expect(result.get("outcome") == "accepted", f"the tap was not accepted: {result}")
        self.expect(result["holder"] == self.holder, "somebody else was logged in")
        self.url = result["delivery"]["url"]
        self.browser = self.e.browser()
        return f"accepted, the tap itself took {result['took_ms']} ms"

    def page(self):
        answer = self.browser.get(self.url)
        self.expect(answer.status == 200, f"the page answered {answer.status}: {answer.text[:200]}")
        self.session_url = self.url.split("/.cardbroker/")[0] + "/whoami"
        lines = dict(line.split("=", 1) for line in answer.text.strip().splitlines())
        self.expect(HOLDER in lines["subject"], f"nginx sees {lines['subject']}")
        self.expect(lines["verify"] == "SUCCESS", "nginx did not verify the certificate")
        return lines

    def see_page(self):
        lines = self.page()
        self.serial = lines["serial"]
        return f"nginx: {lines['subject']}, certificate {self.short(self.serial)}, {lines['protocol']}"

    def see_new_certificate(self):
        lines = self.page()
        self.expect(lines["serial"] != self.serial, "nginx still sees the old certificate")
        return f"nginx: {lines['subject']}, certificate {self.short(lines['serial'])}"

    # ---- The second service --------------------------------------------------------------------------------------------

    def start_provider(self):
        modules = fetch_provider()
        self.client = self.e.folder / "client.json"
        self.provider_modules = modules
        return f"oidc-provider {PROVIDER_VERSION} is there"

    def enrol_at_provider(self):
        e = self.e
        self.provider_port = free_port()
        server = e.folder / "nginx"
        config = e.folder / "oauth.json"
        config.write_text(json.dumps({"token_endpoint": f"https://localhost:{self.provider_port}/token",
                                      "ca_file": str(server / "server-ca.pem"), "scope": "taxes"}))
        e.ctl("service", "add", "--name", "taxes", "--title", "The tax office", "--connector", "jwt", "--level", "pin",
              "--kind", "token", "--needs-certificate", "no", "--config", config)
        data = e.folder / "hanako.json"
        data.write_text(json.dumps({"subject": "hanako"}))
        e.ctl("enrolment", "add", "--holder", self.holder, "--service", "taxes", "--algorithm", "ec-p256", "--data", data,
              "--for-service", self.client)
        e.spawn("oidc-provider", ["node", ROOT / "tests" / "integration" / "oidc_provider.mjs", "--modules",
                                  self.provider_modules, "--port", self.provider_port, "--cert", server / "server.pem",
                                  "--key", server / "server.key", "--client", self.client])
        wait_until("oidc-provider", lambda: answers(self.provider_port), 30, e.programs["oidc-provider"])
        return "asks for the PIN; EC P-256, known to it by its public key (JWKS)"

    def tap_provider(self):
        result = self.e.cardlink("tap", "--service", "taxes", "--timeout", "15", pin=["123456"], timeout=40)[-1]
        self.expect(result.get("outcome") == "accepted", f"the tap was not accepted: {result}")
        token = result["delivery"]["token"]
        self.expect(token.get("access_token"), "there is no token")
        context = self.e.browser()
        context.context.load_verify_locations(str(self.e.folder / "nginx" / "server-ca.pem"))
        who = json.loads(context.get(f"https://localhost:{self.provider_port}/who?token={token['access_token']}").body)
        self.expect(who["client"] == "hanako", f"the token is {who['client']}'s")
        return f"level {result['level']} (PIN); the server says the token is {who['client']}'s"

    # ---- Renewal, loss, replacement --------------------------------------------------------------------------------------

    def renew_at_nginx(self):
        e = self.e
        before = self.card_digest("first")
        request = e.folder / "renewal.pem"
        e.ctl("enrolment", "renew", self.nginx, "--algorithm", "rsa-3072", "--csr", request, "--subject", f"CN={HOLDER}")
        e.ctl("enrolment", "certify", self.nginx, "--certificate",
              e.sign_with_nginx_authority(request, e.folder / "second-certificate"))
        self.expect(self.card_digest("first") == before, "something was written to the card")
        return "the old key is retired"

    def revoke(self):
        self.expect(self.browser.get(self.session_url).status == 200, "the session was not open")
        self.e.ctl("card", "revoke", self.card, "--reason", "lost")
        return "acknowledged"

    def session_is_cut(self):
        answer = self.browser.get(self.session_url)
        self.expect(answer.status == 410 and "session.ended" in answer.text, f"it answered {answer.status}")
        return "410 session.ended"

    def tap_is_refused(self):
        result = self.tap("nginx", ok=(1, 3))
        code = result.get("code") or result.get("error")
        self.expect(code == "card.revoked", f"it said {result}")
        return "card.revoked"

    def replace_card(self):
        certificate = self.e.make_card("second")
        self.card = self.e.ctl("card", "issue", "--holder", self.holder, "--certificate", certificate, "--activate")["id"]
        self.e.insert_card("second")
        return f"card {self.short(self.card)}; no service was told"

    def verify_record(self):
        report = self.e.ctl("audit", "verify", "--log-key", self.e.pki / "log.pem")
        self.expect(report["findings"] in (0, []), f"findings: {report}")
        return f"{report['leaves']} leaves, {report['heads']} signed heads, no finding"

    # ---- Small things ------------------------------------------------------------------------------------------------

    def card_digest(self, name):
        return hashlib.sha256((self.e.cards / f"{name}.card").read_bytes()).hexdigest()

    @staticmethod
    def short(text):
        return f"{text[:8]}…"


def fetch_provider():
    """npm's oidc-provider, in a cache outside the repository."""
    cache = os.environ.get("CARDBROKER_CACHE") or \
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cardbroker"
    folder = Path(cache) / f"oidc-provider-{PROVIDER_VERSION}"
    if not (folder / "node_modules" / "oidc-provider").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        run(["npm", "install", "--loglevel=error", "--no-audit", "--no-fund", "--prefix", folder, f"oidc-provider@{PROVIDER_VERSION}"],
            timeout=300)
    return folder


def what_to_try(e, demonstration):
    ctl = f"{e.program('cardbrokerctl')} --config {e.etc}/cardbrokerctl.conf"
    cardlink = f"{e.program('cardlink')} --config {e.etc}/terminal.conf"
    print(f"""
Everything runs; the replacement card lies on the virtual reader. In another terminal:

  export PCSCLITE_CSOCK_NAME={e.env['PCSCLITE_CSOCK_NAME']}
  {cardlink} tap --service nginx        # prints a URL; open it in a browser that trusts
                                        # {e.pki}/tls/ca.pem, or with curl -L -b '' --cacert …
  {cardlink} tap --service taxes --pin  # the PIN is 123456
  {cardlink} agent --service nginx
  opensc-tool --atr
  {ctl} card list
  {ctl} card suspend {demonstration.card}
  {ctl} audit list
  {ctl} status
  curl --unix-socket {e.run_folder}/admin.sock http://local/metrics

Logs: {e.logs}    The broker: https://localhost:{e.port}    nginx: https://localhost:{demonstration.nginx_port}
Ctrl-C stops everything.""", flush=True)


def say_what_is_weaker():
    if os.geteuid() == 0:
        print("Running as root, but as one user: an installation names a user for each program (see docs/operations.md).")
    else:
        print("Running without root: all programs are one user, so the walls between them are thinner (docs/threat-model.md).")


def main():
    parser = argparse.ArgumentParser(prog="./demo", description="Shows the whole life of a card on real parts.")
    parser.add_argument("--once", action="store_true", help="stop when all steps are done, and remove the folder")
    parser.add_argument("--folder", help="where to put everything (new; default: a folder under /tmp)")
    options = parser.parse_args()
    folder = Path(options.folder) if options.folder else Path(tempfile.mkdtemp(prefix="cardbroker-"))
    if options.folder and folder.exists():
        sys.exit(f"demo: {folder} exists already; name a new folder")
    say_what_is_weaker()
    print(f"The installation is under {folder}; what is fetched besides goes into the cache (~/.cache/cardbroker, or CARDBROKER_CACHE).\n", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    e = Environment(folder)
    demonstration = Demonstration(e)
    status = 1
    try:
        began = time.monotonic()
        demonstration.run_all()
        print(f"\nAll {demonstration.step_number} steps did what they say, in {time.monotonic() - began:.1f} s.", flush=True)
        status = 0
        if not options.once:
            what_to_try(e, demonstration)
            signal.pause()
    except KeyboardInterrupt:
        print("\nStopping.", flush=True)
    except (Failure, OSError, KeyError, ValueError, IndexError) as problem:
        print(f"\ndemo: step {demonstration.step_number + 1} failed: {type(problem).__name__}: {problem}\n"
              f"demo: the logs are in {e.logs}", file=sys.stderr)
    finally:
        e.stop()
        if status == 0:
            shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
