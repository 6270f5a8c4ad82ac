/* --mindie_format: the older layout with the type in the description's name and the recipe in config.json.
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

const gs_format gs_format_mindie = {
    .name = "mindie",
    .title = "MindIE (quant_model_description_<type>.json, quantization_config)",
    .typed_description = true,
    .config_quantize = true,
};
