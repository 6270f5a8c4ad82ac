/* The recipe of glmslim_report.json back into a recipe. Keys that are not options of this version are passed over, so that results of
 * other versions can be shown. SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <string.h>

#include "recipe/options.h"

static gs_status wrong(const gs_option *o, const char *label, const char *wanted, gs_error *err)
{
    return gs_fail(err, GS_ERR_FILE, "%s: \"%s\" of the recipe must be %s", label, o->name, wanted);
}

static gs_status take_list(const gs_option *o, void *field, gs_arena *arena, const json_t *value, const char *label,
                           gs_error *err)
{
    const size_t n = json_array_size(value);
    const char **list = gs_arena_alloc(arena, (n + 1) * sizeof *list);
    if (!json_is_array(value)) return wrong(o, label, "a list of texts or null", err);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (text == NULL) return wrong(o, label, "a list of texts or null", err);
        list[i] = gs_arena_strdup(arena, text);
    }
    *(const char *const **)field = list;
    return GS_OK;
}

static gs_status take(const gs_option *o, void *field, gs_arena *arena, const json_t *value, const char *label,
                      gs_error *err)
{
    const json_int_t integer = json_integer_value(value);
    switch (o->kind) {
    case GS_OPT_STRING:
        if (!json_is_string(value)) return wrong(o, label, "a text or null", err);
        *(const char **)field = gs_arena_strdup(arena, json_string_value(value));
        return GS_OK;
    case GS_OPT_STRINGS:
    case GS_OPT_LINES:
        return take_list(o, field, arena, value, label, err);
    case GS_OPT_INT:
        if (!json_is_integer(value) || integer < INT_MIN || integer > INT_MAX)
            return wrong(o, label, "an integer of 32 bits", err);
        *(int *)field = (int)integer;
        return GS_OK;
    case GS_OPT_INT64:
        if (!json_is_integer(value)) return wrong(o, label, "an integer", err);
        *(int64_t *)field = integer;
        return GS_OK;
    case GS_OPT_DOUBLE:
        if (!json_is_number(value)) return wrong(o, label, "a number", err);
        *(double *)field = json_number_value(value);
        return GS_OK;
    case GS_OPT_BOOL:
    case GS_OPT_FLAG:
        break;
    }
    if (!json_is_boolean(value)) return wrong(o, label, "true or false", err);
    *(bool *)field = json_is_true(value);
    return GS_OK;
}

gs_status gs_recipe_from_json(gs_recipe *r, gs_arena *arena, const json_t *object, const char *label, gs_error *err)
{
    gs_recipe_defaults(r);
    if (!json_is_object(object)) return gs_fail(err, GS_ERR_FILE, "%s: the recipe must be an object", label);
    for (int i = 0; i < gs_option_count; i++) {
        const json_t *value = json_object_get(object, gs_options[i].name);
        if (value == NULL || json_is_null(value) || gs_option_is_local(&gs_options[i])) continue;
        GS_TRY(take(&gs_options[i], (char *)r + gs_options[i].field, arena, value, label, err));
    }
    return GS_OK;
}
