/* The table of commands, and how a command line finds its command.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/common.h"

const gs_command gs_commands[] = {
    {"quant", "quantize a checkpoint; the same as calling the program quant_glm", gs_cmd_quant, NULL, false},
    {"inspect", "show what is in a safetensors file, a checkpoint or a quantized directory", gs_cmd_inspect,
     &gs_spec_inspect, false},
    {"verify", "check a quantized directory, and whether an engine would run it rightly", gs_cmd_verify,
     &gs_spec_verify, false},
    {"diff", "compare two directories tensor by tensor", gs_cmd_diff, &gs_spec_diff, false},
    {"tokenize", "turn text into token ids, or ids into text", gs_cmd_tokenize, &gs_spec_tokenize, false},
    {"generate", "let a float checkpoint continue a text", gs_cmd_generate, &gs_spec_generate, false},
    {"eval", "measure results against their float model: perplexity, KL, layer by layer", gs_cmd_eval, &gs_spec_eval,
     false},
    {"analyze", "measure what each linear loses when it alone is quantized, and rank them", gs_cmd_analyze,
     &gs_spec_analyze, false},
    {"synth", "write a synthetic checkpoint of any shape", gs_cmd_synth, &gs_spec_synth, false},
    {"bench", "measure this machine, and how much of it is used", gs_cmd_bench, &gs_spec_bench, false},
    {"help", "show help for the program or for a command", gs_cmd_help, &gs_spec_help, false},
    {"version", "show version, instruction sets and build", gs_cmd_version, &gs_spec_version, false},
    {"docs", "print generated documents", gs_cmd_docs, NULL, true},
};

const int gs_command_count = (int)(sizeof gs_commands / sizeof gs_commands[0]);

const gs_command *gs_command_find(const char *name)
{
    for (int i = 0; i < gs_command_count; i++)
        if (strcmp(gs_commands[i].name, name) == 0) return &gs_commands[i];
    return NULL;
}

const gs_cli_spec gs_spec_help = {"[COMMAND]", "Show the commands, or the options of one command.", NULL, 0, 1};

static void print_commands(FILE *to)
{
    fprintf(to, "usage: glmslim COMMAND [options]\n\nPost-training quantization of GLM-4 checkpoints.\n\n");
    for (int i = 0; i < gs_command_count; i++)
        if (!gs_commands[i].hidden) fprintf(to, "  %-10s %s\n", gs_commands[i].name, gs_commands[i].summary);
    fprintf(to, "\n`glmslim help COMMAND` shows the options of a command. Called as quant_glm, the program takes the "
                "options of\n"
                "quant directly.\n");
}

static int unknown_command(const char *name)
{
    gs_error err;
    char shown[80];
    gs_printable(name, strlen(name), shown, sizeof shown);
    return gs_cli_finish(gs_fail(&err, GS_ERR_USAGE, "there is no command \"%s\"; `glmslim help` lists them", shown),
                         &err);
}

int gs_cmd_help(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        print_commands(stdout);
        return 0;
    }
    const gs_command *c = gs_command_find(argv[1]);
    if (c == NULL || c->hidden) return unknown_command(argv[1]);
    gs_str text;
    gs_str_init(&text);
    gs_cli_help_text(c, &text);
    fputs(text.data, stdout);
    gs_str_release(&text);
    return 0;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return GS_ERR_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) return gs_cmd_help(1, argv);
    if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0) word = "version";
    const gs_command *c = gs_command_find(word);
    if (c != NULL) return c->run(argc - 1, argv + 1);
    if (strncmp(word, "--", 2) == 0) { /* the script's options without the command */
        gs_error err;
        return gs_cli_finish(
            gs_fail(&err, GS_ERR_USAGE,
                    "options come after a command: `glmslim quant %s ...`; `glmslim help` lists the commands", word),
            &err);
    }
    return unknown_command(word);
}

int gs_cli_main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write, which has a message and cleans up */
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "glmslim";
    if (strncmp(name, "quant_glm", 9) == 0) {
        gs_cli_program = "quant_glm";
        return gs_cli_close_output(gs_cmd_quant(argc, argv));
    }
    return gs_cli_close_output(run(argc, argv));
}
