/* Commands of the program. One file per command, one table in main.c. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CLI_CLI_H
#define GS_CLI_CLI_H

#include "base/str.h"

typedef struct gs_command {
    const char *name;
    const char *summary;                 /* one line for `glmslim help` */
    int (*run)(int argc, char **argv);   /* argv[0] = the command; returns the exit code */
} gs_command;

int gs_cmd_quant(int argc, char **argv);
int gs_cmd_inspect(int argc, char **argv);
int gs_cmd_tokenize(int argc, char **argv);
int gs_cmd_generate(int argc, char **argv);
int gs_cmd_synth(int argc, char **argv);
int gs_cmd_version(int argc, char **argv);

#endif
