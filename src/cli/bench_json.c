/* The measurements of bench as JSON; rates in operations or bytes per second. SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench.h"
#include "io/json.h"
#include "base/pool.h"

static void begin_list(gs_json_out *j, const char *key)
{
    gs_json_out_key(j, key);
    gs_json_out_begin(j, '[');
}

static void begin_object(gs_json_out *j, const char *key)
{
    gs_json_out_key(j, key);
    gs_json_out_begin(j, '{');
}

static void put_machine(gs_json_out *j, const gs_bench *b)
{
    begin_object(j, "machine");
    gs_json_put_string(j, "cpu", gs_rung_name(b->spec.last));
    begin_list(j, "instruction_sets");
    for (int rung = (int)b->spec.first; rung <= (int)b->spec.last; rung++)
        gs_json_out_string(j, gs_rung_name((gs_rung)rung));
    gs_json_out_end(j);
    gs_json_put_int(j, "threads", b->spec.threads);
    gs_json_put_int(j, "usable_cpus", gs_usable_cpus());
    gs_json_out_end(j);
}

static void put_peaks(gs_json_out *j, const gs_bench *b)
{
    begin_list(j, "peaks");
    for (int i = 0; i < b->n_peaks; i++) {
        const gs_bench_peak *p = &b->peaks[i];
        gs_json_out_begin(j, '{');
        gs_json_put_string(j, "cpu", gs_rung_name(p->rung));
        gs_json_put_string(j, "arithmetic", gs_bench_kind_name(p->kind));
        gs_json_put_int(j, "threads", p->threads);
        gs_json_put_double(j, "per_s", p->per_s);
        gs_json_put_double(j, "kernel_share", p->kernel);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_products(gs_json_out *j, const gs_bench *b)
{
    begin_list(j, "products");
    for (int i = 0; i < b->n_gemms; i++) {
        const gs_bench_gemm *g = &b->gemms[i];
        gs_json_out_begin(j, '{');
        gs_json_put_string(j, "cpu", gs_rung_name(g->rung));
        gs_json_put_string(j, "name", g->name);
        gs_json_put_string(j, "shape", g->shape);
        gs_json_put_int(j, "threads", g->threads);
        gs_json_put_int(j, "m", g->m);
        gs_json_put_int(j, "n", g->n);
        gs_json_put_int(j, "k", g->k);
        gs_json_put_double(j, "per_s", g->per_s);
        gs_json_put_double(j, "share", g->share);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_kernels(gs_json_out *j, const gs_bench *b)
{
    begin_list(j, "kernels");
    for (int i = 0; i < b->n_elems; i++) {
        const gs_bench_elem *e = &b->elems[i];
        gs_json_out_begin(j, '{');
        gs_json_put_string(j, "cpu", gs_rung_name(e->rung));
        gs_json_put_string(j, "name", e->name);
        gs_json_put_int(j, "threads", e->threads);
        gs_json_put_double(j, "seconds", e->seconds);
        gs_json_put_double(j, "bytes_per_s", e->bytes / e->seconds);
        gs_json_put_double(j, "of_products", e->of_products);
        if (e->per_s > 0) {
            gs_json_put_double(j, "per_s", e->per_s);
            gs_json_put_double(j, "share", e->per_s / gs_bench_peak_of(b, e->rung, GS_GEMM_F32, e->threads));
        }
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_scales(gs_json_out *j, const gs_bench *b)
{
    begin_list(j, "threads");
    for (int i = 0; i < b->n_scales; i++) {
        const gs_bench_scale *s = &b->scales[i];
        gs_json_out_begin(j, '{');
        gs_json_put_int(j, "threads", s->threads);
        gs_json_put_double(j, "per_s", s->per_s);
        gs_json_put_double(j, "efficiency", s->per_s / (s->threads * b->scales[0].per_s));
        gs_json_put_double(j, "peak_efficiency", s->peak_per_s / (s->threads * b->scales[0].peak_per_s));
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_memory(gs_json_out *j, const gs_bench *b)
{
    begin_list(j, "memory");
    for (int t = 0; t < b->n_counts; t++) {
        gs_json_out_begin(j, '{');
        gs_json_put_int(j, "threads", b->counts[t]);
        gs_json_put_double(j, "bytes", b->memory.bytes);
        gs_json_put_double(j, "read_bytes_per_s", b->memory.read[t]);
        gs_json_put_double(j, "copy_bytes_per_s", b->memory.copy[t]);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
    begin_object(j, "disk");
    gs_json_put_bool(j, "direct", b->disk.direct);
    gs_json_put_double(j, "bytes", b->disk.bytes);
    gs_json_put_double(j, "write_bytes_per_s", b->disk.write);
    gs_json_put_double(j, "read_bytes_per_s", b->disk.read);
    gs_json_put_double(j, "copy_bytes_per_s", b->disk.copy);
    gs_json_out_end(j);
}

static void put_phases(gs_json_out *j, const char *key, const gs_bench_phase *list, int n)
{
    begin_object(j, key);
    for (int i = 0; i < n; i++) gs_json_put_double(j, list[i].name, list[i].seconds);
    gs_json_out_end(j);
}

static void put_block(gs_json_out *j, const gs_bench *b)
{
    const gs_bench_block *k = &b->block;
    begin_object(j, "block");
    gs_json_put_int(j, "tokens", k->tokens);
    gs_json_put_int(j, "samples", k->samples);
    gs_json_put_double(j, "seconds", k->seconds);
    gs_json_put_double(j, "tokens_per_s", k->tokens_per_s);
    gs_json_put_double(j, "share_products", k->products / k->seconds);
    gs_json_put_double(j, "f32_per_s", k->f32_per_s);
    gs_json_put_double(j, "f32_share", k->f32_share);
    gs_json_put_double(j, "int8_per_s", k->s8_per_s);
    gs_json_put_double(j, "int8_share", k->s8_share);
    gs_json_put_double(j, "peak_memory_bytes", k->memory);
    put_phases(j, "phases", k->phase, k->n_phases);
    put_phases(j, "once", k->once, k->n_once);
    gs_json_out_end(j);
    begin_list(j, "forecast");
    for (int i = 0; i < 2; i++) {
        const gs_bench_forecast *f = &b->forecast[i];
        gs_json_out_begin(j, '{');
        gs_json_put_double(j, "tokens", f->tokens);
        gs_json_put_double(j, "layers", f->layers);
        gs_json_put_double(j, "streams_seconds", f->per_token);
        gs_json_put_double(j, "weights_seconds", f->per_block);
        gs_json_put_double(j, "once_seconds", f->ends);
        gs_json_put_double(j, "seconds", f->seconds);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

char *gs_bench_json(const gs_bench *b, size_t *n)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    gs_json_put_string(j, "glmslim", GLMSLIM_VERSION);
    put_machine(j, b);
    gs_json_put_int(j, "width", b->spec.width);
    gs_json_put_bool(j, "quick", b->spec.quick);
    gs_json_put_string(j, "clock", b->spec.by_cpu_time ? "processor" : "wall");
    put_peaks(j, b);
    put_products(j, b);
    put_kernels(j, b);
    put_scales(j, b);
    put_memory(j, b);
    if (b->block.tokens > 0) put_block(j, b);
    gs_json_put_double(j, "seconds", b->seconds);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}
