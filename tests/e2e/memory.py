# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a process, to be searched."""


def memory_of(pid):
    """All that a process can write to, piece by piece: in the rest there are only files."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            first, last = (int(part, 16) for part in span.split("-"))
            if "w" not in rights or last - first > 1 << 34:
                continue
            try:
                memory.seek(first)
                while first < last:
                    part = memory.read(min(last - first, 1 << 22))
                    if not part:
                        break
                    yield part
                    first += len(part)
            except (OSError, ValueError, OverflowError):
                continue
