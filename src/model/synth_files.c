/* config.json, generation_config.json and a small byte-level tokenizer for a synthetic checkpoint. The tokenizer's
 * entries follow a rule instead of a training text: single bytes, pairs of letters, a blank before one or two
 * letters, numbers of two and three digits, and the first two bytes of common Chinese characters. Every text can be
 * encoded with it; English comes to about two characters a token. SPDX-License-Identifier: Apache-2.0 */
#include "model/synth_files.h"

#include <string.h>

#include "io/json.h"

static const char *const specials[GS_SYNTH_SPECIALS] = {"<|endoftext|>",
                                                        "[MASK]",
                                                        "[gMASK]",
                                                        "[sMASK]",
                                                        "<sop>",
                                                        "<eop>",
                                                        "<|system|>",
                                                        "<|user|>",
                                                        "<|assistant|>",
                                                        "<|observation|>",
                                                        "<|begin_of_image|>",
                                                        "<|end_of_image|>",
                                                        "<|begin_of_video|>",
                                                        "<|end_of_video|>"};
static const int ends[] = {0, 7, 9}; /* the specials that end a text */

/* ---- tokenizer.model ---- */

static void add_base64(gs_str *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const size_t left = n - i;
        const uint32_t v = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                           (left > 2 ? (uint32_t)bytes[i + 2] : 0);
        gs_str_addc(out, digits[v >> 18]);
        gs_str_addc(out, digits[v >> 12 & 63]);
        gs_str_addc(out, left > 1 ? digits[v >> 6 & 63] : '=');
        gs_str_addc(out, left > 2 ? digits[v & 63] : '=');
    }
}

/* Entries are numbered in the order they come. With out == NULL they are only counted. */
typedef struct entries {
    gs_str *out;
    int64_t count, limit;
} entries;

static void add_entry(entries *e, const void *bytes, size_t n)
{
    if (e->count >= e->limit) return;
    if (e->out) {
        add_base64(e->out, bytes, n);
        gs_str_printf(e->out, " %lld\n", (long long)e->count);
    }
    e->count++;
}

static bool printable(int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173); }

static void add_bytes(entries *e)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 256; i++) {
            const uint8_t byte = (uint8_t)i;
            if (printable(i) == (pass == 0)) add_entry(e, &byte, 1);
        }
    }
}

static void add_letters(entries *e)
{
    static const char often[] = "etaoinshrdlcumwfgypbvkjxqz";
    for (const char *a = often; *a; a++) add_entry(e, (const char[]){' ', *a}, 2);
    for (const char *a = often; *a; a++)
        for (const char *b = often; *b; b++) add_entry(e, (const char[]){*a, *b}, 2);
    for (const char *a = often; *a; a++)
        for (const char *b = often; *b; b++) add_entry(e, (const char[]){' ', *a, *b}, 3);
}

static void add_numbers(entries *e)
{
    for (int i = 0; i < 100; i++) add_entry(e, (const char[]){(char)('0' + i / 10), (char)('0' + i % 10)}, 2);
    for (int i = 0; i < 1000; i++)
        add_entry(e, (const char[]){(char)('0' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10)}, 3);
}

static void add_all(entries *e)
{
    add_bytes(e);
    add_letters(e);
    for (int lead = 0xe4; lead <= 0xe9; lead++)
        for (int next = 0x80; next <= 0xbf; next++) add_entry(e, (const uint8_t[]){(uint8_t)lead, (uint8_t)next}, 2);
    add_numbers(e);
}

int64_t gs_synth_ranks(int64_t vocab)
{
    entries e = {.limit = vocab - GS_SYNTH_SPECIALS - GS_SYNTH_PADDING};
    add_all(&e);
    return e.count;
}

void gs_synth_tokenizer_model(int64_t ranks, gs_str *out)
{
    entries e = {.out = out, .limit = ranks};
    add_all(&e);
}

/* ---- JSON ---- */

static void put_ends(gs_json_out *j, int64_t ranks)
{
    gs_json_out_key(j, "eos_token_id");
    gs_json_out_begin(j, '[');
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) gs_json_out_int(j, ranks + ends[i]);
    gs_json_out_end(j);
    gs_json_put_int(j, "pad_token_id", ranks + ends[0]);
}

static void finish(gs_json_out *j, gs_str *out)
{
    size_t n;
    gs_json_out_end(j);
    char *const text = gs_json_out_finish(j, &n);
    gs_str_add(out, text, n);
    gs_str_addc(out, '\n');
    gs_free(text);
}

static void put_sizes(gs_json_out *j, const gs_synth_spec *s)
{
    gs_json_put_int(j, "ffn_hidden_size", s->ffn);
    gs_json_put_int(j, "hidden_size", s->hidden);
    gs_json_put_int(j, "kv_channels", s->head_dim);
    gs_json_put_double(j, "layernorm_epsilon", 1.5625e-07);
    gs_json_put_bool(j, "multi_query_attention", true);
    gs_json_put_int(j, "multi_query_group_num", s->groups);
    gs_json_put_int(j, "num_attention_heads", s->heads);
    gs_json_put_int(j, "num_layers", s->layers);
    gs_json_put_int(j, "padded_vocab_size", s->vocab);
    if (s->rope_ratio != 0.0) gs_json_put_double(j, "rope_ratio", s->rope_ratio);
    gs_json_put_int(j, "seq_length", s->rope_ratio != 0.0 ? 131072 : 8192);
}

void gs_synth_config_json(const gs_synth_spec *s, gs_str *out)
{
    gs_json_out *const j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    gs_json_put_string(j, "_name_or_path", "glm-4-synthetic");
    gs_json_put_string(j, "model_type", "chatglm");
    gs_json_out_key(j, "architectures");
    gs_json_out_begin(j, '[');
    gs_json_out_string(j, "ChatGLMModel");
    gs_json_out_end(j);
    gs_json_put_bool(j, "add_bias_linear", false);
    gs_json_put_bool(j, "add_qkv_bias", true);
    gs_json_put_bool(j, "apply_query_key_layer_scaling", true);
    gs_json_put_bool(j, "apply_residual_connection_post_layernorm", false);
    gs_json_put_bool(j, "attention_softmax_in_fp32", true);
    gs_json_put_bool(j, "fp32_residual_connection", false);
    gs_json_put_bool(j, "original_rope", true);
    gs_json_put_bool(j, "post_layer_norm", true);
    gs_json_put_bool(j, "rmsnorm", true);
    put_sizes(j, s);
    gs_json_put_bool(j, "use_cache", true);
    gs_json_put_string(j, "torch_dtype", s->torch_dtype ? s->torch_dtype : "bfloat16");
    gs_json_put_bool(j, "tie_word_embeddings", false);
    put_ends(j, gs_synth_ranks(s->vocab));
    finish(j, out);
}

void gs_synth_generation_json(const gs_synth_spec *s, gs_str *out)
{
    gs_json_out *const j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    put_ends(j, gs_synth_ranks(s->vocab));
    gs_json_put_bool(j, "do_sample", true);
    gs_json_put_double(j, "temperature", 0.8);
    gs_json_put_double(j, "top_p", 0.8);
    gs_json_put_int(j, "top_k", s->vocab < 50 ? s->vocab : 50);
    finish(j, out);
}

void gs_synth_tokenizer_json(int64_t ranks, gs_str *out)
{
    gs_json_out *const j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    gs_json_out_key(j, "added_tokens_decoder");
    gs_json_out_begin(j, '{');
    for (int i = 0; i < GS_SYNTH_SPECIALS; i++) {
        char id[24];
        snprintf(id, sizeof id, "%lld", (long long)(ranks + i));
        gs_json_out_key(j, id);
        gs_json_out_begin(j, '{');
        gs_json_put_string(j, "content", specials[i]);
        gs_json_put_bool(j, "lstrip", false);
        gs_json_put_bool(j, "normalized", false);
        gs_json_put_bool(j, "rstrip", false);
        gs_json_put_bool(j, "single_word", false);
        gs_json_put_bool(j, "special", true);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
    gs_json_out_key(j, "additional_special_tokens");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < GS_SYNTH_SPECIALS; i++) gs_json_out_string(j, specials[i]);
    gs_json_out_end(j);
    gs_json_put_bool(j, "clean_up_tokenization_spaces", false);
    gs_json_put_bool(j, "do_lower_case", false);
    gs_json_put_string(j, "eos_token", specials[0]);
    gs_json_put_string(j, "pad_token", specials[0]);
    gs_json_put_string(j, "padding_side", "left");
    gs_json_put_bool(j, "remove_space", false);
    gs_json_put_string(j, "tokenizer_class", "ChatGLM4Tokenizer");
    finish(j, out);
}
