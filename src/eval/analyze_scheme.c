/* Owns the schemes of an analysis: names and option lines into recipes, and what their results would weigh.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "eval/analyze_parts.h"
#include "format/manifest.h"
#include "recipe/options.h"
#include "recipe/recipes.h"

/* Options that say how one linear is quantized. The others are about the model as a whole or about files. */
static const char *const of_a_linear[] = {
    "w_bit",        "a_bit",     "fraction",      "act_method", "co_sparse",          "use_sigma",
    "sigma_factor", "is_lowbit", "mm_tensor",     "w_sym",      "open_outlier",       "group_size",
    "is_dynamic",   "w4a4_all",  "mindie_format", "save_dtype", "disable_last_linear"};

static gs_status check_given(const gs_recipe *r, gs_error *err)
{
    for (int i = 0; i < gs_option_count; i++) {
        bool fits = (r->given >> i & 1) == 0;
        for (size_t j = 0; j < sizeof of_a_linear / sizeof *of_a_linear; j++)
            fits = fits || strcmp(of_a_linear[j], gs_options[i].name) == 0;
        if (!fits)
            return gs_fail(err, GS_ERR_USAGE,
                           "--%s says nothing about how one linear is quantized, which is all that analyze looks at; "
                           "leave it out",
                           gs_options[i].name);
    }
    return GS_OK;
}

static gs_status unknown_scheme(const char *word, gs_error *err)
{
    char names[256] = "", shown[80];
    for (int i = 0; i < gs_recipe_line_count; i++) {
        const char *type = gs_recipe_lines[i].type;
        if (gs_recipe_line_find(type) != &gs_recipe_lines[i] || strcmp(type, "FLOAT") == 0) continue;
        const size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", n > 0 ? ", " : "", type);
    }
    return gs_fail(err, GS_ERR_USAGE,
                   "there is no scheme \"%s\": use %s, or options of quant in one word, as \"--w_bit 4 --a_bit 16\"",
                   gs_printable(word, strlen(word), shown, sizeof shown), names);
}

/* Words of a line, separated by blanks; argv[0] is the program. */
static int split(gs_arena *arena, const char *line, char ***argv)
{
    char *at = gs_arena_strdup(arena, line);
    char **list = gs_arena_alloc(arena, (strlen(line) / 2 + 3) * sizeof *list);
    int n = 0;
    list[n++] = "";
    for (at += strspn(at, " \t"); *at != '\0'; at += strspn(at, " \t")) {
        list[n++] = at;
        at += strcspn(at, " \t");
        if (*at != '\0') *at++ = '\0';
    }
    *argv = list;
    return n;
}

static gs_status read_line(gs_analyzer *a, gs_scheme_plan *s, gs_error *err)
{
    char **argv;
    bool help = false;
    gs_arena *const arena = a->out->arena;
    gs_recipe_defaults(&s->recipe);
    const int argc = split(arena, s->options, &argv);
    GS_TRY(gs_options_parse(&s->recipe, NULL, arena, argc, argv, &help, err));
    if (help) return gs_fail(err, GS_ERR_USAGE, "--help is no part of a scheme");
    GS_TRY(check_given(&s->recipe, err));
    s->recipe.model_path = a->spec->model_path;
    s->recipe.save_directory = "."; /* nothing is written */
    GS_TRY(gs_recipe_resolve(&s->recipe, &s->resolved, NULL, err));
    if (s->resolved.type == GS_Q_FLOAT) return gs_fail(err, GS_ERR_USAGE, "it quantizes nothing");
    gs_weight_rule_from(&s->recipe, &s->resolved, false, &s->rule);
    s->floats = s->resolved.npu_dtypes ? a->config.dtype : GS_F32;
    return GS_OK;
}

gs_quant_type gs_scheme_type(const gs_scheme_plan *s, int role)
{
    if (s->resolved.type != GS_Q_W4A4_FLATQUANT_DYNAMIC) return s->resolved.type;
    if (role == GS_ROLES) return GS_Q_FLOAT;
    return gs_linear_type(&s->recipe, &s->resolved, role == GS_DENSE);
}

/* Sizes that the rule cannot be used with are refused by name, before any work. */
static gs_status check_sizes(const gs_analyzer *a, const gs_scheme_plan *s, gs_error *err)
{
    for (int i = 0; i < a->out->linears; i++) {
        const gs_analyze_linear *l = &a->out->linear[i];
        const int role = i == a->out->linears - 1 ? (int)GS_ROLES : i % GS_ROLES;
        const gs_quant_type type = gs_scheme_type(s, role);
        const bool row_parallel = role < GS_ROLES && gs_role_is_row_parallel((gs_role)role);
        const gs_weight_layout layout =
            gs_weight_layout_from(&s->rule, &s->recipe, s->recipe.mindie_format, row_parallel, l->in);
        if (type == GS_Q_FLOAT) continue;
        if (type == GS_Q_W4A4_FLATQUANT_DYNAMIC)
            GS_TRY(gs_w4a4_check(l->name, l->in, err));
        else
            GS_TRY(gs_weight_check(&s->rule, &layout, l->name, l->out, l->in, err));
    }
    return GS_OK;
}

/* A word is a line of options or the name of a type. */
static gs_status make_plan(gs_analyzer *a, const char *word, gs_scheme_plan *s, gs_error *err)
{
    s->name = s->options = word;
    if (strncmp(word, "--", 2) != 0) {
        const gs_recipe_line *known = strcmp(word, "FLOAT") == 0 ? NULL : gs_recipe_line_find(word);
        if (known == NULL) return unknown_scheme(word, err);
        s->options = known->options;
    }
    gs_status status = read_line(a, s, err);
    if (status == GS_OK) status = check_sizes(a, s, err);
    return status == GS_OK ? GS_OK : gs_wrap(err, "--scheme \"%s\"", word);
}

gs_status gs_scheme_plans(gs_analyzer *a, gs_error *err)
{
    static const char *const usual[] = {"W8A8", NULL};
    const char *const *word = a->spec->scheme ? a->spec->scheme : usual;
    a->schemes = 0;
    while (word[a->schemes]) a->schemes++;
    if (a->schemes > GS_ANALYZE_SCHEMES)
        return gs_fail(err, GS_ERR_USAGE, "%d schemes in one run are more than %d; run analyze more than once",
                       a->schemes, GS_ANALYZE_SCHEMES);
    a->scheme = gs_arena_alloc(a->out->arena, (size_t)(a->schemes + 1) * sizeof *a->scheme);
    for (int i = 0; word[i]; i++) GS_TRY(make_plan(a, word[i], &a->scheme[i], err));
    return GS_OK;
}

/* ---- sizes ---- */

static uint64_t linear_bytes(const gs_manifest *m, const gs_linear_out *l)
{
    uint64_t sum = 0;
    for (int p = 0; p < GS_PIECES; p++)
        if (l->piece[p] >= 0) sum += m->layout.tensors[l->piece[p]].bytes;
    return sum;
}

static gs_status build(const gs_analyzer *a, const gs_scheme_plan *s, const gs_choice *choice, gs_manifest *m,
                       gs_error *err)
{
    const gs_manifest_spec spec = {.config = &a->config,
                                   .family = a->family,
                                   .tensors = &a->tensors,
                                   .choice = choice,
                                   .rule = &s->rule,
                                   .recipe = &s->recipe,
                                   .resolved = &s->resolved,
                                   .type = s->resolved.type,
                                   .keep_dtypes = s->resolved.npu_dtypes};
    gs_manifest_build(m, &spec);
    return gs_layout_plan(&m->layout, "model", 0, err);
}

static gs_status build_both(const gs_analyzer *a, int scheme, gs_manifest *quantized, gs_manifest *plain, gs_error *err)
{
    const gs_scheme_plan *s = &a->scheme[scheme];
    const int n = a->out->linears;
    gs_choice *choice = gs_alloc_array((size_t)n, sizeof *choice);
    gs_status status = build(a, s, choice, plain, err); /* all zero: FLOAT */
    for (int i = 0; i < n; i++)
        if (!a->figures[scheme][i].kept) choice[i].type = gs_scheme_type(s, i == n - 1 ? (int)GS_ROLES : i % GS_ROLES);
    if (status == GS_OK) status = build(a, s, choice, quantized, err);
    gs_free(choice);
    return status;
}

gs_status gs_scheme_sizes(gs_analyzer *a, int scheme, gs_error *err)
{
    gs_manifest quantized = {0}, plain = {0};
    const gs_status status = build_both(a, scheme, &quantized, &plain, err);
    for (int i = 0; i < a->out->linears && status == GS_OK; i++) {
        gs_trial_figures *f = &a->figures[scheme][i];
        const bool head = i == a->out->linears - 1;
        const int block = i / GS_ROLES, role = i % GS_ROLES;
        f->bytes = linear_bytes(&quantized, head ? &quantized.head : &quantized.block[block].linear[role]);
        f->float_bytes = linear_bytes(&plain, head ? &plain.head : &plain.block[block].linear[role]);
    }
    a->out->scheme[scheme].bytes = quantized.layout.total_bytes;
    gs_manifest_release(&quantized);
    gs_manifest_release(&plain);
    return status;
}
