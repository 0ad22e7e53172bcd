/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The parsers that everything else stands on: TLV, leaves, text, proofs, scripts, identifiers.
 */
#include <stdlib.h>

#include "base/leaf.h"
#include "base/merkle.h"
#include "base/text.h"
#include "base/tlv.h"
#include "cardlink/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tlv(cb_bytes bytes, unsigned depth)
{
    cb_cursor cursor = cb_cursor_over(bytes);
    cb_tlv object;
    while (cb_tlv_next(&cursor, &object)) {
        if (object.value.len > bytes.len)
            abort();
        if (depth < 4)
            read_tlv(object.value, depth + 1);
    }
}

/* What hexadecimal or base64 stands for, written again, is what was read (but for the case of
 * hexadecimal digits). */
static void read_text(cb_bytes bytes)
{
    cb_buf decoded = CB_BUF(70000), again = CB_BUF(140000);
    if (cb_unbase64url(bytes, &decoded) == CB_OK) {
        cb_buf_put_base64url(&again, cb_buf_bytes(&decoded));
        if (!cb_bytes_same(bytes, cb_buf_bytes(&again)))
            abort();
    }
    cb_buf_reset(&decoded);
    cb_buf_reset(&again);
    if (cb_unbase64(bytes, &decoded) == CB_OK) {
        cb_buf_put_base64(&again, cb_buf_bytes(&decoded));
        if (!cb_bytes_same(bytes, cb_buf_bytes(&again)))
            abort();
    }
    cb_buf_reset(&decoded);
    if (cb_unhex(bytes, &decoded) == CB_OK && decoded.len * 2 != bytes.len)
        abort();
    cb_buf_free(&decoded);
    cb_buf_free(&again);
}

static void read_proof(cb_bytes bytes)
{
    cb_cursor cursor = cb_cursor_over(bytes);
    cb_merkle_proof proof;
    static const cb_tree_head old = {.size = 5}, now = {.size = 9};
    cb_digest leaf = cb_sha256(bytes);
    cb_merkle_proof_get(&cursor, &proof);
    if (proof.count > CB_MERKLE_PROOF_MAX || cb_merkle_extends(&old, &now, &proof) ||
        cb_merkle_includes(&now, 3, &leaf, &proof))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_bytes bytes = cb_bytes_make(data, size);
    cb_buf value = CB_BUF(CB_LEAF_MAX), text = CB_BUF(size + 1);
    cb_script script;
    cb_id id;
    read_tlv(bytes, 0);
    read_text(bytes);
    read_proof(bytes);
    cb_leaf_find(bytes, "kind", &value);
    if (cb_script_read(bytes, CB_ANSWER_MAX, &script) == CB_OK &&
        script.count > CB_SCRIPT_COMMANDS_MAX)
        abort();
    cb_buf_put(&text, bytes);
    const char *string = cb_buf_cstr(&text);
    if (string)
        cb_id_parse(string, &id);
    cb_buf_free(&value);
    cb_buf_free(&text);
    return 0;
}
