#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts what lies at a virtual reader's socket on a reader of pcscd: for a test that stands between the two (cuts.py).

To be run where the virtual readers listen (pcsc.sh exec). The messages are the same on both sides, and are not looked at. Ends, and takes the
card away with that, when either side does.
"""
import argparse
import select
import socket


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--unix", required=True)
    options = parser.parse_args()
    card = socket.socket(socket.AF_UNIX)
    card.connect(options.unix)
    reader = socket.create_connection(("127.0.0.1", options.port))
    reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        for source in select.select((card, reader), (), ())[0]:
            if source is reader:    # the driver sends length and payload apart: otherwise the second waits 40 ms for our acknowledgement
                reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            data = source.recv(4096)
            if not data:
                return
            (reader if source is card else card).sendall(data)


if __name__ == "__main__":
    try:
        main()
    except (ConnectionError, KeyboardInterrupt):
        pass
