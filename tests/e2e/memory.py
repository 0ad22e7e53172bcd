# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a process, to be searched."""

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
