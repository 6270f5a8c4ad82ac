/* Commands of the program. One file per command, one table in commands.c. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CLI_CLI_H
#define GS_CLI_CLI_H

#include "base/str.h"
#include "recipe/options.h"

/* What a command takes: its options, its words, and what the help says about it. */
typedef struct gs_cli_spec {
    const char *usage; /* after the command's name: "FILE|DIR [options]" */
    const char *about; /* a few sentences */
    const gs_option *rows;
    int count;
    int max_words;
} gs_cli_spec;

typedef struct gs_command {
    const char *name;
    const char *summary;               /* one line for `glmslim help` */
    int (*run)(int argc, char **argv); /* argv[0] = the command; returns the exit code */
    const gs_cli_spec *spec;           /* NULL for quant, whose table is recipe/options.c, and for hidden commands */
    bool hidden;
} gs_command;

extern const gs_command gs_commands[];
extern const int gs_command_count;
const gs_command *gs_command_find(const char *name); /* NULL = none */

int gs_cmd_quant(int argc, char **argv);
int gs_cmd_inspect(int argc, char **argv);
int gs_cmd_verify(int argc, char **argv);
int gs_cmd_diff(int argc, char **argv);
int gs_cmd_tokenize(int argc, char **argv);
int gs_cmd_generate(int argc, char **argv);
int gs_cmd_eval(int argc, char **argv);
int gs_cmd_analyze(int argc, char **argv);
int gs_cmd_synth(int argc, char **argv);
int gs_cmd_bench(int argc, char **argv);
int gs_cmd_version(int argc, char **argv);
int gs_cmd_help(int argc, char **argv);
int gs_cmd_docs(int argc, char **argv); /* hidden: docs/ and the man page out of the tables */

extern const gs_cli_spec gs_spec_inspect, gs_spec_verify, gs_spec_diff, gs_spec_tokenize, gs_spec_generate,
    gs_spec_eval, gs_spec_analyze, gs_spec_synth, gs_spec_bench, gs_spec_version, gs_spec_help;

/* The whole program: argv as main() got it. */
int gs_cli_main(int argc, char **argv);

#endif
