/* See generations.h. A digest goes row by row, so it does not depend on how many are written at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "calib/generations.h"

#include <assert.h>
#include <stdio.h>

#include "io/digest.h"

static uint64_t offset_of(const gs_generations *g, int64_t row) { return (uint64_t)(row * g->hidden) * sizeof(float); }

static int other(const gs_generations *g) { return g->kept < 0 ? 0 : 1 - g->kept; }

static char *path_of(const gs_generations *g, int i)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%d", g->name, i);
    return gs_path_join(g->dir, name);
}

void gs_generations_begin(gs_generations *g, const char *dir, const char *name, int64_t tokens, int64_t hidden)
{
    *g = (gs_generations){.tokens = tokens, .hidden = hidden, .kept = -1};
    g->dir = gs_strdup(dir);
    g->name = gs_strdup(name);
}

/* A new one takes the place of what an earlier run or pass has left under its name. */
static gs_status open_file(gs_generations *g, int i, bool create, gs_error *err)
{
    char *path = path_of(g, i);
    gs_status status = create ? gs_path_remove(path, err) : GS_OK;
    if (status == GS_OK) status = gs_direct_own(&g->file[i], &g->reader[i], path, offset_of(g, g->tokens), create, err);
    gs_free(path);
    return status;
}

gs_status gs_generations_resume(gs_generations *g, const gs_stream_state *s, gs_error *err)
{
    g->kept = s->file;
    g->kept_digest = s->digest;
    return open_file(g, s->file, false, err);
}

static uint64_t digest_rows(const gs_generations *g, uint64_t digest, int64_t rows, const float *x)
{
    for (int64_t r = 0; r < rows; r++) digest = gs_digest(digest, x + r * g->hidden, (size_t)g->hidden * sizeof *x);
    return digest;
}

gs_status gs_generations_load(gs_generations *g, int64_t step, float *(*place)(void *ctx, int64_t row), void *ctx,
                              gs_error *err)
{
    const gs_file *f = &g->file[g->kept];
    uint64_t digest = 0;
    for (int64_t row = 0; row < g->tokens; row += step) {
        const int64_t rows = g->tokens - row < step ? g->tokens - row : step;
        const size_t bytes = (size_t)offset_of(g, rows);
        float *to = place(ctx, row);
        GS_TRY(gs_file_pread(f, offset_of(g, row), to, bytes, err));
        gs_file_forget(f, offset_of(g, row), bytes);
        digest = digest_rows(g, digest, rows, to);
    }
    if (digest == g->kept_digest) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s does not hold the hidden states that the journal speaks of", f->path);
}

gs_status gs_generations_read(gs_generations *g, int64_t row0, int64_t rows, void *room, float **data, gs_error *err)
{
    const int i = row0 < g->fresh ? other(g) : g->kept;
    const void *from;
    assert(i >= 0 && g->file[i].path && (i == g->kept || row0 + rows <= g->fresh));
    GS_TRY(
        gs_direct_read(&g->reader[i], &g->file[i], offset_of(g, row0), (size_t)offset_of(g, rows), room, &from, err));
    *data = (float *)(uintptr_t)from;
    return GS_OK;
}

gs_status gs_generations_write(gs_generations *g, int64_t row0, int64_t rows, const float *src, gs_error *err)
{
    const int i = other(g);
    gs_file *f = &g->file[i];
    assert(row0 <= g->fresh);
    if (!f->path) {
        GS_TRY(open_file(g, i, true, err));
        g->made = true;
    }
    g->reader[i].kept_bytes = 0; /* of what was there before */
    GS_TRY(gs_direct_write(f->fd, g->reader[i].fd, offset_of(g, row0), src, (size_t)offset_of(g, rows), f->path, err));
    if (row0 == 0) {
        g->digest = 0;
        g->digest_rows = 0;
    }
    assert(row0 == g->digest_rows); /* a sweep is a whole one, in order */
    g->digest = digest_rows(g, g->digest, rows, src);
    g->digest_rows = row0 + rows;
    if (g->digest_rows > g->fresh) g->fresh = g->digest_rows;
    return GS_OK;
}

gs_status gs_generations_sync(gs_generations *g, gs_stream_state *out, gs_error *err)
{
    *out = (gs_stream_state){.file = g->kept, .tokens = g->tokens, .hidden = g->hidden, .digest = g->kept_digest};
    if (g->fresh == 0) return GS_OK;
    const int i = other(g);
    assert(g->fresh == g->tokens && g->digest_rows == g->tokens);
    GS_TRY(gs_file_sync(&g->file[i], err));
    out->file = i;
    out->digest = g->digest;
    return GS_OK;
}

void gs_generations_turn(gs_generations *g)
{
    if (g->fresh == 0) return;
    g->kept = other(g);
    g->kept_digest = g->digest;
    g->fresh = g->digest_rows = 0;
}

static void close_file(gs_generations *g, int i)
{
    if (!g->file[i].path) return;
    gs_direct_close(&g->reader[i]);
    gs_file_close(&g->file[i]);
}

void gs_generations_drop(gs_generations *g, bool all)
{
    if (!g->dir) return;
    for (int i = 0; i < 2; i++) {
        if (i == g->kept && !all) continue;
        char *path = path_of(g, i);
        close_file(g, i);
        (void)!gs_path_remove(path, NULL);
        gs_free(path);
    }
}

void gs_generations_close(gs_generations *g)
{
    for (int i = 0; i < 2; i++) close_file(g, i);
    gs_free(g->dir);
    gs_free(g->name);
    *g = (gs_generations){0};
}
