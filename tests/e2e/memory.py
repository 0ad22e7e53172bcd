# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a process, and files, to be searched for what must not be there."""

import array
import base64
import mmap

PIECE = 1 << 22
IN_MEMORY = 1 << 62     # of a page's entry in pagemap: this bit says swapped out, the one above it present


def there(pagemap, first, last):
    """Whether any page of that range is in memory or swapped out: what was never touched is zero."""
    pagemap.seek(first // mmap.PAGESIZE * 8)
    pages = array.array("Q", pagemap.read((last - first) // mmap.PAGESIZE * 8))
    return any(page >= IN_MEMORY for page in pages)


def is_mapped(pid, span):
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        return any(line.startswith(span + " ") for line in maps)


def memory_of(pid):
    """All that a process can write to, piece by piece: in the rest there are only files. What cannot be read though it is there is an error."""
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
                if is_mapped(pid, span):      # otherwise the process has let go of it
                    raise


def spellings(secret):
    """A secret as text, also backwards, as hexadecimal text, in base64, and as UTF-16."""
    text = secret.encode()
    return [text, text[::-1], text.hex().encode(), text.hex().upper().encode(), base64.b64encode(text).rstrip(b"="), secret.encode("utf-16-le")]


def in_memory_of(pid, *words):
    """Whether any of them, as bytes, is in it."""
    kept, read = b"", 0
    for part in memory_of(pid):
        read += len(part)
        data = kept + part
        if any(word in data for word in words):
            return True
        kept = data[-64:]
    if read == 0:
        raise AssertionError(f"nothing of the memory of process {pid} was read")
    return False


def files(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
