/* The measurements of bench for a person. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/bench.h"
#include "report/report.h"

static void add_peaks(const gs_bench *b, gs_str *out)
{
    gs_str_adds(out, "\narithmetic peak, register-only loops       Gop/s   kernel alone, operands in the caches\n");
    for (int i = 0; i < b->n_peaks; i++) {
        const gs_bench_peak *p = &b->peaks[i];
        gs_str_printf(out, "  %-12s %-6s %3d thread%s %13.1f   %4.0f %%\n", gs_rung_name(p->rung),
                      gs_bench_kind_name(p->kind), p->threads, p->threads == 1 ? " " : "s", p->per_s * 1e-9,
                      100 * p->kernel);
    }
}

/* One line per kernel, rows and threads; the shapes side by side. */
static void add_products(const gs_bench *b, gs_str *out)
{
    static const char *const heads[] = {"qkv", "dense", "h_to_4h", "4h_to_h", "block"};
    gs_str_printf(
        out, "\nmatrix products, Gop/s (best round) and share of the peak around it (median)\n  %-12s %-17s %4s %7s",
        "", "", "rows", "threads");
    for (int i = 0; i < 5; i++) gs_str_printf(out, "  %13s", heads[i]);
    gs_str_addc(out, '\n');
    for (int i = 0; i < b->n_gemms; i++) {
        const gs_bench_gemm *last = &b->gemms[i];
        if (last->n != 0) continue; /* the line of a block shows its shapes too */
        gs_str_printf(out, "  %-12s %-17s %4d %7d", gs_rung_name(last->rung), last->name, (int)last->m, last->threads);
        for (int k = 0; k < b->n_gemms; k++) {
            const gs_bench_gemm *g = &b->gemms[k];
            if (g->rung != last->rung || g->name != last->name || g->threads != last->threads ||
                (g->m == GS_BENCH_FEW) != (last->m == GS_BENCH_FEW))
                continue;
            gs_str_printf(out, "  %6.1f %4.0f %%", g->per_s * 1e-9, 100 * g->share);
        }
        gs_str_addc(out, '\n');
    }
}

static void add_kernels(const gs_bench *b, gs_str *out)
{
    gs_str_printf(out, "\n%-46s %9s %8s   %s\n", "everything else in a block", "ms", "GB/s",
                  "of the products of 30,000 tokens at peak");
    for (int i = 0; i < b->n_elems; i++) {
        const gs_bench_elem *e = &b->elems[i];
        gs_str_printf(out, "  %-12s %-23s %7d %9.3f %8.1f   %6.2f %%", gs_rung_name(e->rung), e->name, e->threads,
                      e->seconds * 1e3, e->bytes / e->seconds * 1e-9, 100 * e->of_products);
        if (e->per_s > 0)
            gs_str_printf(out, ", %.1f Gop/s = %.0f %% of peak", e->per_s * 1e-9,
                          100 * e->per_s / gs_bench_peak_of(b, e->rung, GS_GEMM_F32, e->threads));
        gs_str_addc(out, '\n');
    }
}

static void add_machine(const gs_bench *b, gs_str *out)
{
    if (b->n_scales > 0) gs_str_printf(out, "\nthreads, f32 products, %s\n", gs_rung_name(b->spec.last));
    for (int i = 0; i < b->n_scales; i++) {
        const gs_bench_scale *s = &b->scales[i];
        gs_str_printf(out, "  %3d  %8.1f Gop/s, efficiency %.2f; of the peak loop %.2f\n", s->threads, s->per_s * 1e-9,
                      s->per_s / (s->threads * b->scales[0].per_s),
                      s->peak_per_s / (s->threads * b->scales[0].peak_per_s));
    }
    gs_str_printf(out, "\nmemory, %.0f MB\n", b->memory.bytes * 1e-6);
    for (int t = 0; t < b->n_counts; t++)
        gs_str_printf(out, "  %3d thread%s  read %.1f GB/s, copy %.1f GB/s\n", b->counts[t],
                      b->counts[t] == 1 ? " " : "s", b->memory.read[t] * 1e-9, b->memory.copy[t] * 1e-9);
    gs_str_printf(out, "\ndisk, %.0f MB in %s\n  read %.2f GB/s, write %.2f GB/s, copy %.2f GB/s; %s\n",
                  b->disk.bytes * 1e-6, b->spec.dir, b->disk.read * 1e-9, b->disk.write * 1e-9, b->disk.copy * 1e-9,
                  b->disk.direct ? "past the page cache (O_DIRECT); a cache below the file system may still help"
                                 : "O_DIRECT is refused here: the page cache may have answered for the disk");
}

static void add_phases(const char *head, const gs_bench_phase *list, int n, gs_str *out)
{
    const char *between = "";
    gs_str_adds(out, head);
    for (int i = 0; i < n; i++) {
        if (list[i].seconds < 0.005) continue;
        gs_str_printf(out, "%s %s %.2f s", between, list[i].name, list[i].seconds);
        between = ",";
    }
    gs_str_addc(out, '\n');
}

static void add_block(const gs_bench *b, gs_str *out)
{
    const gs_bench_block *k = &b->block;
    gs_str_printf(out,
                  "\na block of width %lld through the calibration: W8A8, histogram, int8 key/value cache, %lld tokens "
                  "in %lld samples\n",
                  (long long)b->sizes.hidden, (long long)k->tokens, (long long)k->samples);
    gs_str_printf(out,
                  "  %.2f s, %.0f %% of them products; %.1f tokens/s; f32 %.1f Gop/s = %.0f %% of peak, int8 %.1f = "
                  "%.0f %%; %.0f MB at most\n",
                  k->seconds, 100 * k->products / k->seconds, k->tokens_per_s, k->f32_per_s * 1e-9, 100 * k->f32_share,
                  k->s8_per_s * 1e-9, 100 * k->s8_share, k->memory * 1e-6);
    add_phases("  of the block:", k->phase, k->n_phases, out);
    add_phases("  once:", k->once, k->n_once, out);
    gs_str_printf(out, "\nforecast for %.0f such blocks and a vocabulary of 151552\n", b->forecast[0].layers);
    for (int i = 0; i < 2; i++) {
        const gs_bench_forecast *f = &b->forecast[i];
        char total[32], streams[32], weights[32], ends[32];
        gs_duration_text(f->seconds, total);
        gs_duration_text(f->per_token, streams);
        gs_duration_text(f->per_block, weights);
        gs_duration_text(f->ends, ends);
        gs_str_printf(out, "  %.0f tokens: %s (streams %s, weights %s, embedding, head and checksums %s)\n", f->tokens,
                      total, streams, weights, ends);
    }
}

void gs_bench_text(const gs_bench *b, gs_str *out)
{
    gs_str_printf(out, "glmslim " GLMSLIM_VERSION ", %s, %d thread%s, width %lld%s%s\n", gs_rung_name(b->spec.last),
                  b->spec.threads, b->spec.threads == 1 ? "" : "s", (long long)b->spec.width,
                  b->spec.quick ? ", quick" : "", b->spec.by_cpu_time ? ", kernels by processor time" : "");
    add_peaks(b, out);
    add_products(b, out);
    add_kernels(b, out);
    add_machine(b, out);
    if (b->block.tokens > 0) add_block(b, out);
    gs_str_printf(out, "\n%.0f s in all\n", b->seconds);
}
