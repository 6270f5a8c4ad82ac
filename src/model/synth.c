/* Writes a synthetic checkpoint: weights drawn row by row, so that memory does not depend on the model's size and
 * bits do not depend on the number of threads. Scales keep activations near 1 through any number of layers: linears
 * have gain 1 on normed inputs, so the residual stream grows with the square root of the depth. Outlier channels
 * change no output: a norm weight is multiplied by s and the columns of the linear behind it are divided by s; rows
 * of the up half of dense_h_to_4h are multiplied and the columns of dense_4h_to_h divided.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/synth.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/pool.h"
#include "io/outdir.h"
#include "io/writer.h"
#include "model/family.h"
#include "model/synth_files.h"
#include "num/num.h"

#define CHUNK_BYTES   (16u << 20)
#define DEFAULT_SHARD (2000000000)

/* ---- random numbers ---- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Independent streams by number: splitmix64 from a mixed start. */
static uint64_t stream(uint64_t key, uint64_t number) { return mix(key + mix(number + 0x9e3779b97f4a7c15u)); }

static uint64_t next(uint64_t *state) { return mix(*state += 0x9e3779b97f4a7c15u); }

/* Sum of four uniforms: mean 0, deviation 1, at most 3.46. */
static float normal(uint64_t *state)
{
    const uint64_t u = next(state);
    const int32_t sum =
        (int32_t)(u & 0xffff) + (int32_t)(u >> 16 & 0xffff) + (int32_t)(u >> 32 & 0xffff) + (int32_t)(u >> 48);
    return (float)(sum - 131070) * (1.0f / 37837.2f);
}

static float uniform(uint64_t *state) { return (float)(next(state) >> 40) * (1.0f / 16777216.0f); }

/* ---- outlier channels ---- */

/* Multiply gain at `count` places of n that are still 1 by a factor log-uniform in low .. low·ratio. */
static void raise_channels(uint64_t key, int count, int64_t n, float low, float ratio, float *gain)
{
    uint64_t state = key;
    for (int i = 0; i < count; i++) {
        int64_t at = (int64_t)(next(&state) % (uint64_t)n);
        while (gain[at] != 1.0f) at = (at + 1) % n;
        gain[at] = low * gs_pow(ratio, uniform(&state));
    }
}

static void fill_ones(float *gain, int64_t n)
{
    for (int64_t i = 0; i < n; i++) gain[i] = 1.0f;
}

static void invert(float *gain, int64_t n)
{
    for (int64_t i = 0; i < n; i++) gain[i] = 1.0f / gain[i];
}

/* Half of the channels are the same in all norms, the others each norm's own. */
static void norm_gain(const gs_synth_spec *s, int64_t block, int norm, float *gain)
{
    fill_ones(gain, s->hidden);
    raise_channels(stream(s->seed, 1), (s->outlier_channels + 1) / 2, s->hidden, 8.0f, 7.5f, gain);
    raise_channels(stream(s->seed, 16 + (uint64_t)(block * GS_NORMS + norm)), s->outlier_channels / 2, s->hidden, 8.0f,
                   7.5f, gain);
}

static void up_gain(const gs_synth_spec *s, int64_t block, float *gain)
{
    fill_ones(gain, s->ffn);
    raise_channels(stream(s->seed, (1u << 20) + (uint64_t)block), s->outlier_channels, s->ffn, 10.0f, 5.0f, gain);
}

/* ---- tensors ---- */

typedef struct synth {
    const gs_synth_spec *spec;
    gs_config config;
    const gs_family *family;
    gs_layout layout;
    gs_writer *writer;
    gs_pool *pool;
    gs_buf chunk;
    float *gain_in, *gain_out; /* [greatest width] */
} synth;

/* value[i, j] = (mean + deviation · normal) · row factor · row_gain[i] · col_gain[j] */
typedef struct fill {
    gs_pool *pool;
    gs_dtype dtype;
    uint64_t key;
    int64_t row0, cols;
    float mean, deviation;
    bool vary_rows;                   /* row factor in 0.5 .. 1.5: real rows differ */
    const float *row_gain, *col_gain; /* NULL = 1 */
    uint8_t *out;
} fill;

static void fill_row(void *ctx, int64_t task, int worker)
{
    const fill *f = ctx;
    float *const x = gs_pool_scratch(f->pool, worker);
    const int64_t row = f->row0 + task;
    uint64_t state = stream(f->key, (uint64_t)row);
    float factor = f->vary_rows ? 0.5f + uniform(&state) : 1.0f;
    if (f->row_gain) factor *= f->row_gain[row];
    for (int64_t j = 0; j < f->cols; j++) x[j] = (f->mean + f->deviation * normal(&state)) * factor;
    for (int64_t j = 0; f->col_gain && j < f->cols; j++) x[j] *= f->col_gain[j];
    gs_from_f32(f->dtype, x, f->out + (size_t)task * (size_t)f->cols * gs_dtype_bytes(f->dtype), f->cols);
}

/* Write tensor `index` of the layout; a vector counts as one row. */
static gs_status put(synth *y, int64_t index, fill f, gs_error *err)
{
    const gs_tensor *t = &y->layout.tensors[index];
    const int64_t rows = t->rank == 2 ? t->shape[0] : 1;
    f.cols = t->elements / rows;
    const size_t row_bytes = (size_t)f.cols * gs_dtype_bytes(t->dtype);
    const int64_t step = row_bytes < CHUNK_BYTES ? (int64_t)(CHUNK_BYTES / row_bytes) : 1;
    f.pool = y->pool;
    f.dtype = t->dtype;
    f.key = stream(y->spec->seed, (1u << 30) + (uint64_t)index);
    f.out = y->chunk.data;
    for (f.row0 = 0; f.row0 < rows; f.row0 += step) {
        const int64_t n = rows - f.row0 < step ? rows - f.row0 : step;
        GS_TRY(gs_check_interrupt(err));
        gs_pool_run(y->pool, n, fill_row, &f);
        GS_TRY(gs_writer_put(y->writer, index, (uint64_t)f.row0 * row_bytes, f.out, (size_t)n * row_bytes, err));
    }
    return GS_OK;
}

/* Present in such checkpoints and read by nobody. */
static gs_status put_frequencies(synth *y, int64_t index, gs_error *err)
{
    const gs_tensor *t = &y->layout.tensors[index];
    float *const f = gs_alloc_array((size_t)t->elements, sizeof *f);
    for (int64_t i = 0; i < t->elements; i++) f[i] = 1.0f / gs_pow(10000.0f, (float)i / (float)t->elements);
    gs_from_f32(t->dtype, f, y->chunk.data, t->elements);
    gs_free(f);
    return gs_writer_put(y->writer, index, 0, y->chunk.data, (size_t)t->elements * gs_dtype_bytes(t->dtype), err);
}

/* Tensors are written in the order they were added: *index runs along. */
static gs_status put_block(synth *y, int64_t block, int64_t *index, gs_error *err)
{
    const gs_synth_spec *s = y->spec;
    const float hidden = 1.0f / sqrtf((float)s->hidden), ffn = 1.0f / sqrtf((float)s->ffn);
    const float attended = 1.0f / sqrtf((float)(s->heads * s->head_dim));
    float *const in = y->gain_in, *const out = y->gain_out;

    norm_gain(s, block, GS_NORM_INPUT, in);
    GS_TRY(put(y, (*index)++, (fill){.mean = 1.0f, .deviation = 0.1f, .col_gain = in}, err));
    invert(in, s->hidden);
    GS_TRY(put(y, (*index)++, (fill){.deviation = hidden, .vary_rows = true, .col_gain = in}, err));
    GS_TRY(put(y, (*index)++, (fill){.deviation = 0.1f}, err));
    GS_TRY(put(y, (*index)++, (fill){.deviation = attended, .vary_rows = true}, err));
    norm_gain(s, block, GS_NORM_POST, in);
    GS_TRY(put(y, (*index)++, (fill){.mean = 1.0f, .deviation = 0.1f, .col_gain = in}, err));
    invert(in, s->hidden);
    fill_ones(out, s->ffn);
    up_gain(s, block, out + s->ffn);
    GS_TRY(put(y, (*index)++, (fill){.deviation = hidden, .vary_rows = true, .col_gain = in, .row_gain = out}, err));
    invert(out + s->ffn, s->ffn);
    return put(y, (*index)++, (fill){.deviation = ffn, .vary_rows = true, .col_gain = out + s->ffn}, err);
}

static gs_status put_all(synth *y, gs_error *err)
{
    const float hidden = 1.0f / sqrtf((float)y->spec->hidden);
    int64_t index = 0;
    GS_TRY(put(y, index++, (fill){.deviation = 0.7f}, err));
    GS_TRY(put_frequencies(y, index++, err));
    for (int64_t i = 0; i < y->spec->layers; i++) GS_TRY(put_block(y, i, &index, err));
    GS_TRY(put(y, index++, (fill){.mean = 1.0f, .deviation = 0.1f}, err));
    return put(y, index, (fill){.deviation = hidden}, err);
}

/* ---- layout ---- */

static void add(synth *y, const char *name, int64_t rows, int64_t cols)
{
    const int64_t shape[2] = {rows, cols};
    gs_layout_add(&y->layout, name, y->config.dtype, cols ? 2 : 1, shape);
}

static void add_linear(synth *y, int block, gs_role role)
{
    char name[GS_MAX_TENSOR_NAME];
    int64_t out, in;
    gs_role_shape(&y->config, role, &out, &in);
    add(y, gs_linear_name(y->family, block, role, ".weight", name, sizeof name), out, in);
    if (gs_role_has_bias(&y->config, role))
        add(y, gs_linear_name(y->family, block, role, ".bias", name, sizeof name), out, 0);
}

static gs_status plan(synth *y, gs_error *err)
{
    const gs_family *f = y->family;
    const gs_config *c = &y->config;
    char name[GS_MAX_TENSOR_NAME];
    uint64_t bytes = 0;
    add(y, f->embedding, c->vocab, c->hidden);
    add(y, f->ignored[0], c->rotary / 2, 0);
    for (int i = 0; i < (int)c->layers; i++) {
        add(y, gs_norm_name(f, i, GS_NORM_INPUT, ".weight", name, sizeof name), c->hidden, 0);
        add_linear(y, i, GS_QKV);
        add_linear(y, i, GS_DENSE);
        add(y, gs_norm_name(f, i, GS_NORM_POST, ".weight", name, sizeof name), c->hidden, 0);
        add_linear(y, i, GS_H4);
        add_linear(y, i, GS_4H);
    }
    add(y, f->final_norm, c->hidden, 0);
    snprintf(name, sizeof name, "%s.weight", f->head);
    add(y, name, c->vocab, c->hidden);
    for (int64_t i = 0; i < y->layout.count; i++)
        bytes += (uint64_t)y->layout.tensors[i].elements * gs_dtype_bytes(c->dtype);
    const uint64_t limit = (uint64_t)(y->spec->shard_bytes ? y->spec->shard_bytes : DEFAULT_SHARD);
    return gs_layout_plan(&y->layout, "model", bytes <= limit ? 0 : limit, err);
}

/* ---- files ---- */

static gs_status write_file(const char *dir, const char *name, const void *text, size_t n, gs_error *err)
{
    char *const path = gs_path_join(dir, name);
    const gs_status status = gs_file_write_all(path, text, n, 0644, err);
    gs_free(path);
    return status;
}

static gs_status write_small_files(const synth *y, const char *dir, gs_error *err)
{
    static const char *const names[] = {"generation_config.json", "tokenizer.model", "tokenizer_config.json"};
    const int64_t ranks = gs_synth_ranks(y->spec->vocab);
    gs_status status = write_file(dir, "config.json", y->config.text, y->config.text_bytes, err);
    for (int i = 0; i < 3 && status == GS_OK; i++) {
        gs_str text;
        gs_str_init(&text);
        if (i == 0) gs_synth_generation_json(y->spec, &text);
        if (i == 1) gs_synth_tokenizer_model(ranks, &text);
        if (i == 2) gs_synth_tokenizer_json(ranks, &text);
        status = write_file(dir, names[i], text.data, text.len, err);
        gs_str_release(&text);
    }
    if (status != GS_OK || !y->layout.index_name) return status;
    size_t n;
    char *const index = gs_layout_index_json(&y->layout, &n);
    status = write_file(dir, y->layout.index_name, index, n, err);
    gs_free(index);
    return status;
}

/* The writer makes its files read-only; a model that people play with is not. */
static gs_status open_modes(const synth *y, const char *dir, gs_error *err)
{
    for (int i = 0; i < y->layout.n_files; i++) {
        char *const path = gs_path_join(dir, y->layout.files[i].name);
        const int failed = chmod(path, 0644);
        const gs_status status = failed ? gs_fail(err, GS_ERR_IO, "%s: cannot set the file's mode", path) : GS_OK;
        gs_free(path);
        GS_TRY(status);
    }
    return GS_OK;
}

static gs_status write_all(synth *y, const char *dir, gs_error *err)
{
    GS_TRY(gs_writer_open(&y->writer, dir, &y->layout, err));
    GS_TRY(put_all(y, err));
    GS_TRY(gs_writer_finish(y->writer, err));
    GS_TRY(open_modes(y, dir, err));
    return write_small_files(y, dir, err);
}

static gs_status prepare(synth *y, gs_error *err)
{
    const int64_t widest = y->config.hidden > 2 * y->config.ffn ? y->config.hidden : 2 * y->config.ffn;
    const int64_t attended = gs_config_attention_width(&y->config);
    const int64_t qkv = gs_config_qkv_width(&y->config); /* a vector is one row */
    const int64_t longest = (widest > attended ? widest : attended) + qkv;
    GS_TRY(gs_family_find(&y->config, &y->family, err));
    GS_TRY(plan(y, err));
    GS_TRY(gs_pool_create(&y->pool, 0, err));
    GS_TRY(gs_pool_reserve(y->pool, (size_t)longest * sizeof(float), err));
    y->gain_in = gs_alloc_array((size_t)y->config.hidden, sizeof(float));
    y->gain_out = gs_alloc_array((size_t)(2 * y->config.ffn), sizeof(float));
    return gs_buf_alloc(&y->chunk, CHUNK_BYTES + (size_t)longest * sizeof(float), "synthetic weights", err);
}

/* The config is written as text first and then read as any config is: one place knows what is possible. */
static gs_status check_spec(synth *y, gs_error *err)
{
    const gs_synth_spec *s = y->spec;
    const int64_t least = 256 + GS_SYNTH_SPECIALS + GS_SYNTH_PADDING;
    gs_error inner;
    gs_str text;
    gs_str_init(&text);
    gs_synth_config_json(s, &text);
    const gs_status status = gs_config_parse(&y->config, text.data, text.len, "synthetic model", &inner);
    gs_str_release(&text);
    if (status != GS_OK) return gs_fail(err, GS_ERR_USAGE, "%s", inner.text);
    if (s->vocab < least)
        return gs_fail(err, GS_ERR_USAGE,
                       "synthetic model: a vocabulary of %lld is too small; it must be at least %lld",
                       (long long)s->vocab, (long long)least);
    if (s->outlier_channels < 0 || s->outlier_channels > s->hidden / 2 || s->outlier_channels > s->ffn / 2)
        return gs_fail(err, GS_ERR_USAGE,
                       "synthetic model: %d outlier channels do not fit; at most half of the widths %lld "
                       "and %lld",
                       s->outlier_channels, (long long)s->hidden, (long long)s->ffn);
    if (s->shard_bytes < 0)
        return gs_fail(err, GS_ERR_USAGE, "synthetic model: shard size %lld must not be negative",
                       (long long)s->shard_bytes);
    return GS_OK;
}

void gs_synth_defaults(gs_synth_spec *s)
{
    *s = (gs_synth_spec){.hidden = 4096,
                         .layers = 4,
                         .heads = 32,
                         .groups = 2,
                         .head_dim = 128,
                         .ffn = 13696,
                         .vocab = 4096,
                         .seed = 1,
                         .outlier_channels = 4};
}

gs_status gs_synth_write(const gs_synth_spec *s, gs_error *err)
{
    synth y = {.spec = s};
    gs_outdir dir = {0};
    gs_layout_init(&y.layout);
    gs_status status = check_spec(&y, err);
    if (status == GS_OK) status = prepare(&y, err);
    if (status == GS_OK) status = gs_outdir_begin(&dir, s->dir, NULL, false, err);
    if (status == GS_OK) status = write_all(&y, dir.work_path, err);
    gs_writer_free(y.writer);
    if (status == GS_OK) status = gs_outdir_commit(&dir, err);
    gs_outdir_abort(&dir);
    gs_buf_release(&y.chunk);
    gs_free(y.gain_in);
    gs_free(y.gain_out);
    gs_pool_free(y.pool);
    gs_layout_release(&y.layout);
    gs_config_release(&y.config);
    return status;
}
