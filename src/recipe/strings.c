/* Strings of the recipe whose form the script checks, and the JSON of tokenizer_args.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "recipe/compat.h"
#include "recipe/unbuilt.h"

#define DEFAULT_PAD_TOKEN "<unk>"

/* Characters as Python counts them: bytes that do not continue one. */
static size_t characters(const char *s)
{
    size_t count = 0;
    for (; *s != '\0'; s++) count += ((unsigned char)*s & 0xc0) != 0x80;
    return count;
}

static gs_status check_length(const char *name, const char *value, size_t min, size_t max, gs_error *err)
{
    if (value == NULL) return GS_OK;
    const size_t n = characters(value);
    if (n >= min && n <= max) return GS_OK;
    return gs_fail(err, GS_ERR_USAGE, "Validation failed for argument '%s': String length must be between %zu and %zu",
                   name, min, max);
}

/* Parse tokenizer_args. *out is NULL when the default applies: not given, or not JSON under reference_compat. */
static gs_status parse_args(const gs_recipe *r, json_t **out, gs_error *err)
{
    *out = NULL;
    if (r->tokenizer_args == NULL) return GS_OK;
    gs_error why;
    json_t *doc = gs_json_parse(r->tokenizer_args, strlen(r->tokenizer_args), "tokenizer_args", 16, &why);
    if (doc == NULL) {
        if (gs_compat(r, GS_COMPAT_TOKENIZER_ARGS)) return GS_OK;
        return gs_fail(err, GS_ERR_USAGE,
                       "argument --tokenizer_args: not JSON: %s. It is an object, as '{\"padding_side\": \"left\", "
                       "\"pad_token\": \"<unk>\"}'",
                       why.text);
    }
    if (!json_is_object(doc)) {
        json_decref(doc);
        return gs_fail(err, GS_ERR_USAGE, "argument --tokenizer_args: Parsed JSON must be a dictionary");
    }
    *out = doc;
    return GS_OK;
}

static gs_status check_args(json_t *args, gs_str *notes, gs_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(args, key, value)
    {
        const char *text = json_string_value(value);
        if (strcmp(key, "padding_side") == 0) {
            if (text == NULL || (strcmp(text, "left") != 0 && strcmp(text, "right") != 0))
                return gs_fail(err, GS_ERR_USAGE,
                               "argument --tokenizer_args: padding_side must be \"left\" or \"right\"");
        } else if (strcmp(key, "pad_token") == 0) {
            if (!json_is_null(value) && (text == NULL || text[0] == '\0'))
                return gs_fail(err, GS_ERR_USAGE,
                               "argument --tokenizer_args: pad_token must be a non-empty string or null");
        } else {
            char shown[80];
            gs_recipe_warn(notes, "tokenizer_args: \"%s\" has no effect",
                           gs_printable(key, strlen(key), shown, sizeof shown));
        }
    }
    return GS_OK;
}

gs_status gs_recipe_check_strings(const gs_recipe *r, gs_str *notes, gs_error *err)
{
    GS_TRY(check_length("input_ids_name", r->input_ids_name, 1, 256, err));
    GS_TRY(check_length("attention_mask_name", r->attention_mask_name, 1, 256, err));
    GS_TRY(check_length("tokenizer_args", r->tokenizer_args, 2, 4096, err));
    json_t *args = NULL;
    GS_TRY(parse_args(r, &args, err));
    if (args == NULL) return GS_OK;
    const gs_status status = check_args(args, notes, err);
    json_decref(args);
    return status;
}

gs_status gs_recipe_pad_token(const gs_recipe *r, char **out, gs_error *err)
{
    json_t *args = NULL;
    *out = NULL;
    GS_TRY(parse_args(r, &args, err));
    if (args == NULL) {
        *out = gs_strdup(DEFAULT_PAD_TOKEN);
        return GS_OK;
    }
    const char *pad = json_string_value(json_object_get(args, "pad_token"));
    if (pad != NULL) *out = gs_strdup(pad);
    json_decref(args);
    return GS_OK;
}
