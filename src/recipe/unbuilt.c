/* What a legal recipe asks for in vain: options without effect. Nothing is accepted in silence.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipe/unbuilt.h"

#include <stdarg.h>
#include <stdio.h>

#include "recipe/options.h"

static void add_line(gs_str *notes, const char *prefix, const char *fmt, va_list args) GS_PRINTF(3, 0);
static void add_line(gs_str *notes, const char *prefix, const char *fmt, va_list args)
{
    char line[1024];
    vsnprintf(line, sizeof line, fmt, args);
    gs_str_adds(notes, prefix);
    gs_str_adds(notes, line);
    gs_str_addc(notes, '\n');
}

void gs_recipe_warn(gs_str *notes, const char *fmt, ...)
{
    if (notes == NULL) return;
    va_list args;
    va_start(args, fmt);
    add_line(notes, "", fmt, args);
    va_end(args);
}

void gs_recipe_note(gs_str *notes, const char *fmt, ...)
{
    if (notes == NULL) return;
    va_list args;
    va_start(args, fmt);
    add_line(notes, "note: ", fmt, args);
    va_end(args);
}

static void unused(const gs_recipe *r, gs_str *notes, bool idle, const char *name, const char *why)
{
    if (idle && gs_option_given(r, name)) gs_recipe_note(notes, "%s has no effect: %s", name, why);
}

void gs_recipe_note_unused(const gs_recipe *r, const gs_resolved *s, gs_str *notes)
{
    const bool outliers = s->co_sparse || s->lowbit_class;
    unused(r, notes, !outliers, "fraction", "it needs co_sparse or is_lowbit");
    unused(r, notes, !s->lowbit_class, "use_sigma", "it needs is_lowbit");
    unused(r, notes, !r->use_sigma || !s->lowbit_class, "sigma_factor", "it needs is_lowbit and use_sigma");
    unused(r, notes, !s->lowbit_class, "open_outlier", "it needs is_lowbit");
    unused(r, notes, !s->per_group, "group_size", "it needs is_lowbit True and open_outlier False");
    unused(r, notes, !r->use_fa_quant, "fa_amp", "it needs use_fa_quant");
    unused(r, notes, !s->comm || s->ranks == 1, "reduce_per_device", "it needs use_reduce_quant and several cards");
    unused(r, notes, s->a_bit == 16, "act_method", "activations stay in floating point with a_bit 16");
    const bool w4a4 = s->type == GS_Q_W4A4_FLATQUANT_DYNAMIC;
    unused(r, notes, w4a4, "act_method", "W4A4 quantizes activations token by token");
    unused(r, notes, !w4a4, "w4a4_all", "it needs w_bit 4, a_bit 4 and is_dynamic");
    unused(r, notes, true, "input_ids_name", "the tokenizer is built in");
    unused(r, notes, true, "attention_mask_name", "samples are not padded, so there is no mask");
    unused(r, notes, true, "model_name", "it is only recorded in the report");
    if (r->trust_remote_code)
        gs_recipe_note(notes, "trust_remote_code: no code of the checkpoint is executed; none is needed");
    if (!r->mm_tensor) gs_recipe_note(notes, "mm_tensor: one scale per row of a weight (the script's actual default)");
}
