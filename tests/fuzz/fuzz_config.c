/* config.json: read, and rewritten as for the output. Accepted means: sizes that fit together and products that do not
 * overflow; a rewritten text is JSON again. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "io/json.h"
#include "model/config.h"
#include "model/family.h"

static void check_config(const gs_config *c)
{
    const gs_family *family;
    gs_error err;
    GS_FUZZ_CHECK(c->hidden > 0 && c->layers > 0 && c->heads > 0 && c->groups > 0 && c->head_dim > 0 && c->ffn > 0);
    GS_FUZZ_CHECK(c->vocab > 0 && c->max_positions > 0 && c->heads % c->groups == 0 && c->norm_eps > 0);
    GS_FUZZ_CHECK(c->n_eos >= 0 && c->n_eos <= 8);
    GS_FUZZ_CHECK(gs_config_qkv_width(c) > 0 && gs_config_attention_width(c) > 0);
    gs_fuzz_outcome(gs_family_find(c, &family, &err), &err);
}

static void check_rewrite(const char *text, size_t n)
{
    static const gs_json_set sets[] = {{"quantize", "\"w8a8\""}, {"quantization_config", "{}"}};
    char *out, *again;
    size_t out_n, again_n;
    gs_error err;
    gs_status status = gs_json_rewrite(text, n, "config.json", 4, sets, 2, &out, &out_n, &err);
    gs_fuzz_outcome(status, &err);
    if (status != GS_OK) return;
    status = gs_json_rewrite(out, out_n, "rewritten", 4, sets, 2, &again, &again_n, &err);
    GS_FUZZ_CHECK(status == GS_OK && again_n == out_n);
    gs_free(again);
    gs_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    gs_error err;
    gs_config c = {0};
    char *text = gs_fuzz_copy(data, n);
    const gs_status status = gs_config_parse(&c, text, n, "config.json", &err);
    gs_fuzz_outcome(status, &err);
    if (status == GS_OK) check_config(&c);
    gs_config_release(&c);
    check_rewrite(text, n);
    gs_free(text);
    return 0;
}
