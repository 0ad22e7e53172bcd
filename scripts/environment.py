# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole installation in one folder: for the demonstration and for tests.

Everything Cardbroker needs is made under one folder of one's own: a SoftHSM token, certificate authorities, configurations,
a database, sockets; and everything is started from there: hsmd, cardbrokerd, connectord, a private PC/SC service with a virtual card,
and services that know nothing of Cardbroker. Nothing outside the folder is written, no service of the system is started or
touched, and whatever was started ends with stop() or with this process.
"""

import ctypes
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failure(Exception):
    """A step did not do what it says."""


def die_with_parent():
    """In a child before exec: end when this process ends, however it ends."""
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGTERM, 0, 0, 0)


def wait_until(what, condition, seconds=15.0, process=None):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        if process is not None and process.poll() is not None:
            raise Failure(f"{what}: the program ended with status {process.returncode}")
        time.sleep(0.01)
    raise Failure(f"{what}: not ready after {seconds:g} s")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    with socket.socket() as s:
        s.settimeout(0.5)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """One program that was started and is to be stopped by its process id."""

    def __init__(self, name, argv, log, env=None, cwd=None):
        self.name = name
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd,
                preexec_fn=die_with_parent, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def poll(self):
        return self.process.poll()

    @property
    def returncode(self):
        return self.process.returncode

    def last_words(self):
        try:
            lines = Path(self.log).read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-15:])

    def stop(self, seconds=10):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def run(argv, env=None, data=None, ok=(0,), cwd=None, pass_fds=(), timeout=120):
    """Runs a program to its end; its output as bytes. Failure unless its exit status is one of ok."""
    done = subprocess.run([str(a) for a in argv], env=env, input=data, cwd=cwd, pass_fds=pass_fds, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL if data is None else None)
    if done.returncode not in ok:
        raise Failure(f"{' '.join(str(a) for a in argv[:4])} … ended with status {done.returncode}:\n"
                      f"{done.stderr.decode(errors='replace').strip()}\n{done.stdout.decode(errors='replace').strip()}".rstrip())
    return done
