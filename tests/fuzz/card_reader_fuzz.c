/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a virtual reader's driver sends to the card: messages of the wrong length, in pieces,
 * without end.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cardlink/card/reader.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world w;

static void clean_up(void) { world_free(&w); }

static void prepare(void)
{
    static bool made;
    if (!made) {
        made = true;
        world_make(&w, false);
        atexit(clean_up);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    uint8_t answers[4096];
    cb_vcard_reader reader;
    prepare();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        abort();
    cb_vcard_reader_init(&reader, "127.0.0.1:1", true);
    reader.card = w.card;
    reader.fd = pair[0];
    cb_vcard_reset(w.card);
    for (size_t sent = 0; sent < size && reader.fd >= 0;) {
        size_t piece = size - sent < 700 ? size - sent : 700;
        struct pollfd polled[2] = {{.fd = reader.fd, .revents = POLLIN}, {.fd = -1}};
        if (send(pair[1], data + sent, piece, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
        sent += piece;
        cb_vcard_reader_serve(&reader, polled);
        while (recv(pair[1], answers, sizeof answers, MSG_DONTWAIT) > 0)
            ;
    }
    /* Without the broker's signature nothing is compared and nothing said. */
    if (cb_vcard_state_of(w.card)->counter != 0 || cb_vcard_state_of(w.card)->pin_tries != 3)
        abort();
    cb_vcard_reader_remove(&reader);
    close(pair[1]);
    return 0;
}
