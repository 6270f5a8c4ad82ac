/* `glmslim docs WHAT`: the documents that are printed from tables. man/ and docs/ hold their output; tests compare.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/common.h"
#include "format/verify.h"
#include "recipe/compat.h"
#include "recipe/recipes.h"

static const char *const exit_codes[][2] = {
    {"0", "Done."},
    {"1", "diff: the directories differ."},
    {"2", "Illegal options or combination of options."},
    {"3", "The operating system refused: no permission, no space."},
    {"4", "The content of a file is wrong."},
    {"5", "Legal, but not done by this program."},
    {"6", "NaN or Inf where a number is needed."},
    {"7", "Not enough memory."},
    {"8", "Interrupted. Nothing is left at the output."},
};

static const char *const environment[][2] = {
    {"GLMSLIM_CPU",
     "Instruction set to use instead of the best one: c, avx2, avx512, avx512-vnni, avx512-bf16; on aarch64 c, "
     "neon, neondot. The results do not depend on it."},
    {"ASCEND_RT_VISIBLE_DEVICES, PYTORCH_NPU_ALLOC_CONF",
     "Known from the original's instructions; without effect, a note says so."},
    {"RANK", "As in the original an integer; anything else is a warning and counts as 0. Without effect."},
};

static void add_pairs(gs_str *out, const char *const pairs[][2], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        gs_str_adds(out, ".TP\n.B ");
        gs_roff_text(out, pairs[i][0]);
        gs_str_addc(out, '\n');
        gs_roff_text(out, pairs[i][1]);
        gs_str_addc(out, '\n');
    }
}

static void add_command(gs_str *out, const gs_command *c)
{
    gs_str_printf(out, ".SS glmslim %s ", c->name);
    gs_roff_text(out, c->spec->usage);
    gs_str_addc(out, '\n');
    for (const char *p = c->spec->about; *p != '\0';) { /* line by line: roff text must not begin with a dot */
        char line[256];
        const size_t n = strcspn(p, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, p);
        gs_roff_text(out, line);
        gs_str_addc(out, '\n');
        p += n + (p[n] == '\n');
    }
    gs_options_roff_rows(out, c->spec->rows, c->spec->count);
}

static void add_example(gs_str *out, const char *about, const char *line)
{
    gs_str_adds(out, ".PP\n");
    gs_roff_text(out, about);
    gs_str_adds(out, "\n.PP\n.nf\n.RS\n");
    gs_roff_text(out, line);
    gs_str_adds(out, "\n.RE\n.fi\n");
}

static void recipes_markdown(gs_str *out)
{
    gs_str_adds(out, "# Recipes\n\nPrinted by `glmslim docs recipes`; do not edit. Each line is a test.\n\n"
                     "`quant_glm --model_path MODEL --save_directory OUT --calib_file FILE` and\n\n"
                     "| type | what | options |\n| --- | --- | --- |\n");
    for (const gs_recipe_line *r = gs_recipe_lines; r < gs_recipe_lines + gs_recipe_line_count; r++)
        gs_str_printf(out, "| %s | %s | `%s` |\n", r->type, r->about, r->options);
    gs_str_adds(out,
                "\nThe key/value cache, `--anti_method` and `--mindie_format` can be added; what cannot be combined "
                "is refused with the reason before any\nwork, and `--dry_run` tells without doing.\n");
}

static void add_examples(gs_str *out)
{
    gs_str_adds(out, ".SH EXAMPLES\n");
    add_example(out, "The documented recipe, W8A8 with an int8 key/value cache:",
                "quant_glm --model_path glm-4-9b --save_directory out --device_type npu --act_method 2 --disable_level "
                "L0 --w_bit 8 --a_bit 8 "
                "--use_kvcache_quant True --calib_file calib.json --anti_file anti.json --trust_remote_code True");
    for (const gs_recipe_line *r = gs_recipe_lines; r < gs_recipe_lines + gs_recipe_line_count; r++) {
        char about[160], line[256];
        snprintf(about, sizeof about, "%s: %s:", r->type, r->about);
        snprintf(line, sizeof line, "quant_glm --model_path glm-4-9b --save_directory out %s", r->options);
        add_example(out, about, line);
    }
    add_example(out, "What it would do, without doing it:",
                "glmslim quant --model_path glm-4-9b --save_directory out --dry_run");
    add_example(out, "What came out:", "glmslim inspect out");
    add_example(out, "How good it is:", "glmslim eval --model_path glm-4-9b --quant_path out --text eval.txt");
    add_example(out, "Which linears lose most:",
                "glmslim analyze --model_path glm-4-9b --calib_file calib.json --scheme W8A8 W4A16 --budget 5%");
    add_example(out, "Would an engine run it rightly?",
                "glmslim verify out --model_path glm-4-9b --target vllm-ascend");
}

static void man_page(gs_str *out)
{
    gs_str_adds(out, ".\\\" Printed by `glmslim docs man`; do not edit.\n.\\\" SPDX-License-Identifier: Apache-2.0\n"
                     ".TH GLMSLIM 1 \"\" \"glmslim " GLMSLIM_VERSION "\" \"User Commands\"\n"
                     ".SH NAME\nglmslim, quant_glm \\- post\\-training quantization of GLM\\-4 checkpoints\n"
                     ".SH SYNOPSIS\n.B quant_glm\n\\-\\-model_path DIR \\-\\-save_directory DIR [options]\n.br\n.B "
                     "glmslim\nCOMMAND [options]\n"
                     ".SH DESCRIPTION\n"
                     "glmslim quantizes GLM\\-4 checkpoints and writes directories that MindIE and vllm\\-ascend load. "
                     "The same program\n"
                     "called as\n.B quant_glm\ntakes the command line of the original script quant_glm.py.\n"
                     ".PP\nCommands:\n");
    for (int i = 0; i < gs_command_count; i++) {
        if (gs_commands[i].hidden) continue;
        gs_str_printf(out, ".TP\n.B %s\n", gs_commands[i].name);
        gs_roff_text(out, gs_commands[i].summary);
        gs_str_adds(out, ".\n");
    }
    gs_str_adds(out, ".SH OPTIONS OF QUANT\n");
    gs_options_roff(out);
    gs_str_adds(out,
                ".TP\n.B \\-\\-json \\fRFILE\nWrite the report to a file as JSON.\n.TP\n.B \\-\\-report \\fRFILE\n"
                "Write the report as one HTML page: the command, charts per layer, linears that stay float and why, "
                "sizes, times.\n.TP\n.B \\-\\-secure\n"
                "Refuse inputs that are symbolic links or that group or others may write; otherwise a warning.\n"
                ".TP\n.B \\-\\-quiet\nOnly "
                "warnings and errors.\n"
                ".PP\nThe progress line shows the block, the step, the share of the work that is done, the time "
                "left, tokens through one\n"
                "block per second, and the memory in use.\n.SH OTHER COMMANDS\n");
    for (int i = 0; i < gs_command_count; i++)
        if (!gs_commands[i].hidden && gs_commands[i].spec != NULL) add_command(out, &gs_commands[i]);
    gs_str_adds(out, ".SH EXIT STATUS\n");
    add_pairs(out, exit_codes, sizeof exit_codes / sizeof exit_codes[0]);
    gs_str_adds(out, ".SH ENVIRONMENT\n");
    add_pairs(out, environment, sizeof environment / sizeof environment[0]);
    add_examples(out);
}

int gs_cmd_docs(int argc, char **argv)
{
    gs_str text;
    gs_error err;
    gs_str_init(&text);
    const char *what = argc > 1 ? argv[1] : "";
    gs_status status = GS_OK;
    if (strcmp(what, "options") == 0)
        gs_options_markdown(&text);
    else if (strcmp(what, "differences") == 0)
        gs_compat_markdown(&text);
    else if (strcmp(what, "verify") == 0)
        gs_verify_markdown(&text);
    else if (strcmp(what, "recipes") == 0)
        recipes_markdown(&text);
    else if (strcmp(what, "man") == 0)
        man_page(&text);
    else
        status = gs_fail(&err, GS_ERR_USAGE, "docs prints options, differences, verify, recipes or man");
    fwrite(text.data, 1, text.len, stdout);
    gs_str_release(&text);
    return gs_cli_finish(status, &err);
}
