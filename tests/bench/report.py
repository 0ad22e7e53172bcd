# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of tests/bench/run as tables, and as the picture of where the time goes."""

import re

import contactless

NAMES = {"cardbrokerd": "front end", "cardbroker-hsmd": "key service", "cardbroker-connectord": "connectors and logins"}
COLOURS = {"cardbrokerd": "#4477aa", "cardbroker-hsmd": "#ee6677", "cardbroker-connectord": "#228833"}
GREYS = ("#777777", "#888888", "#999999", "#aaaaaa", "#b4b4b4", "#bbbbbb", "#cccccc", "#dddddd")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def taps(figures):
    found = figures["taps"]
    rows = [(r["cards"], f"{r['taps_per_second']:.0f}", *(f"{r[key] / 1000:.1f}" for key in ("server_p50", "server_p99")),
             *(f"{r[f'{part}_p50'] / 1000:.1f}" for part in ("begin", "challenge", "proof")),
             f"{sum(r['cpu_us'].values()) / 1000:.2f}", f"{r['cpu_over_floor']:.2f}") for r in found["rows"]]
    first = table(("cards at a time", "taps/s", "server's share, ms: p50", "p99", "start p50", "challenge p50", "proof p50",
                   "CPU a tap, ms", "× floor"), rows)
    parts = [(name, part["times"], f"{part['us']:.0f}", part["what"]) for name, part in found["floor"].items()]
    parts.append(("**together**", "", f"**{found['floor_us']:.0f}**", ""))
    second = table(("floor", "times", "µs each", ""), parts)
    one = found["rows"][0]["cpu_us"]
    third = table(("CPU of one tap", "ms"), [(NAMES[name], f"{us / 1000:.2f}") for name, us in one.items()])
    return "\n\n".join((first, third, second))


def keys(figures):
    rows = [(r["key"], r["sealed_us"], r["floor_us"], f"{100 * r['floor_share']:.0f} %") for r in figures["keys"]["keys"]]
    return table(("key", "sealed, µs", "bare PKCS#11, µs", "bare / sealed"), rows)


def workers(figures):
    rows = [(r["workers"], f"{r['taps_per_second']:.0f}", f"{r['server_p50'] / 1000:.1f}", f"{r['server_p99'] / 1000:.1f}",
             f"{r['keys']['sealed_per_second']:.0f}", f"{r['keys']['bare_per_second']:.0f}", f"{100 * r['keys']['sealed_over_bare']:.0f} %")
            for r in figures["workers"]]
    return table(("workers", "taps/s, 8 cards", "server's share, ms: p50", "p99", "uses/s of sealed P-256 keys, one token", "of bare PKCS#11",
                  "sealed / bare"), rows)


def of_file(share):
    """How much of it the page cache had."""
    return f"{100 * share:.0f} %" if share > 0.995 or share < 0.005 else f"{100 * share:.1f} %"


def scale(figures):
    """Two rows for each number, and what a start takes."""
    ways = (("found", "as found"), ("read_through", "read through"))
    taps = [(f"{r['cards']:,}", f"{r['keys']:,}", words, of_file(r[way]["cached"]), *(r[way][key] for key in ("t1_p50", "t1_p99", "t2_p50", "t2_p99")),
             f"{r[way]['cpu_us']:.0f}", f"{r[way]['disk_kb']:.1f}") for r in figures["scale"] for way, words in ways]
    starts = [(f"{r['cards']:,}", f"{r['keys']:,}", f"{r['leaves']:,}", f"{r['file_mb']:,.0f}", f"{r['open_ms']:.0f}", f"{r['read_again_ms'] / 1000:.1f}",
               f"{r['logins_ms'] / 1000:.2f}", f"{r['rest_ms'] / 1000:.1f}", f"{r['resident_mb']:.0f}") for r in figures["scale"]]
    return "\n\n".join((
        table(("cards", "sealed keys", "the file", "of it in memory", "T1, µs: p50", "p99", "T2, µs: p50", "p99", "CPU of both, µs",
               "from the disk, kB"), taps),
        table(("cards", "sealed keys", "leaves", "file, MB", "open, ms", "record read again, s", "logins wait with a checkpoint, s",
               "the rest read by, s", "memory, MB"), starts)))


def whole(figures):
    """Ratios are to the first row of as many at a time."""
    first = figures["whole"][0]["taps"]
    cpu = [sum(t["cpu_us"].values()) for t in first]
    names = list(first[0]["by_profile"])
    taps = [(f"{r['cards']:,}{', once more' if r.get('again') else ''}", f"{r['keys']:,}", t["at_a_time"], f"{t['taps_per_second']:.0f}", f"{t['server_p50'] / 1000:.1f}",
             f"{t['server_p99'] / 1000:.1f}", f"{t['server_p50'] / first[i]['server_p50']:.2f}", f"{sum(t['cpu_us'].values()) / 1000:.2f}",
             f"{sum(t['cpu_us'].values()) / cpu[i]:.2f}", *(f"{each['server_p50'] / 1000:.1f}" if each["taps"] else "–" for each in (t["by_profile"][name] for name in names)))
            for r in figures["whole"] for i, t in enumerate(r["taps"])]
    places = [(f"{r['cards']:,}", f"{r['keys']:,}", f"{r['leaves']:,}", f"{r['file_mb']:,.0f}", of_file(r["cached"]), f"{r['bound_mb']:.1f}",
               f"{r['resident_mb']:.0f}", f"{r['first_tap_s']:.1f}", f"{r['read_s']:.1f}") for r in figures["whole"] if not r.get("again")]
    return "\n\n".join((
        table(("cards", "sealed keys", "at a time", "taps/s", "server's share, ms: p50", "p99", "p50 × the first", "CPU a tap, ms", "× the first",
               *(f"p50 of {name} cards" for name in names)), taps),
        table(("cards", "sealed keys", "leaves", "file, MB", "of it in memory", "bound cards, MB", "front end's memory, MB",
               "first tap after the start, s", "record read by, s"), places)))


def bound(figures):
    rows = [(f"{r['cards']:,}", f"{r['memory_mb']:.1f}", f"{r['resident_mb']:.0f}",
             *(r[f"{what}_{part}"] for what in ("tap", "bind", "cold") for part in ("p50", "p99", "cpu_us"))) for r in figures["bound"]]
    return table(("cards bound", "file, MB", "hsmd's memory, MB", "tap, µs: p50", "p99", "CPU", "binding, µs: p50", "p99", "CPU",
                  "binding, file not in memory, µs: p50", "p99", "CPU"), rows)


def measured(rows):
    return table(("card", "taps/s", "server's share, ms: p50", "p99", "CPU a tap, ms", "exchanges with the broker", "commands", "bytes to the card",
                  "bytes from it"),
                 [(r["kind"], f"{r['taps_per_second']:.0f}", f"{r['server_p50'] / 1000:.1f}", f"{r['server_p99'] / 1000:.1f}",
                   f"{sum(r['cpu_us'].values()) / 1000:.2f}", f"{r['exchanges']:.0f}", f"{r['apdus']:.0f}", f"{r['to_card']:.0f}",
                   f"{r['to_host']:.0f}") for r in rows])


def operations(rows):
    """What the chip is to compute, as the model counts it."""
    names = [name for name in rows[0]["operations"] if any(r["operations"][name] for r in rows)]
    return table(("operations of the card", *names),
                 [(r["kind"], *(f"{r['operations'][name]:g}" for name in names)) for r in rows])


def whole_taps(rows, chip):
    """Every rate and round trip; the first script held in advance."""
    held = [(rate, trip) for rate in contactless.RATES for trip in contactless.ROUND_TRIPS]
    return table((f"{chip} chip, ms", *(f"{rate} kbit/s, {trip} ms" for rate, trip in held)),
                 [(r["kind"], *(f"{contactless.total(r, chip, rate, trip):.0f}" for rate, trip in held)) for r in rows])


def where(rows, chip):
    """Where the time of a tap goes, at the goal's rate and round trip."""
    parts = [contactless.tap(r, chip, contactless.GOAL_RATE, contactless.GOAL_TRIP, True) for r in rows]
    head = f"{chip} chip, {contactless.GOAL_RATE} kbit/s, {contactless.GOAL_TRIP} ms, in ms"
    return table((head, *parts[0], "**together**", "without the first script in advance"),
                 [(r["kind"], *(f"{ms:.0f}" for ms in part.values()), f"**{sum(part.values()):.0f}**",
                   f"{contactless.total(r, chip, held=False):.0f}") for r, part in zip(rows, parts)])


def verdict(rows):
    """Of the goal: a native card, the first script held in advance."""
    native = next(r for r in rows if r["kind"] == "native")
    said = []
    for chip, each in contactless.CHIPS.items():
        ms = contactless.total(native, chip)
        fast = contactless.total(native, chip, rate=contactless.RATES[-1])
        said.append(f"{'met' if ms <= contactless.GOAL_MS else '**missed**'} with the {chip} chip, {each['name']}: {ms:.0f} ms "
                    f"at {contactless.GOAL_RATE} kbit/s, {fast:.0f} ms at {contactless.RATES[-1]}")
    return (f"The goal, at most {contactless.GOAL_MS} ms after contact for a native card without PIN at a round trip of "
            f"{contactless.GOAL_TRIP} ms, the first script held in advance, is {'; '.join(said)}.")


def profiles(figures):
    rows = figures["profiles"]
    tables = [measured(rows), operations(rows)]
    for chip in contactless.CHIPS:
        tables += [whole_taps(rows, chip), where(rows, chip)]
    return "\n\n".join([*tables, verdict(rows)])


def password(figures):
    r = figures["password"]
    return table(("logins/s, one at a time", "server's share, ms: p50", "p99", "CPU a login, ms", "exchanges with the broker",
                  "Argon2id at the terminal, ms: p50", "p99", "CPU of the terminal, ms"),
                 [(f"{r['taps_per_second']:.1f}", f"{r['server_p50'] / 1000:.1f}", f"{r['server_p99'] / 1000:.1f}",
                   f"{sum(r['cpu_us'].values()) / 1000:.2f}", f"{r['exchanges']:.0f}", f"{r['derive_p50'] / 1000:.0f}", f"{r['derive_p99'] / 1000:.0f}",
                   f"{r['generator_us'] / 1000:.0f}")])


def peer(figures):
    rows = [(r["users"], f"{r['logins_per_second']:.0f}", f"{r['p50'] / 1000:.1f}", f"{r['p99'] / 1000:.1f}", f"{r['cpu_us'] / 1000:.2f}")
            for r in figures["peer"]]
    if not rows:
        return "Not measured: the peer's package was not installed."
    return table(("logins at a time", "logins/s", "as the client sees it, ms: p50", "p99", "CPU a login, ms"), rows)


def acceptor(figures):
    ours, theirs = figures["acceptor"]["product"], figures["acceptor"]["libmicrohttpd"]
    rows = [(name, f"{ours[way]['cpu_us']:.0f}", f"{theirs[way]['cpu_us']:.0f}",
             f"{100 * theirs[way]['cpu_us'] / ours[way]['cpu_us']:.0f} %", ours[way]["a_second"], theirs[way]["a_second"])
            for way, name in (("connections", "connection with one request"), ("requests", "request on a kept connection"),
                              ("worked", "the same, left to a worker by the broker"))]
    return table(("", "CPU, µs: acceptor", "libmicrohttpd", "libmicrohttpd / acceptor", "a second: acceptor", "libmicrohttpd"), rows)


def revocation(figures):
    rows = []
    for name, key in (("answered", "ms"), ("the proof sent then is refused", "refused_ms")):
        times = figures["revocation"][key]
        rows += [(f"{name}: median", f"{times[len(times) // 2]:.1f}"), (f"{name}: slowest", f"{times[-1]:.1f}")]
    return table(("revocation under load, from its request until", "ms"), [*rows, ("proofs refused", f"{len(times)} of {len(times)}")])


def memory(figures):
    found = figures["memory"]
    rows = [(NAMES[name], f"{mb:.0f} MB") for name, mb in found["idle_mb"].items()]
    rows.append(("a relayed session", f"{found['session_mb']:.1f} MB"))
    return table(("resident memory", ""), rows)


TABLES = {"taps": taps, "workers": workers, "keys": keys, "scale": scale, "whole": whole, "bound": bound, "profiles": profiles, "password": password, "acceptor": acceptor, "revocation": revocation,
          "memory": memory, "peer": peer}


def machine(figures):
    m = figures["machine"]
    return f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, load {m['load']:.1f} at the start."


def text(figures):
    return "\n\n".join([machine(figures)] + [TABLES[name](figures) for name in TABLES if name in figures])


def bar(pieces, x, width, scale, bottom):
    """A stack of (label, value, colour), from the bottom up."""
    out, y = [], bottom
    for label, value, colour in pieces:
        height = value * scale
        y -= height
        out.append(f'<rect x="{x}" y="{y:.1f}" width="{width}" height="{height:.1f}" fill="{colour}"/>')
        if height >= 11:
            out.append(f'<text x="{x + width + 6}" y="{y + height / 2 + 4:.1f}">{label}: {value / 1000:.2f} ms</text>')
    return out


def picture(figures):
    """Two stacks to one scale: what a tap costs, and what it cannot do without."""
    found = figures["taps"]
    cost = [(NAMES[name], us, COLOURS[name]) for name, us in found["rows"][0]["cpu_us"].items()]
    floor = [(f"{part['times']} × {name}", part["times"] * part["us"], grey)
             for (name, part), grey in zip(found["floor"].items(), GREYS)]
    most = max(sum(value for _, value, _ in pieces) for pieces in (cost, floor))
    scale, bottom = 260 / most, 300
    lines = ['<svg xmlns="http://www.w3.org/2000/svg" width="760" height="340" font-family="sans-serif" font-size="11" '
             'role="img" aria-label="CPU of one tap by program, beside the floor">', '<rect width="760" height="340" fill="white"/>']
    for x, title, pieces in ((30, "CPU of one tap", cost), (400, "the floor", floor)):
        lines += bar(pieces, x, 90, scale, bottom)
        total = sum(value for _, value, _ in pieces) / 1000
        lines.append(f'<text x="{x}" y="{bottom + 20}" font-weight="bold">{title}: {total:.2f} ms</text>')
    return "\n".join(lines + ["</svg>"]) + "\n"


def document(figures, docs):
    """Replaces what stands between the markers of docs/performance.md, and the picture."""
    page = docs / "performance.md"
    whole = page.read_text()
    for name, made in {"machine": machine, **TABLES}.items():
        if name in figures:
            mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
            whole = mark.sub(lambda m, made=made: f"{m[1]}\n{made(figures)}\n\n{m[2]}", whole)
    page.write_text(whole)
    if "taps" in figures:
        (docs / "performance.svg").write_text(picture(figures))
