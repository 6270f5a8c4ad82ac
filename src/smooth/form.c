/* The two ways of summing ‖F·d‖² (form.h). The triangular matrix is built in column blocks, so that both building and using
 * it skip about half of the square. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/form.h"

#include "kernels/elem.h"

enum { STRIP = 1024 /* rows of F per step of the building */, TASK_ROWS = 16 };

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t block_cols(const gs_form *f, int64_t b)
{
    return min_i64(GS_FORM_COLS, f->factor->k - b * GS_FORM_COLS);
}
static int64_t block_end(const gs_form *f, int64_t b) { return b * GS_FORM_COLS + block_cols(f, b); }

/* ---- building T ---- */

typedef struct builder {
    gs_form *form;
    gs_buf memory;
    float *rows;               /* [STRIP, channels] of F */
    float *turned;             /* [channels, STRIP] */
    float *part;               /* [channels, GS_FORM_COLS] */
    float *sum;                /* blocks of FᵀF, each [block end, block cols] */
    int64_t strip, strip_rows; /* at hand */
} builder;

static int64_t block_offset(const gs_form *f, int64_t b)
{
    int64_t at = 0;
    for (int64_t i = 0; i < b; i++) at += block_end(f, i) * block_cols(f, i);
    return at;
}

static gs_status builder_init(builder *b, gs_form *f, gs_error *err)
{
    const int64_t k = f->factor->k, strip = min_i64(STRIP, f->factor->n);
    const int64_t values = 2 * strip * k + k * GS_FORM_COLS + block_offset(f, f->n_blocks);
    *b = (builder){.form = f, .strip = strip};
    GS_TRY(gs_buf_alloc(&b->memory, (size_t)values * sizeof(float), "products of the columns of a linear", err));
    b->rows = b->memory.data;
    b->turned = b->rows + strip * k;
    b->part = b->turned + strip * k;
    b->sum = b->part + k * GS_FORM_COLS;
    return GS_OK;
}

/* Columns 64·task … of the strip become rows of `turned`. */
static void turn_task(void *ctx, int64_t task, int worker)
{
    enum { SIDE = 64 };
    (void)worker;
    const builder *const b = ctx;
    const int64_t k = b->form->factor->k, n = b->strip_rows, end = min_i64((task + 1) * SIDE, k);
    for (int64_t r0 = 0; r0 < n; r0 += SIDE)
        for (int64_t col = task * SIDE; col < end; col++)
            for (int64_t r = r0; r < min_i64(r0 + SIDE, n); r++) b->turned[col * n + r] = b->rows[r * k + col];
}

static gs_status add_strip(builder *b, gs_compute *c, gs_error *err)
{
    const gs_form *const f = b->form;
    const int64_t n = b->strip_rows;
    gs_pool_run(c->pool, ceil_div(f->factor->k, 64), turn_task, b);
    for (int64_t i = 0; i < f->n_blocks; i++) {
        const int64_t cols = block_cols(f, i), end = block_end(f, i);
        gs_packed panel;
        GS_TRY(gs_packed_alloc(&panel, GS_PACK_F32, cols, n, "columns of a linear", err));
        gs_pack_rows(c, &panel, 0, cols, b->turned + i * GS_FORM_COLS * n);
        gs_gemm_f32(c, &panel, end, b->turned, n, NULL, b->part, cols);
        gs_add(c, end * cols, b->sum + block_offset(f, i), b->part);
        gs_packed_release(&panel);
    }
    return GS_OK;
}

/* FᵀF[0 … end, cols of the block] -> rows of T: twice what is left of the diagonal, the diagonal, zeros. */
static gs_status pack_block(builder *b, gs_compute *c, int64_t i, gs_error *err)
{
    const gs_form *const f = b->form;
    const int64_t cols = block_cols(f, i), end = block_end(f, i), first = i * GS_FORM_COLS;
    const float *const sum = b->sum + block_offset(f, i);
    float *const rows = b->part; /* [cols, end] */
    for (int64_t o = 0; o < cols; o++)
        for (int64_t j = 0; j < end; j++) {
            const float g = sum[j * cols + o];
            rows[o * end + j] = j < first + o ? 2.0f * g : j == first + o ? g : 0.0f;
        }
    GS_TRY(gs_packed_alloc(&b->form->block[i], GS_PACK_F32, cols, end, "products of the columns of a linear", err));
    gs_pack_rows(c, &b->form->block[i], 0, cols, rows);
    return GS_OK;
}

static gs_status build(builder *b, gs_compute *c, gs_error *err)
{
    const gs_packed *const factor = b->form->factor;
    for (int64_t row = 0; row < factor->n; row += b->strip) {
        GS_TRY(gs_check_interrupt(err));
        b->strip_rows = min_i64(b->strip, factor->n - row);
        gs_unpack_rows(c, factor, row, b->strip_rows, b->rows);
        GS_TRY(add_strip(b, c, err));
    }
    for (int64_t i = 0; i < b->form->n_blocks; i++) GS_TRY(pack_block(b, c, i, err));
    return GS_OK;
}

static gs_status build_gram(gs_form *f, gs_compute *c, gs_error *err)
{
    builder b;
    f->n_blocks = ceil_div(f->factor->k, GS_FORM_COLS);
    f->block = gs_alloc_array((size_t)f->n_blocks, sizeof *f->block);
    gs_status status = builder_init(&b, f, err);
    if (status == GS_OK) status = build(&b, c, err);
    gs_buf_release(&b.memory);
    return status;
}

/* ---- using it ---- */

static gs_form_kind cheaper(const gs_packed *factor, double expected)
{
    const double n = (double)factor->n, k = (double)factor->k;
    const double half = (k + GS_FORM_COLS) / 2; /* columns of T that a block meets, on average */
    return expected * k * half + n * k * half < 0.8 * expected * n * k ? GS_FORM_GRAM : GS_FORM_PRODUCT;
}

enum { TILE_VALUES = 8 << 20, MOST_ROWS = 1024, LEAST_ROWS = 128 };

static int64_t tile_rows(int64_t width)
{
    const int64_t rows = TILE_VALUES / width;
    return rows > MOST_ROWS ? MOST_ROWS : rows < LEAST_ROWS ? LEAST_ROWS : rows;
}

size_t gs_form_bytes(int64_t n, int64_t channels)
{
    const int64_t blocks = ceil_div(channels, GS_FORM_COLS), padded = blocks * GS_FORM_COLS, strip = min_i64(STRIP, n);
    const int64_t triangle = GS_FORM_COLS * GS_FORM_COLS * blocks * (blocks + 1) / 2; /* as sums and as panels */
    const int64_t building = 2 * strip * channels + channels * GS_FORM_COLS + 2 * triangle + GS_FORM_COLS * (strip + 1);
    const int64_t width = n > GS_FORM_COLS ? n : GS_FORM_COLS;
    const int64_t using =
        tile_rows(width) * width > MOST_ROWS * GS_FORM_COLS ? tile_rows(width) * width : MOST_ROWS * GS_FORM_COLS;
    return (size_t)(building + using + 2 * padded) * sizeof(float) + MOST_ROWS * sizeof(double);
}

gs_status gs_form_init(gs_form *f, gs_compute *c, const gs_packed *factor, double expected, gs_form_kind kind,
                       gs_error *err)
{
    *f = (gs_form){.factor = factor, .kind = kind == GS_FORM_AUTO ? cheaper(factor, expected) : kind};
    const int64_t width = f->kind == GS_FORM_GRAM ? GS_FORM_COLS : factor->n;
    f->tile = tile_rows(width);
    const size_t row = (size_t)width * sizeof(float) + sizeof(double);
    gs_status status = gs_buf_alloc(&f->memory, (size_t)f->tile * row, "outputs of a linear", err);
    f->row = f->memory.data;
    f->out = (float *)(f->row + f->tile);
    if (status == GS_OK && f->kind == GS_FORM_GRAM) status = build_gram(f, c, err);
    if (status != GS_OK) gs_form_release(f);
    return status;
}

void gs_form_release(gs_form *f)
{
    for (int64_t i = 0; i < f->n_blocks; i++) gs_packed_release(&f->block[i]);
    gs_free(f->block);
    gs_buf_release(&f->memory);
    *f = (gs_form){0};
}

typedef struct dot_job {
    int64_t rows, cols, stride;
    const float *out; /* [rows, cols] */
    const float *d;   /* rows with stride; NULL = out itself */
    double *row;      /* [rows], added to */
} dot_job;

/* Σ x·y in eight lanes, added in order. */
static double dot(const float *x, const float *y, int64_t n)
{
    enum { LANES = 8 };
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)y[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += (double)x[i] * (double)y[i];
    double sum = 0;
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

static void dot_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const dot_job *const j = ctx;
    for (int64_t r = task * TASK_ROWS; r < min_i64((task + 1) * TASK_ROWS, j->rows); r++) {
        const float *const out = j->out + r * j->cols;
        j->row[r] += dot(out, j->d ? j->d + r * j->stride : out, j->cols);
    }
}

static void measure_tile(const gs_form *f, gs_compute *c, int64_t rows, const float *d)
{
    const int64_t k = f->factor->k;
    float *const out = f->out;
    dot_job job = {.rows = rows, .stride = k, .out = out, .row = f->row};
    memset(f->row, 0, (size_t)rows * sizeof *f->row);
    if (f->kind == GS_FORM_PRODUCT) {
        job.cols = f->factor->n;
        gs_gemm_f32(c, f->factor, rows, d, k, NULL, out, job.cols);
        gs_pool_run(c->pool, ceil_div(rows, TASK_ROWS), dot_task, &job);
        return;
    }
    for (int64_t i = 0; i < f->n_blocks; i++) {
        job.cols = block_cols(f, i);
        job.d = d + i * GS_FORM_COLS;
        gs_gemm_f32(c, &f->block[i], rows, d, k, NULL, out, job.cols);
        gs_pool_run(c->pool, ceil_div(rows, TASK_ROWS), dot_task, &job);
    }
}

void gs_form_add(const gs_form *f, gs_compute *c, int64_t rows, const float *d, double *sum)
{
    for (int64_t r = 0; r < rows; r += f->tile) {
        const int64_t n = min_i64(f->tile, rows - r);
        measure_tile(f, c, n, d + r * f->factor->k);
        for (int64_t i = 0; i < n; i++) *sum += f->row[i];
    }
}
