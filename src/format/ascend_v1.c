/* ascendV1: the default of quant_glm.py, read by MindIE and vllm-ascend. SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

const gs_format gs_format_ascend_v1 = {
    .name = "ascendV1",
    .title = "ascendV1 (quant_model_description.json)",
    .version = true,
};
