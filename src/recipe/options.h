/* The one option table: parsing, help, ranges, defaults and docs/options.md are all rendered from it. The first 36 rows are the
 * parameters of quant_glm.py with its spelling ('-' is accepted for '_'); ours follow. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_RECIPE_OPTIONS_H
#define GS_RECIPE_OPTIONS_H

#include "base/mem.h"
#include "base/str.h"
#include "io/json.h"

typedef enum gs_option_kind {
    GS_OPT_STRING,
    GS_OPT_STRINGS,
    GS_OPT_LINES, /* the same, also of words that begin with "--" and are no option here */
    GS_OPT_INT,
    GS_OPT_INT64,
    GS_OPT_DOUBLE,
    GS_OPT_BOOL,
    GS_OPT_FLAG
} gs_option_kind;

typedef struct gs_option {
    const char *name; /* with '_' */
    gs_option_kind kind;
    size_t field;               /* offsetof(gs_recipe, …) */
    const char *default_text;   /* as shown in help; NULL = none */
    const char *const *choices; /* NULL-terminated or NULL */
    const char *help;           /* one line */
    const char *doc;            /* a sentence or two for docs/options.md and the man page: range, effect, deviation */
    bool ours;                  /* not a parameter of quant_glm.py */
} gs_option;

extern const gs_option gs_options[];
extern const int gs_option_count;

/* What the MindIE loader takes in a path; a text for people, format/target_mindie.c looks at paths. */
#define GS_MINDIE_PATH "[_A-Za-z0-9/.-]"

/* What a run of quant takes besides: not in the recipe, because it changes nothing in the result. */
typedef struct gs_run_options {
    const char *json, *report;
    bool secure, quiet;
} gs_run_options;
extern const gs_option gs_run_option_rows[];
extern const int gs_run_option_count;

/* Parse argv[1..argc) into *r (already gs_recipe_defaults()ed). `arena` keeps the lists. *help is set if -h/--help was met.
 * Errors are GS_ERR_USAGE with argparse's wording where it has one ("argument --act_method: invalid choice: 4 (choose from 1, 2, 3)").
 * Repeated options: the last wins, but lists that are ours grow. run NULL: its options are unknown ones. */
gs_status gs_options_parse(gs_recipe *r, gs_run_options *run, gs_arena *arena, int argc, char **argv, bool *help,
                           gs_error *err) GS_CHECKED;
const gs_option *gs_option_find(const char *name); /* exact name; NULL = none */
/* The same parser for any table: the other commands of the program. Fields are offsets into *object. */
typedef struct gs_option_parse {
    const gs_option *rows;
    int count;
    void *object;
    const gs_option *more; /* a second table, and where its fields are */
    int n_more;
    void *more_object;
    uint64_t *given; /* of the first table; may be NULL */
    gs_arena *arena; /* for lists */
    const char **words;
    int max_words, n_words; /* words that belong to no option; more than max_words are an error */
    bool help;              /* -h or --help was met; nothing after it was read */
} gs_option_parse;
gs_status gs_options_parse_rows(gs_option_parse *request, int argc, char **argv, gs_error *err) GS_CHECKED;

/* It says where files are or how the work is done, and never changes what a result is: threads, paths, overwrite, … */
bool gs_option_is_local(const gs_option *o);
/* Its value in the recipe as words of a command line, each with a blank in front. */
void gs_option_value(const gs_recipe *r, const gs_option *o, gs_str *out);
/* The command line that gives this recipe, an option a line, quoted for a POSIX shell: what was given and what is not the default. */
void gs_recipe_command(const gs_recipe *r, gs_str *out);
/* The object "recipe" of glmslim_report.json; texts and lists in the arena. label: the file, for errors. */
gs_status gs_recipe_from_json(gs_recipe *r, gs_arena *arena, const json_t *object, const char *label,
                              gs_error *err) GS_CHECKED;
bool gs_option_given(const gs_recipe *r, const char *name);
void gs_options_help(gs_str *out, const char *program); /* --help of the quantizing command */
void gs_options_help_rows(gs_str *out, const gs_option *rows, int count);
void gs_options_roff_rows(gs_str *out, const gs_option *rows, int count);
void gs_roff_text(gs_str *out, const char *text); /* plain text, escaped */
void gs_options_markdown(gs_str *out);            /* docs/options.md */
void gs_options_roff(gs_str *out);                /* OPTIONS section of the man page */

#endif
