/* A result made by hand, as large as wanted. SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_FIXTURE_H
#define REPORT_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "report/report.h"

static const char *const roles[] = {"self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h",
                                    "mlp.dense_4h_to_h"};

typedef struct made {
    gs_report report;
    gs_linear_result linears[1024];
    char names[1024][96];
    gs_output_file files[20];
} made;

static inline made *make(int layers)
{
    made *m = calloc(1, sizeof *m);
    gs_report *r = &m->report;
    r->quant_type = (char *)"W8A8";
    r->output = (char *)"out/x";
    r->linears = m->linears;
    for (int i = 0; i < layers * 4; i++) {
        gs_linear_result *l = &m->linears[i];
        snprintf(m->names[i], sizeof m->names[i], "transformer.encoder.layers.%d.%s", i / 4, roles[i % 4]);
        const bool is_float = i % 4 == 3;
        *l = (gs_linear_result){.name = m->names[i],
                                .type = is_float ? "FLOAT" : "W8A8",
                                .why_float = is_float ? "default fallback" : NULL,
                                .observer = is_float    ? NULL
                                            : i % 8 < 4 ? "histogram"
                                                        : "min-max",
                                .score = 12.25 + i,
                                .out = 8,
                                .in = 4};
        const double none = NAN;
        l->range_min = is_float ? none : -2.5 - i;
        l->range_max = is_float ? none : 1.25;
        l->input_scale = is_float ? none : 0.015625 * (1 + i);
        l->input_offset = is_float ? none : 33;
        l->weight_sqnr_db = is_float ? none : 40.5 - 0.01 * i;
        l->weight_scale_min = l->weight_scale_max = is_float ? none : 0.001;
    }
    snprintf(m->names[layers * 4], sizeof m->names[0], "transformer.output_layer");
    m->linears[layers * 4] = (gs_linear_result){.name = m->names[layers * 4],
                                                .type = "FLOAT",
                                                .why_float = "last linear",
                                                .score = NAN,
                                                .range_min = NAN,
                                                .range_max = NAN,
                                                .input_scale = NAN,
                                                .input_offset = NAN,
                                                .weight_scale_min = NAN,
                                                .weight_scale_max = NAN,
                                                .weight_sqnr_db = NAN};
    r->n_linears = layers * 4 + 1;
    r->gemm[0] = (gs_gemm_result){"f32", 2.0, 1.5e11, 1e11};
    r->gemm[1] = (gs_gemm_result){"s8", 0.0, 0.0, 4e11};
    r->n_gemm = 2;
    r->phases[0] = (gs_phase_result){"read", 20.9};
    r->phases[1] = (gs_phase_result){"calibrate", 100};
    r->phases[2] = (gs_phase_result){"head", 0.001}; /* too short for the text */
    r->n_phases = 3;
    for (int i = 0; i < 20; i++) m->files[i] = (gs_output_file){"quant_model_weight_w8a8.safetensors", 4660000, 40};
    r->files = m->files;
    r->n_files = 1;
    r->types[0] = (gs_type_total){"W8A8", 24, 3000000};
    r->types[1] = (gs_type_total){"FLOAT", 16, 1660000};
    r->n_types = 2;
    r->n_samples = 64;
    r->n_tokens = 2979;
    r->input_bytes = 8660000;
    r->output_bytes = 4660000;
    r->planned_peak_bytes = 100000000;
    r->measured_peak_bytes = 93000000;
    r->seconds = 3725;
    r->estimated_seconds = 71;
    r->threads = 2;
    r->cpu = "avx512-vnni";
    return m;
}

static inline void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("\"%s\" is not in:\n%s", part, text);
}

#endif
