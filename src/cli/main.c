/* glmslim. Also installed as quant_glm. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

int main(int argc, char **argv) { return gs_cli_main(argc, argv); }
