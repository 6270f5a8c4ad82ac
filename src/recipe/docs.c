/* The option and compat tables as text: --help, docs/options.md, docs/differences.md, OPTIONS of the man page.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "recipe/compat.h"
#include "recipe/options.h"

#define HELP_COLUMN 34
#define HELP_WIDTH  100

/* Strings that name something get its name. */
static const char *string_text(const char *name)
{
    static const char *const words[][2] = {
        {"model_path", "DIR"},      {"save_directory", "DIR"}, {"dir", "DIR"},     {"calib_file", "FILE"},
        {"anti_file", "FILE"},      {"json", "FILE"},          {"report", "FILE"}, {"disable_level", "L<n>"},
        {"tokenizer_args", "JSON"}, {"anti_method", "METHOD"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i][0], name) == 0) return words[i][1];
    return "TEXT";
}

static const char *kind_text(const gs_option *o)
{
    switch (o->kind) {
    case GS_OPT_STRING:
        return string_text(o->name);
    case GS_OPT_STRINGS:
    case GS_OPT_LINES:
        return "TEXT ...";
    case GS_OPT_INT:
    case GS_OPT_INT64:
        return "INT";
    case GS_OPT_DOUBLE:
        return "FLOAT";
    case GS_OPT_BOOL:
        return "True|False";
    case GS_OPT_FLAG:
        break;
    }
    return "";
}

/* What stands after the name: choices where there are some. */
static void add_argument(gs_str *out, const gs_option *o)
{
    if (o->choices == NULL) {
        gs_str_adds(out, kind_text(o));
        return;
    }
    for (int i = 0; o->choices[i] != NULL; i++) gs_str_printf(out, "%s%s", i > 0 ? "|" : "", o->choices[i]);
}

/* text from the current column, wrapped at HELP_WIDTH and indented to HELP_COLUMN. */
static void add_wrapped(gs_str *out, const char *text)
{
    size_t column = HELP_COLUMN;
    while (*text != '\0') {
        const size_t n = strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + n > HELP_WIDTH) {
            gs_str_printf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            gs_str_addc(out, ' ');
            column++;
        }
        gs_str_add(out, text, n);
        column += n;
        text += n;
        while (*text == ' ') text++;
    }
    gs_str_addc(out, '\n');
}

static void add_help_row(gs_str *out, const gs_option *o)
{
    gs_str line, text;
    gs_str_init(&line);
    gs_str_init(&text);
    gs_str_printf(&line, "  --%s ", o->name);
    add_argument(&line, o);
    gs_str_adds(&text, o->help);
    if (o->default_text != NULL && o->default_text[0] != '\0') gs_str_printf(&text, " (default %s)", o->default_text);
    if (line.len + 1 > HELP_COLUMN)
        gs_str_printf(out, "%s\n%*s", line.data, HELP_COLUMN, "");
    else
        gs_str_printf(out, "%-*s", HELP_COLUMN, line.data);
    add_wrapped(out, text.data);
    gs_str_release(&line);
    gs_str_release(&text);
}

void gs_options_help_rows(gs_str *out, const gs_option *rows, int count)
{
    for (int i = 0; i < count; i++) add_help_row(out, &rows[i]);
}

void gs_options_help(gs_str *out, const char *program)
{
    gs_str_printf(out,
                  "usage: %s --model_path DIR --save_directory DIR [options]\n\n"
                  "Quantize a GLM-4 checkpoint. Options are those of quant_glm.py; '-' may stand for '_', and an\n"
                  "unambiguous beginning of a name is enough.\n\nParameters of quant_glm.py:\n",
                  program);
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) gs_str_adds(out, "\nOnly in this program:\n");
        for (int i = 0; i < gs_option_count; i++)
            if (gs_options[i].ours == (pass == 1)) add_help_row(out, &gs_options[i]);
    }
    static const gs_option help = {"help", GS_OPT_FLAG, 0, NULL, NULL, "show this text", "", true};
    gs_options_help_rows(out, gs_run_option_rows, gs_run_option_count);
    add_help_row(out, &help);
    gs_str_adds(out,
                "\nExit codes: 0 done, 2 usage, 3 input/output, 4 bad file, 5 not supported, 6 NaN or Inf, 7 memory,\n"
                "8 interrupted.\n");
}

/* Text for a Markdown table cell. */
static void add_cell(gs_str *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '<') gs_str_addc(out, '\\');
        gs_str_addc(out, *text);
    }
}

static void add_option_row(gs_str *out, const gs_option *o)
{
    gs_str argument;
    gs_str_init(&argument);
    add_argument(&argument, o);
    gs_str_printf(out, "| `%s` | ", o->name);
    add_cell(out, o->kind == GS_OPT_FLAG ? "flag" : argument.data);
    gs_str_adds(out, " | ");
    if (o->default_text != NULL) gs_str_printf(out, o->default_text[0] != '\0' ? "`%s`" : "empty%s", o->default_text);
    gs_str_adds(out, " | ");
    gs_str_addc(out, (char)toupper((unsigned char)o->help[0]));
    add_cell(out, o->help + 1);
    gs_str_addc(out, '.');
    if (o->doc[0] != '\0') gs_str_addc(out, ' ');
    add_cell(out, o->doc);
    gs_str_adds(out, " |\n");
    gs_str_release(&argument);
}

void gs_options_markdown(gs_str *out)
{
    gs_str_adds(
        out,
        "# Options of quant_glm\n\n"
        "Printed by `glmslim docs options` from the table in `src/recipe/options.c`; do not edit.\n\n"
        "Names are those of `quant_glm.py`; `-` may stand for `_`, `--name value` and `--name=value` are the same, an\n"
        "unambiguous beginning of a name is enough, and of an option given twice the last counts. Lists take every "
        "word up\n"
        "to the next option. Booleans are `True` or `False`, nothing else.\n\n## Parameters of quant_glm.py\n\n"
        "| name | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for (int i = 0; i < gs_option_count; i++)
        if (!gs_options[i].ours) add_option_row(out, &gs_options[i]);
    gs_str_adds(out, "\n## Only in this program\n\nFlags may also be written with `True` or `False`.\n\n"
                     "| name | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for (int i = 0; i < gs_option_count; i++)
        if (gs_options[i].ours) add_option_row(out, &gs_options[i]);
    gs_str_adds(
        out,
        "\nEvery command also takes `--json FILE` (the result for a program; `-` is standard output, which then holds "
        "nothing\n"
        "else), `--threads N` and `--quiet` (only warnings and errors). `--report FILE` writes a page for a browser: "
        "what was\n"
        "done, charts per layer, what stays float and why, "
        "sizes, times ([report.md](report.md)).\n\n`--secure`, with every command, refuses inputs that are symbolic "
        "links, that group or others may write or that\n"
        "belong to another user, and a place for the result where others could exchange it; without it the first link "
        "and the\n"
        "first of what others may write are warnings ([SECURITY.md](../SECURITY.md)).\n");
}

void gs_roff_text(gs_str *out, const char *text)
{
    if (*text == '.' || *text == '\'') gs_str_adds(out, "\\&"); /* would be a command at the start of a line */
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\\')
            gs_str_adds(out, "\\e");
        else if (*p == '-')
            gs_str_adds(out, "\\-");
        else if (*p == '`')
            gs_str_adds(out, "\"");
        else
            gs_str_addc(out, *p);
    }
}

static void add_roff_row(gs_str *out, const gs_option *o)
{
    gs_str argument;
    gs_str_init(&argument);
    add_argument(&argument, o);
    gs_str_adds(out, ".TP\n.B \\-\\-");
    gs_roff_text(out, o->name);
    if (argument.len > 0) {
        gs_str_adds(out, " \\fR");
        gs_roff_text(out, argument.data);
    }
    gs_str_release(&argument);
    gs_str_addc(out, '\n');
    gs_str_addc(out, (char)toupper((unsigned char)o->help[0]));
    gs_roff_text(out, o->help + 1);
    if (o->default_text != NULL && o->default_text[0] != '\0') {
        gs_str_adds(out, " (default ");
        gs_roff_text(out, o->default_text);
        gs_str_addc(out, ')');
    }
    gs_str_adds(out, ".\n");
    if (o->doc[0] == '\0') return;
    gs_roff_text(out, o->doc);
    gs_str_addc(out, '\n');
}

void gs_options_roff_rows(gs_str *out, const gs_option *rows, int count)
{
    for (int i = 0; i < count; i++) add_roff_row(out, &rows[i]);
}

void gs_options_roff(gs_str *out)
{
    for (int i = 0; i < gs_option_count; i++) {
        if (i > 0 && gs_options[i].ours && !gs_options[i - 1].ours) gs_str_adds(out, ".SS Only in this program\n");
        add_roff_row(out, &gs_options[i]);
    }
}

/* Differences that hold with and without --reference_compat. */
static const char *const always[][2] = {
    {"Bit widths that name no scheme (w2a8, w6a8, w16a8, w8a4, …): files of type UNKNOWN with codes and no scales.",
     "Refused."},
    {"Writes `features.npy` into the current directory.", "Nothing is written outside save_directory."},
    {"Fails after the work when save_directory has characters outside `[_A-Za-z0-9/.-]`.", "Any path."},
    {"Executes Python code of the checkpoint, and fails without trust_remote_code.",
     "No code is executed; the option is accepted."},
    {"The default calib_file cannot be read by the script.", "A built-in set of texts."},
    {"calib_texts, tp_size: read and dropped.", "They do what its documentation says."},
    {"do_smooth with m1 … m5, quantized attention and W4A4 fail on GLM-4 with an internal error.", "They work."},
    {"mindie_format fails after the work for W8A8S from co_sparse, for W4A8_DYNAMIC and for FLOAT, because two names "
     "of "
     "the description disagree.",
     "The names of the files that are written."},
    {"Per-group W8A8S, and co_sparse with is_dynamic, fail while saving.",
     "Group codes merged under one scale per row; sparse codes as W8A8_DYNAMIC."},
    {"mindie_format records device_type as dev_type.",
     "cpu, where everything is computed: no file depends on device_type."},
    {"use_reduce_quant: a channel that is 0 for a whole sample becomes NaN.",
     "It stays 0; one that is always 0 gets the smallest scale."},
    {"tp_size with is_lowbit fails when fraction of a card's inputs is less than one weight.",
     "One outlier per row is kept, and it is said."},
    {"Scales of weight rows or groups that are all zero: NaN in the sparse and low-bit schemes.",
     "The smallest scale, codes 0."},
    {"An interrupted or failed run leaves a half-written directory.", "save_directory appears complete or not at all."},
};

void gs_compat_markdown(gs_str *out)
{
    gs_str_adds(out, "# Differences from the reference\n\n"
                     "Printed by `glmslim docs differences` from the table in `src/recipe/compat.c`; do not edit.\n\n"
                     "The reference is `example/GLM/quant_glm.py` of msModelSlim, run on a CPU. By default this "
                     "program does what is right;\n"
                     "`--reference_compat` switches every row of the first table back to what the reference does, so "
                     "that results can be\n"
                     "compared.\n\n"
                     "| what | option | the reference, and --reference_compat | by default |\n| --- | --- | "
                     "--- | --- |\n");
    for (int i = 0; i < GS_COMPAT_COUNT; i++) {
        const gs_compat_row *row = &gs_compat_rows[i];
        gs_str_adds(out, "| ");
        add_cell(out, row->name);
        gs_str_printf(out, " | `%s` | ", row->spec);
        add_cell(out, row->reference);
        gs_str_adds(out, " | ");
        add_cell(out, row->ours);
        gs_str_adds(out, " |\n");
    }
    gs_str_adds(out, "\n## Dtypes\n\n"
                     "Not part of the switch: `--save_dtype checkpoint` (default) writes the dtypes of a run on an "
                     "NPU, which engines load;\n"
                     "`--save_dtype float32` writes those of a run on a CPU. A byte comparison with a CPU run of the "
                     "reference needs\n"
                     "`--save_dtype float32 --reference_compat`.\n\n## With or without --reference_compat\n\n"
                     "| the reference | this program |\n| --- | --- |\n");
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++) {
        gs_str_adds(out, "| ");
        add_cell(out, always[i][0]);
        gs_str_adds(out, " | ");
        add_cell(out, always[i][1]);
        gs_str_adds(out, " |\n");
    }
}
