# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a process, and files, to be searched for what must not be there."""

import array
import mmap

PIECE = 1 << 22
IN_MEMORY = 1 << 62     # of a page's entry in pagemap: this bit says swapped out, the one above it present


def there(pagemap, first, last):
    """Whether any page of that range is in memory or swapped out: what was never touched is zero."""
    pagemap.seek(first // mmap.PAGESIZE * 8)
    pages = array.array("Q", pagemap.read((last - first) // mmap.PAGESIZE * 8))
    return any(page >= IN_MEMORY for page in pages)


def memory_of(pid):
    """All that a process can write to, piece by piece: in the rest there are only files."""
    with (open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory,
          open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap):
        for line in maps:
            span, rights = line.split()[:2]
            first, last = (int(part, 16) for part in span.split("-"))
            if "w" not in rights or last - first > 1 << 34:
                continue
            try:
                for at in range(first, last, PIECE):
                    end = min(at + PIECE, last)
                    if there(pagemap, at, end):
                        memory.seek(at)
                        yield memory.read(end - at)
            except (OSError, ValueError, OverflowError):
                continue


def spellings(secret):
    """A secret as text, as hexadecimal text, and as UTF-16."""
    return [secret.encode(), secret.encode().hex().encode(), secret.encode().hex().upper().encode(), secret.encode("utf-16-le")]


def in_memory_of(pid, *words):
    """Whether any of them, as bytes, is in it."""
    kept = b""
    for part in memory_of(pid):
        data = kept + part
        if any(word in data for word in words):
            return True
        kept = data[-64:]
    return False


def files(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
