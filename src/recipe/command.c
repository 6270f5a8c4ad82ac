/* A recipe as the command line that asks for it, in words that a POSIX shell reads back. SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "recipe/options.h"

static void add_word(gs_str *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=:,@%+-";
    gs_str_addc(out, ' ');
    if (word[0] != '\0' && strspn(word, plain) == strlen(word)) {
        gs_str_adds(out, word);
        return;
    }
    gs_str_addc(out, '\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'')
            gs_str_adds(out, "'\\''");
        else
            gs_str_addc(out, *word);
    }
    gs_str_addc(out, '\'');
}

static const void *field_of(const gs_recipe *r, const gs_option *o) { return (const char *)r + o->field; }

/* The value differs from the default's; lists and strings by content. */
static bool is_changed(const gs_recipe *r, const gs_recipe *defaults, const gs_option *o)
{
    const void *now = field_of(r, o), *then = field_of(defaults, o);
    switch (o->kind) {
    case GS_OPT_INT:
        return *(const int *)now != *(const int *)then;
    case GS_OPT_INT64:
        return *(const int64_t *)now != *(const int64_t *)then;
    case GS_OPT_DOUBLE:
        return *(const double *)now != *(const double *)then;
    case GS_OPT_BOOL:
    case GS_OPT_FLAG:
        return *(const bool *)now != *(const bool *)then;
    case GS_OPT_STRINGS:
    case GS_OPT_LINES:
        return *(const char *const *const *)now != NULL; /* no list has a default */
    case GS_OPT_STRING:
        break;
    }
    const char *a = *(const char *const *)now, *b = *(const char *const *)then;
    return a != NULL && (b == NULL || strcmp(a, b) != 0);
}

void gs_option_value(const gs_recipe *r, const gs_option *o, gs_str *out)
{
    char text[40] = "";
    const void *field = field_of(r, o);
    switch (o->kind) {
    case GS_OPT_STRING:
        add_word(out, *(const char *const *)field != NULL ? *(const char *const *)field : "");
        return;
    case GS_OPT_STRINGS:
    case GS_OPT_LINES:
        for (const char *const *list = *(const char *const *const *)field; list != NULL && *list != NULL; list++)
            add_word(out, *list);
        return;
    case GS_OPT_INT:
        snprintf(text, sizeof text, "%d", *(const int *)field);
        break;
    case GS_OPT_INT64:
        snprintf(text, sizeof text, "%" PRId64, *(const int64_t *)field);
        break;
    case GS_OPT_DOUBLE:
        gs_json_repr_double(*(const double *)field, text);
        break;
    case GS_OPT_BOOL:
    case GS_OPT_FLAG:
        if (o->kind == GS_OPT_FLAG && *(const bool *)field) return; /* its name says it */
        snprintf(text, sizeof text, "%s", *(const bool *)field ? "True" : "False");
        break;
    }
    add_word(out, text);
}

void gs_recipe_command(const gs_recipe *r, gs_str *out)
{
    gs_recipe defaults;
    gs_recipe_defaults(&defaults);
    gs_str_adds(out, "quant_glm");
    for (int i = 0; i < gs_option_count; i++) {
        const gs_option *o = &gs_options[i];
        const bool given = (r->given >> i & 1) != 0;
        if (!given && !is_changed(r, &defaults, o)) continue;
        if (o->kind == GS_OPT_FLAG && !*(const bool *)field_of(r, o)) continue; /* the script's flags take no value */
        gs_str_printf(out, " \\\n    --%s", o->name);
        gs_option_value(r, o, out);
    }
}
