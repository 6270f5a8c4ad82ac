/* Greedy continuation with a KV cache. Blocks stay in memory as far as the limit allows; the others, and the output
 * layer if need be, are read again for every token. The prompt goes through block by block, so that reading costs
 * nothing extra there. Keys are attended in fixed blocks, so a token computed with the cache has the bits of one
 * computed with its whole text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/generate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/scratch.h"

#define HEAD_ROWS 4096 /* rows of the output layer at a time when it is not kept */

struct gs_generator {
    gs_compute *c;
    gs_config config;
    const gs_family *family;
    gs_checkpoint ck;
    gs_model_tensors tensors;
    uint64_t limit;
    bool limit_given;

    gs_block *block; /* [layers]; the first n_kept are kept */
    int64_t n_kept;
    gs_block passing; /* the others, one after the other */
    bool keep_head;
    gs_packed head;
    float *final_norm; /* [hidden] */

    int64_t capacity; /* positions in rope and cache */
    gs_rope rope;
    gs_buf cache; /* [layers, capacity, 2·groups·head_dim] */
    gs_scratch scratch;
    gs_buf h;      /* [capacity, hidden] */
    float *x;      /* [hidden], the last row after the final norm */
    float *logits; /* [vocab] */
};

/* What the kernel and, in a container, the memory controller leave; 0 = unknown. */
static uint64_t read_number(const char *path, const char *after)
{
    char line[256];
    unsigned long long v = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, after, strlen(after)) != 0) continue;
        if (sscanf(line + strlen(after), "%llu", &v) != 1) v = 0; /* "max" */
        break;
    }
    if (f) fclose(f);
    return v;
}

static uint64_t free_memory(void)
{
    const uint64_t machine = read_number("/proc/meminfo", "MemAvailable:") * 1024;
    const uint64_t most = read_number("/sys/fs/cgroup/memory.max", ""),
                   used = read_number("/sys/fs/cgroup/memory.current", "");
    const uint64_t group = most > used ? most - used : 0;
    return most && (!machine || group < machine) ? group : machine;
}

static gs_status open_model(gs_generator *g, const char *dir, gs_error *err)
{
    GS_TRY(gs_config_read(&g->config, dir, err));
    GS_TRY(gs_family_find(&g->config, &g->family, err));
    GS_TRY(gs_checkpoint_open(&g->ck, dir, err));
    GS_TRY(gs_model_tensors_find(&g->tensors, g->family, &g->config, &g->ck, err));
    g->block = gs_alloc_array((size_t)g->config.layers, sizeof *g->block);
    g->final_norm = gs_alloc_array((size_t)g->config.hidden, sizeof(float));
    g->x = gs_alloc_array((size_t)g->config.hidden, sizeof(float));
    g->logits = gs_alloc_array((size_t)g->config.vocab, sizeof(float));
    return gs_checkpoint_read_f32(&g->ck, g->tensors.final_norm, g->final_norm, err);
}

gs_status gs_generator_open(gs_generator **out, gs_compute *c, const char *model_dir, uint64_t memory_limit,
                            gs_error *err)
{
    gs_generator *g = gs_alloc(sizeof *g);
    g->c = c;
    g->limit_given = memory_limit > 0;
    g->limit = memory_limit ? memory_limit : gs_buf_now() + free_memory() / 4 * 3;
    const gs_status status = open_model(g, model_dir, err);
    if (status != GS_OK) {
        gs_generator_close(g);
        g = NULL;
    }
    *out = g;
    return status;
}

const gs_config *gs_generator_config(const gs_generator *g) { return &g->config; }

static void release_run(gs_generator *g)
{
    gs_rope_release(&g->rope);
    gs_scratch_release(&g->scratch);
    gs_buf_release(&g->cache);
    gs_buf_release(&g->h);
    g->capacity = 0;
}

void gs_generator_close(gs_generator *g)
{
    if (!g) return;
    release_run(g);
    for (int64_t i = 0; g->block && i < g->config.layers; i++) gs_block_release(&g->block[i]);
    gs_block_release(&g->passing);
    gs_packed_release(&g->head);
    gs_free(g->block);
    gs_free(g->final_norm);
    gs_free(g->x);
    gs_free(g->logits);
    gs_model_tensors_release(&g->tensors);
    gs_checkpoint_close(&g->ck);
    gs_config_release(&g->config);
    gs_free(g);
}

/* ---- what is kept ---- */

static size_t head_bytes(const gs_generator *g, int64_t rows)
{
    const gs_tensor *t = g->tensors.head;
    return gs_packed_bytes(t->dtype == GS_BF16 ? GS_PACK_BF16 : GS_PACK_F32, rows, t->shape[1]);
}

static void forget_weights(gs_generator *g)
{
    for (int64_t i = 0; i < g->config.layers; i++) gs_block_release(&g->block[i]);
    gs_block_release(&g->passing);
    gs_packed_release(&g->head);
}

/* Everything, or as many blocks as fit beside one passing block and a part of the output layer. */
static gs_status decide(gs_generator *g, gs_error *err)
{
    const int64_t layers = g->config.layers, head_rows = g->config.vocab < HEAD_ROWS ? g->config.vocab : HEAD_ROWS;
    uint64_t all = 0, largest = 0, stage = 0;
    for (int64_t i = 0; i < layers; i++) {
        const uint64_t bytes = gs_block_bytes(&g->config, &g->tensors.block[i]);
        const uint64_t load = gs_load_bytes(&g->tensors.block[i]);
        all += bytes;
        if (bytes > largest) largest = bytes;
        if (load > stage) stage = load;
    }
    const uint64_t used = gs_buf_now(), room = g->limit > used ? g->limit - used : 0;
    const uint64_t whole_head = head_bytes(g, g->config.vocab), least = largest + head_bytes(g, head_rows) + stage;
    g->keep_head = all + whole_head + stage <= room;
    g->n_kept = g->keep_head ? layers : largest > 0 && room > least ? (int64_t)((room - least) / largest) : 0;
    if (g->n_kept > layers) g->n_kept = layers;
    if (!g->limit_given || room >= least) return GS_OK;
    return gs_fail(
        err, GS_ERR_MEMORY,
        "a memory limit of %llu MB is too small to run this model: it needs at least %llu MB; raise the limit",
        (unsigned long long)(g->limit >> 20), (unsigned long long)((used + least + (1u << 20) - 1) >> 20));
}

static gs_status prepare(gs_generator *g, int64_t positions, gs_error *err)
{
    const gs_config *c = &g->config;
    size_t bytes = sizeof(float), h = sizeof(float);
    if (positions <= g->capacity) return GS_OK;
    release_run(g);
    forget_weights(g);
    if (!gs_mul_size((size_t)(2 * c->groups * c->head_dim * c->layers), (size_t)positions, &bytes) ||
        !gs_mul_size(bytes, sizeof(float), &bytes) || !gs_mul_size((size_t)positions, (size_t)c->hidden, &h) ||
        !gs_mul_size(h, sizeof(float), &h))
        return gs_fail(err, GS_ERR_MEMORY, "a cache for %lld positions is too large", (long long)positions);
    GS_TRY(gs_rope_init(&g->rope, positions, c->rotary, c->rope_base, err));
    GS_TRY(gs_buf_alloc(&g->cache, bytes, "keys and values of all positions", err));
    GS_TRY(gs_buf_alloc(&g->h, h, "hidden states of the text", err));
    GS_TRY(gs_scratch_init(&g->scratch, c, positions < GS_LINEAR_ROWS ? positions : GS_LINEAR_ROWS, false, err));
    GS_TRY(decide(g, err));
    g->capacity = positions;
    return GS_OK;
}

static gs_status get_block(gs_generator *g, int64_t i, const gs_block **out, gs_error *err)
{
    gs_block *b = i < g->n_kept ? &g->block[i] : &g->passing;
    *out = b;
    if (i < g->n_kept && b->config) return GS_OK;
    const gs_status status = gs_block_load(b, g->c, &g->config, &g->ck, &g->tensors.block[i], err);
    if (status != GS_OK) gs_block_release(b); /* a kept block is whole or absent */
    return status;
}

/* ---- computing ---- */

static gs_status feed(gs_generator *g, const int32_t *ids, int64_t n, int64_t pos0, gs_error *err)
{
    const gs_config *c = &g->config;
    const int64_t kv = 2 * c->groups * c->head_dim;
    float *const h = g->h.data;
    GS_TRY(gs_embed(&g->ck, g->tensors.embedding, ids, n, h, err));
    for (int64_t i = 0; i < c->layers; i++) {
        const gs_block *b;
        float *const cache = (float *)g->cache.data + i * g->capacity * kv;
        GS_TRY(get_block(g, i, &b, err));
        for (int64_t row = 0; row < n; row += GS_LINEAR_ROWS) {
            const int64_t rows = n - row < GS_LINEAR_ROWS ? n - row : GS_LINEAR_ROWS;
            GS_TRY(gs_block_step(g->c, b, (int)i, &g->rope, rows, pos0 + row, h + row * c->hidden, cache, &g->scratch,
                                 err));
        }
    }
    gs_rmsnorm(g->c, 1, c->hidden, h + (n - 1) * c->hidden, g->final_norm, NULL, c->norm_eps, g->x);
    return GS_OK;
}

static gs_status compute_logits(gs_generator *g, gs_error *err)
{
    const gs_tensor *t = g->tensors.head;
    const int64_t vocab = g->config.vocab, step = g->keep_head ? vocab : HEAD_ROWS;
    for (int64_t row = 0; row < vocab; row += step) {
        const int64_t rows = vocab - row < step ? vocab - row : step;
        if (!g->keep_head || !g->head.buf.data) {
            const gs_status status = gs_weight_load_rows(&g->head, g->c, &g->ck, t, row, rows, err);
            if (status != GS_OK) gs_packed_release(&g->head);
            GS_TRY(status);
        }
        gs_gemm_f32(g->c, &g->head, 1, g->x, g->config.hidden, NULL, g->logits + row, rows);
    }
    for (int64_t i = 0; i < vocab; i++)
        if (!isfinite(g->logits[i]))
            return gs_fail(err, GS_ERR_NUMERIC, "the output layer '%s' gives NaN or infinity for token %lld", t->name,
                           (long long)i);
    return GS_OK;
}

static int32_t greatest(const gs_generator *g)
{
    int32_t best = 0;
    for (int32_t i = 1; i < g->config.vocab; i++)
        if (g->logits[i] > g->logits[best]) best = i;
    return best;
}

static bool is_end(const gs_config *c, int32_t id)
{
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id) return true;
    return false;
}

static gs_status check_length(const gs_generator *g, int64_t n, gs_error *err)
{
    if (n >= 1 && n <= g->config.max_positions) return GS_OK;
    return gs_fail(err, GS_ERR_USAGE, "a prompt of %lld tokens does not fit: the model takes 1 to %lld (seq_length)",
                   (long long)n, (long long)g->config.max_positions);
}

gs_status gs_generator_run(gs_generator *g, const int32_t *prompt, int64_t n, int64_t max_new,
                           bool (*each)(void *ctx, int32_t id), void *ctx, gs_error *err)
{
    GS_TRY(check_length(g, n, err));
    const int64_t left = g->config.max_positions - n, most = max_new < left ? max_new : left;
    GS_TRY(prepare(g, n + (most > 0 ? most : 0), err));
    if (most <= 0) return GS_OK;
    GS_TRY(feed(g, prompt, n, 0, err));
    for (int64_t made = 0;;) {
        GS_TRY(compute_logits(g, err));
        const int32_t id = greatest(g);
        if (is_end(&g->config, id) || !each(ctx, id) || ++made == most) return GS_OK;
        GS_TRY(feed(g, &id, 1, n + made - 1, err));
    }
}

gs_status gs_generator_logits(gs_generator *g, const int32_t *ids, int64_t n, float *logits, gs_error *err)
{
    GS_TRY(check_length(g, n, err));
    GS_TRY(prepare(g, n, err));
    GS_TRY(feed(g, ids, n, 0, err));
    GS_TRY(compute_logits(g, err));
    memcpy(logits, g->logits, (size_t)g->config.vocab * sizeof *logits);
    return GS_OK;
}
