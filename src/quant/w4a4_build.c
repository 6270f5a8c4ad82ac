/* Steps 1 to 3 of a W4A4 linear in their order (w4a4.h), for callers that can give its inputs twice.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/w4a4.h"

int64_t gs_w4a4_keep(int64_t tokens, int64_t in, bool cheap)
{
    return tokens <= GS_W4A4_SEARCH_ROWS || (!cheap && tokens <= in) ? tokens : GS_W4A4_SEARCH_ROWS;
}

gs_status gs_w4a4_feed_add(const gs_w4a4_feed *f, gs_compute *c, int64_t rows, const float *x, gs_error *err)
{
    return f->plan ? gs_w4a4_moments_add(f->plan, c, rows, x, err) : gs_w4a4_stats_add(f->stats, c, rows, x, err);
}

static gs_status build(gs_w4a4_plan *p, gs_compute *c, const gs_packed *w, const gs_w4a4_options *options,
                       const gs_w4a4_source *from, gs_w4a4_stats *stats, gs_error *err)
{
    gs_w4a4_feed feed = {.stats = stats};
    GS_TRY(gs_w4a4_stats_init(stats, w->k, from->tokens, from->keep, err));
    GS_TRY(from->inputs(from->ctx, &feed, err));
    GS_TRY(gs_w4a4_choose(p, c, stats, w, options, err));
    feed.plan = p;
    if (stats->kept < stats->tokens) gs_w4a4_stats_release(stats); /* before the moments take its place */
    GS_TRY(gs_w4a4_moments_begin(p, err));
    GS_TRY(stats->kept > 0 ? gs_w4a4_moments_add(p, c, stats->kept, stats->rows, err)
                           : from->inputs(from->ctx, &feed, err));
    gs_w4a4_stats_release(stats);
    return gs_w4a4_moments_end(p, c, err);
}

gs_status gs_w4a4_build(gs_w4a4_plan *p, gs_compute *c, const gs_packed *w, const gs_w4a4_options *options,
                        const gs_w4a4_source *from, gs_error *err)
{
    gs_w4a4_stats stats = {0};
    const gs_status status = build(p, c, w, options, from, &stats, err);
    gs_w4a4_stats_release(&stats);
    return status;
}
