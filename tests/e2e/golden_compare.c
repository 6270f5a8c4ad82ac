/* golden_compare check CASE OUT     compare a result with a golden case: exit 0 equal, 1 different, 2 unusable input
 * golden_compare expand CASE DIR    rebuild the case's files as the reference wrote them
 * golden_compare args CASE          the case's facts for a script: model, calib, anti, then one argument per line
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "golden_rules.h"

static int check(golden *g, const char *out_dir, gs_error *err)
{
    golden_verdict v;
    golden_verdict_init(&v);
    gs_str figures;
    gs_str_init(&figures);
    int code = 2;
    if (golden_judge(g, out_dir, &v, err) == GS_OK) {
        golden_verdict_figures(&v, &figures);
        fputs(v.text.data, stdout);
        printf("%s: %s; worst: %s\n", g->name, v.differences == 0 ? "equal" : "DIFFERENT", figures.data);
        code = v.differences == 0 ? 0 : 1;
    }
    gs_str_release(&figures);
    golden_verdict_release(&v);
    return code;
}

static int print_args(const golden *g)
{
    printf("%s\n%s\n%s\n", g->model, g->calib, g->anti);
    for (int i = 0; i < g->n_args; i++) puts(g->args[i]);
    return 0;
}

int main(int argc, char **argv)
{
    const bool args = argc == 3 && strcmp(argv[1], "args") == 0;
    const bool expand = argc == 4 && strcmp(argv[1], "expand") == 0;
    if (!args && !expand && !(argc == 4 && strcmp(argv[1], "check") == 0)) {
        fputs("usage: golden_compare check|expand CASE DIR | args CASE\n", stderr);
        return 2;
    }
    gs_error err = {0};
    golden g = {0};
    int code = 2;
    if (golden_open(&g, argv[2], &err) == GS_OK) {
        if (args)
            code = print_args(&g);
        else if (expand)
            code = golden_expand(&g, argv[3], &err) == GS_OK ? 0 : 2;
        else
            code = check(&g, argv[3], &err);
    }
    if (code == 2) fprintf(stderr, "golden_compare: %s\n", err.text);
    golden_close(&g);
    return code;
}
