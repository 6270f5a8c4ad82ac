/* quant_model_description*.json as inspect shows it: text and JSON of any description end, and the JSON is JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/inspect.h"
#include "fuzz.h"
#include "io/name_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static gs_tensor tensors[] = {
        {.name = "w.weight", .dtype = GS_I8, .rank = 2, .shape = {2, 3}, .elements = 6, .offset = 8, .bytes = 6},
        {.name = "w.deq_scale", .dtype = GS_I64, .rank = 1, .shape = {2}, .elements = 2, .offset = 14, .bytes = 16},
    };
    static gs_name_map *names;
    if (names == NULL) {
        names = gs_name_map_create(2);
        for (int i = 0; i < 2; i++) (void)gs_name_map_add(names, tensors[i].name, i);
    }
    gs_tensor_table table = {.tensors = tensors, .count = 2};
    gs_file f = {.fd = -1, .size = 30, .path = (char *)"quant_model_weight_w8a8.safetensors"};
    gs_error err;
    char *copy = gs_fuzz_copy(data, n);
    json_t *description = gs_json_parse(copy, n, "quant_model_description.json", 64, &err);
    gs_free(copy);
    if (description == NULL) gs_fuzz_outcome(err.status, &err);
    if (!json_is_object(description)) {
        json_decref(description);
        return 0;
    }
    gs_inspect v = {.path = "out", .kind = "quantized", .table = &table, .files = &f, .n_files = 1};
    v.checkpoint = (gs_checkpoint){.table = table, .by_name = names};
    v.description = description;
    v.description_name = (char *)"quant_model_description.json";
    gs_str text;
    gs_str_init(&text);
    gs_inspect_text(&v, true, &text);
    GS_FUZZ_CHECK(gs_utf8_valid(text.data, text.len) == text.len);
    gs_str_release(&text);
    size_t json_n;
    char *json = gs_inspect_json(&v, &json_n);
    json_t *back = gs_json_parse(json, json_n, "inspect", 64, &err);
    GS_FUZZ_CHECK(back != NULL);
    json_decref(back);
    gs_free(json);
    json_decref(description);
    return 0;
}
