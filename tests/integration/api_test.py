#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cardbrokerd and its description: api_test.py CARDBROKERD API_ROUTES OPENAPI

Each route of the table is described and each description is a route; what is described as a field or a parameter is one, what is
described as needed is needed, and answers have the described shape. The key service is absent, as after a
failure: what the broker may still do, it does, and the rest it refuses.
"""
import http.client
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

BROKER, ROUTES, OPENAPI = sys.argv[1:4]
WORK = tempfile.TemporaryDirectory(prefix="api-test.")
PATIENCE = 30
with open(BROKER, "rb") as program:
    content = program.read()
    # Sanitizers make system calls of their own.
    SANITIZED = any(name in content for name in (b"__asan_init", b"__tsan_init"))
ID = "0189f7c2-0000-7000-8000-000000000001"

with open(OPENAPI, encoding="utf-8") as description:
    API = yaml.safe_load(description)


def path(name):
    return os.path.join(WORK.name, name)


def resolve(node):
    """Follows references; what stands beside one is added."""
    while isinstance(node, dict) and "$ref" in node:
        target = API
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = {**target, **{name: value for name, value in node.items() if name != "$ref"}}
    return node


def operations():
    for target, item in API["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), target, operation, [resolve(p) for p in
                                                          item.get("parameters", []) + operation.get("parameters", [])]


def body_schema(operation):
    body = resolve(operation.get("requestBody", {}))
    return resolve(body["content"]["application/json"]["schema"]) if body else None


def fill(target):
    return re.sub(r"\{(\w+)\}", lambda match: "name" if match[1] == "name" else ID, target)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, at):
        super().__init__("localhost", timeout=PATIENCE)
        self.at = at

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.at)


class Broker:
    def __init__(self, more="", name="broker"):
        self.folder = path(name)
        for part in ("run", "state"):
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config = os.path.join(self.folder, "cardbroker.conf")
        self.write(more)
        self.log = open(os.path.join(self.folder, "log"), "ab+")
        self.process = subprocess.Popen([BROKER, "--config", self.config], stderr=self.log)
        self.wait_for("ready")

    def write(self, more, name="server"):
        with open(self.config, "w", encoding="ascii") as file:
            file.write(f'run = "{self.folder}/run"\nstate = "{self.folder}/state"\n'
                       f'listen api {{ address = "127.0.0.1" port = {self.port} certificate = "{path(name + ".pem")}" '
                       f'key = "{path(name + ".key")}" }}\n' + ("sandbox = false\n" if SANITIZED else "") + more)

    def text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def wait_for(self, event, count=1):
        end = time.monotonic() + PATIENCE
        while self.text().count(f'"event":"{event}"') < count:
            assert time.monotonic() < end and self.process.poll() is None, self.text()
            time.sleep(0.05)

    def reload(self):
        """What came of it, once that is known."""
        before = self.text().count('"event":"reload.')
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + PATIENCE
        while True:
            lines = [line for line in self.text().splitlines() if '"event":"reload.' in line]
            if len(lines) > before:
                return json.loads(lines[-1])
            assert time.monotonic() < end and self.process.poll() is None, self.text()
            time.sleep(0.01)

    def shown(self):
        """The name in the certificate that clients are shown."""
        return subprocess.run(["openssl", "x509", "-noout", "-subject"], check=True, capture_output=True, text=True,
                              input=ssl.get_server_certificate(("127.0.0.1", self.port))).stdout.split("CN = ")[1].strip()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        text = self.text()
        self.log.close()
        return status, text

    def exchange(self, connection, method, target, body, raw=None):
        data = raw if raw is not None else json.dumps(body) if body is not None else None
        connection.request(method, target, data, {"Content-Type": "application/json"} if data is not None else {})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, (json.loads(content) if "json" in response.headers.get("Content-Type", "") else content)

    def local(self, method, target, body=None, raw=None):
        return self.exchange(UnixConnection(os.path.join(self.folder, "run/admin.sock")), method, target, body, raw)

    def network(self, method, target, body=None, client=None, host="localhost"):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        if client:
            tls.load_cert_chain(path(client + ".pem"), path(client + ".key"))
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
        connection.sock = tls.wrap_socket(socket.create_connection(("127.0.0.1", self.port), PATIENCE), server_hostname=host)
        return self.exchange(connection, method, target, body)


class Description(unittest.TestCase):
    def test_routes_and_description_are_the_same(self):
        table = {}
        for line in subprocess.run([ROUTES], check=True, capture_output=True, text=True).stdout.splitlines():
            method, pattern, role, limit, reserved = line.split()
            row = table.setdefault((method, pattern), {"roles": [], "limit": int(limit), "reserved": reserved == "1"})
            row["roles"].append(role)
        described = {(method, target): {"roles": operation["x-roles"], "limit": operation.get("x-body-limit", 0),
                                        "reserved": operation.get("x-reserved", False)}
                     for method, target, operation, _ in operations()}
        self.assertEqual(described, table)

    def test_every_reference_leads_somewhere_and_every_part_is_used(self):
        used = set()

        def walk(node):
            if isinstance(node, dict):
                if "$ref" in node:
                    used.add(node["$ref"])
                    resolve(node)
                for value in node.values():
                    walk(value)
            elif isinstance(node, list):
                for value in node:
                    walk(value)
        walk(API)
        parts = {f"#/components/{kind}/{name}" for kind, group in API["components"].items() for name in group}
        self.assertEqual(parts, used)

    def test_each_operation_is_complete(self):
        names = [operation["operationId"] for _, _, operation, _ in operations()]
        self.assertEqual(len(names), len(set(names)))
        for method, target, operation, parameters in operations():
            with self.subTest(method=method, target=target):
                self.assertIn("default", operation["responses"])
                self.assertTrue(any(status.startswith("2") for status in operation["responses"]))
                self.assertEqual(sorted(re.findall(r"\{(\w+)\}", target)),
                                 sorted(p["name"] for p in parameters if p["in"] == "path"))
                if method in ("POST", "PUT"):
                    self.assertIs(body_schema(operation)["additionalProperties"], False)


class Running(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    @classmethod
    def tearDownClass(cls):
        status, text = cls.broker.stop()
        assert status == 0 and '"event":"stopped"' in text, text

    def check(self, schema, value, where):
        """As much of JSON Schema as the description uses."""
        schema = resolve(schema)
        for part in schema.get("allOf", []):
            self.check(part, value, where)
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        python = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
        if kinds:
            self.assertIsInstance(value, tuple(python[kind] for kind in kinds), where)
        if "const" in schema:
            self.assertEqual(value, schema["const"], where)
        if isinstance(value, str) and "pattern" in schema:
            self.assertRegex(value, schema["pattern"], where)
        if isinstance(value, dict):
            self.assertLessEqual(set(schema.get("required", [])), set(value), where)
            for name, member in value.items():
                if schema.get("properties") and "allOf" not in schema:
                    self.assertIn(name, schema["properties"], where)
                if name in schema.get("properties", {}):
                    self.check(schema["properties"][name], member, f"{where}.{name}")
        if isinstance(value, list):
            for member in value:
                self.check(schema.get("items", {}), member, where + "[]")

    def administrators(self):
        return [o for o in operations() if "administrator" in o[2]["x-roles"]]

    def test_described_fields_are_known_and_others_are_not(self):
        for method, target, operation, _ in self.administrators():
            schema = body_schema(operation)
            if not schema:
                continue
            for field in list(schema["properties"]) + ["undescribed"]:
                with self.subTest(method=method, target=target, field=field):
                    status, answer = self.broker.local(method, fill(target), {field: None})
                    self.assertEqual(status, 400, answer)
                    self.check({"$ref": "#/components/schemas/Problem"}, answer, "problem")
                    known = answer["code"] != "request.unknown_field"
                    self.assertEqual(known, field != "undescribed", answer)

    def test_needed_fields_are_needed(self):
        for method, target, operation, _ in self.administrators():
            schema = body_schema(operation)
            if not schema:
                continue
            with self.subTest(method=method, target=target):
                _, answer = self.broker.local(method, fill(target), {})
                missing = re.fullmatch(r"(\w+) is missing\.", answer["detail"])
                self.assertEqual(bool(missing), bool(schema.get("required")), answer)
                if missing:
                    self.assertIn(missing[1], schema["required"])

    def test_described_parameters_are_known_and_others_are_not(self):
        for method, target, operation, parameters in self.administrators():
            names = [p["name"] for p in parameters if p["in"] == "query"]
            for name in names:
                with self.subTest(target=target, name=name):
                    self.assertNotEqual(self.broker.local(method, f"{fill(target)}?{name}=%25")[1].get("code"), "request.unknown_field")
            if names:
                self.assertEqual(self.broker.local(method, fill(target) + "?undescribed=1")[1]["code"], "request.unknown_field")

    def test_answers_have_the_described_shape(self):
        asked = 0
        for method, target, operation, _ in operations():
            roles = operation["x-roles"]
            if method != "GET" or "{" in target or roles == ["terminal"] or target in ("/metrics", "/v1/ready"):
                continue
            with self.subTest(target=target):
                status, answer = self.broker.local(method, target)
                self.assertEqual(status, 200, answer)
                schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
                self.check(schema.get("oneOf", [None, schema])[1], answer, target)
                asked += 1
        self.assertGreaterEqual(asked, 9)

    def test_missing_rows_are_not_found(self):
        for target in ("/v1/holders/", "/v1/cards/", "/v1/terminals/", "/v1/enrolments/"):
            self.assertEqual(self.broker.local("GET", target + ID)[1]["code"], "resource.unknown")
        self.assertEqual(self.broker.local("GET", "/v1/services/nothing")[1]["code"], "service.unknown")
        for act in ("suspend", "revoke"):
            self.assertEqual(self.broker.local("POST", f"/v1/cards/{ID}/{act}", {})[1]["code"], "resource.unknown")

    def test_roles_over_the_network(self):
        for method, target, operation, _ in operations():
            roles = operation["x-roles"]
            with self.subTest(method=method, target=target):
                status, answer = self.broker.network(method, fill(target), {} if method in ("POST", "PUT") else None)
                stranger = self.broker.network(method, fill(target), {} if method in ("POST", "PUT") else None, "client")
                if "anybody" in roles:
                    self.assertIn(status, (200, 503) if method == "GET" else (400,))    # an empty question
                elif "terminal" in roles:
                    self.assertEqual((status, answer["code"]), (401, "request.unauthenticated"))
                    self.assertEqual((stranger[0], stranger[1]["code"]), (401, "terminal.unknown"))
                else:
                    self.assertEqual((status, answer["code"]), (403, "request.denied"))
                    self.assertEqual((stranger[0], stranger[1]["code"]), (403, "request.denied"))

    def test_without_the_key_service(self):
        self.assertEqual(self.broker.network("GET", "/v1/live")[0], 200)
        status, answer = self.broker.network("GET", "/v1/ready")
        self.assertEqual((status, answer["code"]), (503, "hsm.unavailable"))
        status, answer = self.broker.local("POST", "/v1/holders", {"name": "Aoi"})
        self.assertEqual((status, answer["code"]), (503, "hsm.unavailable"))
        self.assertFalse(self.broker.local("GET", "/v1/status")[1]["ready"])

    def test_relay_names_go_to_the_relay(self):
        status, page = self.broker.network("GET", "/", host="a" * 26 + ".relay.localhost")
        self.assertEqual(status, 404)
        self.assertIn(b"<html", page)

    def test_metrics_are_well_formed(self):
        status, text = self.broker.local("GET", "/metrics")
        self.assertEqual(status, 200)
        families = set()
        for line in text.decode().splitlines():
            if line.startswith("# TYPE "):
                self.assertNotIn(line.split()[2], families)
                families.add(line.split()[2])
            elif not line.startswith("#"):
                match = re.fullmatch(r'([a-z_]+)(\{([a-z_]+="[^"]*",?)+\})? [0-9.]+', line)
                self.assertTrue(match, line)
                self.assertIn(re.sub(r"_(bucket|sum|count)$", "", match[1]) if match[1] not in families else match[1], families)
        self.assertLessEqual({"cardbroker_taps_total", "cardbroker_hsm_up", "cardbroker_http_duration_seconds",
                              "cardbroker_connections", "cardbroker_store_up"}, families)

    def test_only_administrators_reach_the_local_socket(self):
        if os.getuid() != 0:
            self.skipTest("needs root to become somebody else")
        for part in ("", "run"):
            os.chmod(os.path.join(self.broker.folder, part), 0o755)
        os.chmod(WORK.name, 0o755)
        at = os.path.join(self.broker.folder, "run/admin.sock")
        os.chmod(at, 0o666)
        result = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "curl", "-s", "--max-time", "5", "--unix-socket", at,
                                 "http://x/v1/live"], capture_output=True, check=False)
        os.chmod(at, 0o600)
        self.assertEqual(result.stdout, b"")
        self.assertNotEqual(result.returncode, 0)

    def test_reload(self):
        self.broker.write('log-level = "warning"\n')
        self.broker.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        self.broker.write("nonsense = 1\n")
        self.broker.process.send_signal(signal.SIGHUP)
        self.broker.wait_for("reload.failed")
        self.assertIn("nonsense", self.broker.text())
        self.broker.write("")
        self.broker.process.send_signal(signal.SIGHUP)
        self.broker.wait_for("reload.done")
        self.assertEqual(self.broker.network("GET", "/v1/live")[0], 200)


class Reload(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(name=self.id().rsplit(".", 1)[-1])

    def tearDown(self):
        status, text = self.broker.stop()
        self.assertEqual(status, 0, text)

    def test_certificates_change_together_or_not_at_all(self):
        other = 'listen other {{ address = "127.0.0.1" port = 0 certificate = "{}.pem" key = "{}.key" }}\n'
        self.broker.stop()
        self.broker = Broker(more=other.format(path("server"), path("server")), name="two")
        for name, event, shown in (("nothing", "reload.failed", "server"), ("client", "reload.done", "client")):
            self.broker.write(other.format(path(name), path(name)), name="client")
            self.assertEqual(self.broker.reload()["event"], event)
            self.assertEqual(self.broker.shown(), shown)

    @unittest.skipIf(SANITIZED, "sanitizers take memory of their own")
    def test_without_memory_it_serves_on_as_it_was(self):
        pid = self.broker.process.pid
        usual = resource.prlimit(pid, resource.RLIMIT_AS)
        results = set()
        self.broker.write("", name="client")
        for room in (0, 64, 128, 256):
            with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
                now = int(statm.read().split()[0]) * resource.getpagesize()
            resource.prlimit(pid, resource.RLIMIT_AS, (now + room * 1024, usual[1]))
            results.add(self.broker.reload().get("error"))
            resource.prlimit(pid, resource.RLIMIT_AS, usual)
            self.assertEqual(self.broker.local("GET", "/v1/live")[0], 200)
            if results == {"internal.memory"}:
                self.assertEqual(self.broker.shown(), "server")
        self.assertIn("internal.memory", results)
        self.assertEqual(self.broker.reload()["event"], "reload.done")
        self.assertEqual(self.broker.shown(), "client")


class Program(unittest.TestCase):
    def run_it(self, *arguments):
        return subprocess.run([BROKER, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)

    def configured(self, text, check=True):
        with open(path("some.conf"), "w", encoding="ascii") as file:
            file.write(text)
        return self.run_it("--config", path("some.conf"), *(["--check"] if check else []))

    def test_usage(self):
        self.assertIn("usage", self.run_it("--help").stdout)
        self.assertRegex(self.run_it("--version").stdout, r"^cardbrokerd \d")
        for arguments in ((), ("--config",), ("--nonsense",), ("--config", "x", "y")):
            self.assertEqual(self.run_it(*arguments).returncode, 2, arguments)

    def test_wrong_configurations(self):
        listen = f'listen a {{ certificate = "{path("server.pem")}" key = "{path("server.key")}" }}\n'
        self.assertEqual(self.configured(listen).returncode, 0)
        for text, word in (("", "listen"), (listen + "workers = 0", "workers"), (listen + "colour = 1", "colour"),
                           ('listen a { key = "x" }', "certificate"), (listen + 'administrators = {"nobody-of-that-name"}', "nobody-of"),
                           (listen + "limits { idle-seconds = 1 }", "idle-seconds"), (listen + 'log-level = "loud"', "log-level")):
            with self.subTest(text=text[-40:]):
                result = self.configured(text)
                self.assertEqual(result.returncode, 78)
                self.assertIn(word, result.stderr)
                self.assertIn("some.conf", result.stderr)
        self.assertEqual(self.run_it("--config", path("missing.conf")).returncode, 78)

    def test_wrong_certificates(self):
        for certificate, key in (("missing.pem", "server.key"), ("server.pem", "client.key"), ("server.key", "server.key")):
            result = self.configured(f'listen a {{ port = 0 certificate = "{path(certificate)}" key = "{path(key)}" }}', check=False)
            self.assertEqual(result.returncode, 78)
            self.assertIn(path(""), result.stderr)

    def test_it_says_at_its_start_and_when_asked_what_it_does_not_demand_of_cards(self):
        said = {"applications": "start.applications", "stock": "start.stock"}
        for number, (applications, stock) in enumerate((("optional", "optional"), ("required", "native"), ("optional", "required"))):
            with self.subTest(applications=applications, stock=stock):
                broker = Broker(name=f"rules{number}", more=f'cards {{ applications = "{applications}" stock = "{stock}" }}\n' if number else "")
                self.addCleanup(broker.process.kill)
                rules = broker.local("GET", "/v1/status")[1]["card_rules"]
                self.assertEqual(rules, {"applications": applications, "stock": stock})
                text = broker.stop()[1]
                for rule, event in said.items():
                    self.assertEqual(text.count(f'"event":"{event}"'), rules[rule] == "optional", text)

    def test_it_says_at_its_start_that_no_list_holds_for_what_terminals_run(self):
        for software in (None, "off", "report", "enforce"):
            with self.subTest(software=software):
                broker = Broker(name=f"programs-{software}", more=f'terminals {{ software = "{software}" }}\n' if software else "")
                self.addCleanup(broker.process.kill)
                text = broker.stop()[1]
                self.assertEqual(text.count('"event":"start.software"'), software in (None, "off"), text)

    def test_two_do_not_share_a_database(self):
        first = Broker(name="first")
        text = open(first.config, encoding="ascii").read().replace(str(first.port), "0")
        second = self.configured(text, check=False)
        self.assertNotEqual(second.returncode, 0)
        self.assertEqual(first.local("GET", "/v1/live")[0], 200)
        self.assertEqual(first.stop()[0], 0)


def main():
    for name in ("server", "client"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        path(name + ".key"), "-out", path(name + ".pem"), "-days", "2", "-subj", "/CN=" + name],
                       check=True, capture_output=True)
    del sys.argv[1:4]
    unittest.main(verbosity=2, warnings="ignore")


if __name__ == "__main__":
    main()
