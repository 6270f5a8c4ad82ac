/* `glmslim bench`: how fast is this machine, and how near do we come? SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/common.h"
#include "io/file.h"
#include "io/tree.h"

typedef struct bench_args {
    gs_cli_common common;
    gs_bench_spec spec;
    int64_t width;
    const char *dir;
    bool quick, cpu_time, no_block;
} bench_args;

static const gs_option rows[] = {
    {"quick", GS_OPT_FLAG, offsetof(bench_args, quick), NULL, NULL, "less of everything, in about half a minute", "",
     true},
    {"dir", GS_OPT_STRING, offsetof(bench_args, dir), ".", NULL, "where the disk is measured and the model is made",
     "Files of up to 2.5 GB are made there and removed.", true},
    {"width", GS_OPT_INT64, offsetof(bench_args, width), "4096", NULL,
     "width of the hidden states; all sizes follow it", "A multiple of 128; 4096 is GLM-4-9B.", true},
    {"no_block", GS_OPT_FLAG, offsetof(bench_args, no_block), NULL, NULL,
     "leave out the block that goes through the whole program", "", true},
    {"cpu_time", GS_OPT_FLAG, offsetof(bench_args, cpu_time), NULL, NULL,
     "measure kernels by processor time, on one thread: for a machine with other work", "", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_bench = {
    "[--quick] [--dir DIR] [options]",
    "Measure what this machine can do and what of it is used: arithmetic peak and matrix products on each instruction\n"
    "set, everything else in a block, memory, disk, threads, and a block of GLM-4-9B through the whole calibration,\n"
    "with a forecast for the full model. GLMSLIM_CPU forces one instruction set. Definitions are in docs/bench.md.",
    rows, (int)(sizeof rows / sizeof rows[0]), 0};

static gs_status make_spec(const bench_args *a, gs_bench_spec *s, gs_error *err)
{
    gs_rung rung;
    if (a->width < 128 || a->width > 16384 || a->width % 128 != 0)
        return gs_fail(err, GS_ERR_USAGE, "width = %lld is not a multiple of 128 from 128 to 16384.",
                       (long long)a->width);
    if (a->common.threads < 0) return gs_fail(err, GS_ERR_USAGE, "threads = %d is smaller than 0.", a->common.threads);
    GS_TRY(gs_cpu_select(&rung, err));
    const char *const forced = getenv("GLMSLIM_CPU");
    *s = (gs_bench_spec){
        .threads = a->common.threads > 0 ? a->common.threads : gs_usable_cpus(),
        .width = a->width,
        .quick = a->quick,
        .by_cpu_time = a->cpu_time,
        .dir = a->dir,
        .first = forced && forced[0] ? rung : GS_RUNG_C,
        .last = rung,
    };
    return GS_OK;
}

static void bench_release(gs_bench *b)
{
    gs_free(b->peaks);
    gs_free(b->gemms);
    gs_free(b->elems);
}

static gs_status run_kernels(gs_bench *b, gs_error *err)
{
    char note[96];
    for (int rung = (int)b->spec.first; rung <= (int)b->spec.last; rung++) {
        snprintf(note, sizeof note, "kernels, %s", gs_rung_name((gs_rung)rung));
        gs_screen_note(note);
        GS_TRY(gs_bench_run_gemm(b, (gs_rung)rung, err));
        GS_TRY(gs_bench_run_elem(b, (gs_rung)rung, err));
    }
    if (b->spec.by_cpu_time) return GS_OK;
    gs_screen_note("threads");
    return gs_bench_run_scale(b, err);
}

static gs_status run_files(gs_bench *b, bool block, const char *dir, gs_error *err)
{
    gs_screen_note("disk");
    GS_TRY(gs_bench_run_disk(b, dir, err));
    if (!block) return GS_OK;
    gs_screen_note("a block through the whole program");
    return gs_bench_run_block(b, dir, err);
}

/* In a directory of its own, which goes again whatever happens. */
static gs_status with_directory(gs_bench *b, bool block, gs_error *err)
{
    gs_error ignored;
    char *dir = gs_path_join(b->spec.dir, "glmslim-bench-XXXXXX");
    gs_status status = GS_OK;
    if (!mkdtemp(dir))
        status =
            gs_fail_errno(err, errno, "%s: cannot create a directory in it; choose another with --dir", b->spec.dir);
    if (status == GS_OK) {
        status = run_files(b, block, dir, err);
        if (gs_tree_empty(dir, NULL, &ignored) != GS_OK || rmdir(dir) != 0) {
            char note[512];
            snprintf(note, sizeof note, "could not remove %.400s", dir);
            gs_screen_warning(note);
        }
    }
    gs_free(dir);
    return status;
}

static gs_status show(const gs_bench *b, const char *json_path, gs_error *err)
{
    gs_str text;
    gs_str_init(&text);
    gs_screen_clear();
    gs_bench_text(b, &text);
    fwrite(text.data, 1, text.len, stdout);
    gs_str_release(&text);
    if (!json_path) return GS_OK;
    size_t n;
    char *json = gs_bench_json(b, &n);
    const gs_status status = gs_cli_write_json(json_path, json, n, err);
    gs_free(json);
    return status;
}

static gs_status run(const bench_args *a, gs_error *err)
{
    gs_bench b = {.n_counts = 1, .counts = {1}};
    const double start = gs_seconds();
    GS_TRY(make_spec(a, &b.spec, err));
    b.sizes = gs_bench_sizes_of(b.spec.width);
    if (b.spec.threads > 1 && !b.spec.by_cpu_time) b.counts[b.n_counts++] = b.spec.threads;
    gs_status status = run_kernels(&b, err);
    if (status == GS_OK) gs_screen_note("memory");
    if (status == GS_OK) status = gs_bench_run_memory(&b, err);
    if (status == GS_OK) status = with_directory(&b, !a->no_block, err);
    if (status == GS_OK) status = gs_check_interrupt(err);
    b.seconds = gs_seconds() - start;
    if (status == GS_OK) status = show(&b, a->common.json, err);
    bench_release(&b);
    return status;
}

int gs_cmd_bench(int argc, char **argv)
{
    bench_args a = {.width = 4096, .dir = "."};
    int n, code;
    gs_error err;
    if (!gs_cli_parse(&gs_spec_bench, argc, argv, &a, NULL, &n, &code)) return code;
    gs_cli_catch_signals();
    return gs_cli_finish(run(&a, &err), &err);
}
