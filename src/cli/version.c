/* `glmslim version`. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/pool.h"
#include "base/sys.h"
#include "cli/common.h"
#include "io/json.h"

static const gs_option rows[] = {GS_CLI_COMMON_ROWS};

const gs_cli_spec gs_spec_version = {"[options]", "Show version, instruction sets and build.", rows,
                                     (int)(sizeof rows / sizeof rows[0]), 0};

#if defined __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#ifdef __has_feature /* clang's way of saying it; gcc defines the macro itself */
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define BUILD COMPILER ", address sanitizer"
#elif defined __OPTIMIZE__
#define BUILD COMPILER ", optimized"
#else
#define BUILD COMPILER ", not optimized"
#endif

static gs_status write_json(const char *path, gs_rung rung, gs_error *err)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    gs_json_out_key(j, "glmslim");
    gs_json_out_string(j, GLMSLIM_VERSION);
    gs_json_out_key(j, "build");
    gs_json_out_string(j, BUILD);
    gs_json_out_key(j, "jansson");
    gs_json_out_string(j, JANSSON_VERSION);
    gs_json_out_key(j, "cpu");
    gs_json_out_string(j, gs_rung_name(rung));
    gs_json_out_key(j, "cpus");
    gs_json_out_int(j, gs_usable_cpus());
    gs_json_out_end(j);
    size_t n;
    char *text = gs_json_out_finish(j, &n);
    const gs_status status = gs_cli_write_json(path, text, n, err);
    gs_free(text);
    return status;
}

static gs_status run(const gs_cli_common *a, gs_error *err)
{
    gs_rung rung;
    GS_TRY(gs_cpu_select(&rung, err));
    printf("glmslim %s\nbuild             %s\ninstruction sets ", GLMSLIM_VERSION, BUILD);
    for (int i = 0; i <= (int)gs_cpu_best(); i++) printf(" %s", gs_rung_name((gs_rung)i));
    printf("; in use: %s\nprocessors        %d usable\nlibraries         jansson %s\n", gs_rung_name(rung),
           gs_usable_cpus(), JANSSON_VERSION);
    return a->json != NULL ? write_json(a->json, rung, err) : GS_OK;
}

int gs_cmd_version(int argc, char **argv)
{
    gs_cli_common a = {0};
    int n, code;
    gs_error err;
    if (!gs_cli_parse(&gs_spec_version, argc, argv, &a, NULL, &n, &code)) return code;
    return gs_cli_finish(run(&a, &err), &err);
}
