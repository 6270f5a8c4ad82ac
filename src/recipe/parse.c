/* The command line into a recipe, by the rules of Python's argparse that users of the script rely on: unambiguous prefixes,
 * --opt=value, lists that end at the next option, negative numbers as values, unknown words collected and reported together.
 * "--" ends options and is no value: without words of its own a command line has no use for it, here as there. New to it: '-' for
 * '_' in names, and a second table beside the first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "recipe/options.h"
#include "recipe/value.h"

typedef struct parser {
    gs_option_parse *q;
    int argc;
    char **argv;
    int at;         /* next word */
    int dashes;     /* position of the first "--", argc if there is none: later words are never options */
    gs_str unknown; /* words nobody wanted */
    const char *first_unknown;
    gs_error *err;
} parser;

typedef enum match_kind { MATCH_NONE, MATCH_OPTION, MATCH_HELP, MATCH_MANY } match_kind;

typedef struct match {
    match_kind kind;
    int at;            /* of the option, in both tables */
    const char *value; /* after '=', or NULL */
} match;

static int count_rows(const gs_option_parse *q) { return q->count + q->n_more; }

static const gs_option *row(const gs_option_parse *q, int at)
{
    return at < q->count ? &q->rows[at] : &q->more[at - q->count];
}

/* Does the option's name begin with word[0..n)? '-' counts as '_'. */
static bool name_begins(const char *name, const char *word, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (name[i] == '\0' || name[i] != (word[i] == '-' ? '_' : word[i])) return false;
    return true;
}

/* A prefix of exactly one of the script's parameters is that parameter, whatever we have added to the table since. */
static void match_prefix(const gs_option_parse *q, match *m, const char *word, size_t n)
{
    int theirs = 0, ours = 0, their = 0, our = 0;
    for (int i = 0; i < count_rows(q); i++) {
        if (!name_begins(row(q, i)->name, word, n)) continue;
        if (row(q, i)->ours) {
            ours++;
            our = i;
        } else {
            theirs++;
            their = i;
        }
    }
    const bool help = name_begins("help", word, n);
    if (theirs == 1 && !help) {
        m->kind = MATCH_OPTION;
        m->at = their;
    } else if (theirs == 0 && ours == 1 && !help) {
        m->kind = MATCH_OPTION;
        m->at = our;
    } else if (theirs + ours > 0) {
        m->kind = MATCH_MANY;
    } else if (help && n > 0) {
        m->kind = MATCH_HELP;
    }
}

static match match_word(const gs_option_parse *q, const char *word)
{
    match m = {MATCH_NONE, 0, NULL};
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        m.kind = MATCH_HELP;
        return m;
    }
    if (strncmp(word, "--", 2) != 0 || word[2] == '\0') return m;
    word += 2;
    const char *equals = strchr(word, '=');
    const size_t n = equals != NULL ? (size_t)(equals - word) : strlen(word);
    m.value = equals != NULL ? equals + 1 : NULL;
    for (int i = 0; i < count_rows(q); i++) {
        if (strlen(row(q, i)->name) != n || !name_begins(row(q, i)->name, word, n)) continue;
        m.kind = MATCH_OPTION;
        m.at = i;
        return m;
    }
    if (n > 0) match_prefix(q, &m, word, n);
    return m;
}

/* -5, -5.5, -.5: what argparse takes for a value although it begins with '-'. */
static bool is_negative_number(const char *word)
{
    const char *p = word + 1;
    const size_t whole = strspn(p, "0123456789");
    if (p[whole] == '\0') return whole > 0;
    if (p[whole] != '.') return false;
    const size_t part = strspn(p + whole + 1, "0123456789");
    return part > 0 && p[whole + 1 + part] == '\0';
}

/* May word i be the value of an option? lines: words that only look like options may. */
static bool is_value(const parser *p, int i, bool lines)
{
    if (i >= p->argc || i >= p->dashes) return false;
    const char *word = p->argv[i];
    if (word[0] != '-' || word[1] == '\0') return true;
    if (match_word(p->q, word).kind != MATCH_NONE) return false;
    return is_negative_number(word) || strchr(word, ' ') != NULL || (lines && strncmp(word, "--", 2) == 0);
}

static gs_status take_list(parser *p, const gs_option *o, void *object, const char *value)
{
    int count = 0;
    while (value == NULL && is_value(p, p->at + count, o->kind == GS_OPT_LINES)) count++;
    if (value == NULL && count == 0)
        return gs_fail(p->err, GS_ERR_USAGE, "argument --%s: expected at least one argument", o->name);
    const char *const **field = (const char *const **)((char *)object + o->field), *const *before = *field;
    size_t n = 0, old = 0;
    while (o->ours && before != NULL && before[old] != NULL) old++; /* a list of ours may be given in parts */
    const char **list = gs_arena_alloc(p->q->arena, sizeof *list * (old + (size_t)count + 2));
    for (; n < old; n++) list[n] = before[n];
    if (value != NULL) list[n] = value;
    for (int i = 0; i < count; i++) list[n++] = p->argv[p->at++];
    *field = list;
    return GS_OK;
}

static gs_status take_flag(parser *p, const gs_option *o, void *object, const char *value)
{
    char quoted[200];
    if (!o->ours && value != NULL)
        return gs_fail(p->err, GS_ERR_USAGE, "argument --%s: ignored explicit argument %s", o->name,
                       gs_python_repr(value, quoted, sizeof quoted));
    if (o->ours && value == NULL && is_value(p, p->at, false)) {
        const char *next = p->argv[p->at];
        if (strcmp(next, "True") == 0 || strcmp(next, "False") == 0) value = p->argv[p->at++];
    }
    return gs_option_set(object, o, value != NULL ? value : "True", p->err);
}

static gs_status take_option(parser *p, const match *m)
{
    const gs_option *o = row(p->q, m->at);
    const bool first = m->at < p->q->count;
    void *object = first ? p->q->object : p->q->more_object;
    p->at++;
    if (o->kind == GS_OPT_STRINGS || o->kind == GS_OPT_LINES) {
        GS_TRY(take_list(p, o, object, m->value));
    } else if (o->kind == GS_OPT_FLAG) {
        GS_TRY(take_flag(p, o, object, m->value));
    } else {
        const char *value = m->value;
        if (value == NULL) {
            if (!is_value(p, p->at, false))
                return gs_fail(p->err, GS_ERR_USAGE, "argument --%s: expected one argument", o->name);
            value = p->argv[p->at++];
        }
        GS_TRY(gs_option_set(object, o, value, p->err));
    }
    if (first && p->q->given != NULL) *p->q->given |= (uint64_t)1 << m->at;
    return GS_OK;
}

static gs_status ambiguous(parser *p, const char *word)
{
    gs_str list;
    gs_str_init(&list);
    const char *equals = strchr(word, '=');
    const size_t n = equals != NULL ? (size_t)(equals - word) : strlen(word);
    for (int i = 0; i < count_rows(p->q); i++)
        if (name_begins(row(p->q, i)->name, word + 2, n - 2))
            gs_str_printf(&list, "%s--%s", list.len > 0 ? ", " : "", row(p->q, i)->name);
    gs_fail(p->err, GS_ERR_USAGE, "ambiguous option: %.*s could match %s", (int)n, word, list.data);
    gs_str_release(&list);
    return GS_ERR_USAGE;
}

/* Edit distance of two short names, capped: enough to find a slip of the finger. */
static int distance(const char *a, size_t na, const char *b)
{
    int row[64];
    const size_t nb = strlen(b);
    if (na >= 64 || nb >= 64) return 64;
    for (size_t j = 0; j <= nb; j++) row[j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            const char c = a[i - 1] == '-' ? '_' : a[i - 1];
            int best = diagonal + (c != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[nb];
}

static gs_status unrecognized(parser *p)
{
    const char *close = NULL, *word = p->first_unknown;
    if (word != NULL && strncmp(word, "--", 2) == 0) {
        const size_t n = strcspn(word + 2, "=");
        int best = n > 4 ? 3 : 2;
        for (int i = 0; i < count_rows(p->q); i++) {
            const int d = distance(word + 2, n, row(p->q, i)->name);
            if (d >= best) continue;
            best = d;
            close = row(p->q, i)->name;
        }
    }
    if (close != NULL)
        return gs_fail(p->err, GS_ERR_USAGE, "unrecognized arguments: %s (did you mean --%s?)", p->unknown.data, close);
    return gs_fail(p->err, GS_ERR_USAGE, "unrecognized arguments: %s", p->unknown.data);
}

static void leave_word(parser *p)
{
    const char *word = p->argv[p->at++];
    if (p->q->n_words < p->q->max_words && (word[0] != '-' || word[1] == '\0' || p->at - 1 > p->dashes)) {
        p->q->words[p->q->n_words++] = word;
        return;
    }
    gs_str_printf(&p->unknown, "%s%s", p->first_unknown != NULL ? " " : "", word);
    if (p->first_unknown == NULL) p->first_unknown = word;
}

static gs_status parse_words(parser *p)
{
    while (p->at < p->argc) {
        const char *word = p->argv[p->at];
        if (p->at == p->dashes && p->q->max_words > 0) {
            p->at++;
            continue;
        }
        if (p->at >= p->dashes || word[0] != '-' || word[1] == '\0') {
            leave_word(p);
            continue;
        }
        const match m = match_word(p->q, word);
        switch (m.kind) {
        case MATCH_HELP:
            p->q->help = true;
            return GS_OK;
        case MATCH_MANY:
            return ambiguous(p, word);
        case MATCH_OPTION:
            GS_TRY(take_option(p, &m));
            break;
        case MATCH_NONE:
            leave_word(p);
            break;
        }
    }
    return p->first_unknown != NULL ? unrecognized(p) : GS_OK;
}

gs_status gs_options_parse_rows(gs_option_parse *request, int argc, char **argv, gs_error *err)
{
    gs_error scratch;
    parser p = {.q = request, .argc = argc, .argv = argv, .at = 1, .dashes = argc, .err = err != NULL ? err : &scratch};
    for (int i = 1; i < argc && p.dashes == argc; i++)
        if (strcmp(argv[i], "--") == 0) p.dashes = i;
    gs_str_init(&p.unknown);
    request->help = false;
    request->n_words = 0;
    const gs_status status = parse_words(&p);
    gs_str_release(&p.unknown);
    return status;
}

gs_status gs_options_parse(gs_recipe *r, gs_run_options *run, gs_arena *arena, int argc, char **argv, bool *help,
                           gs_error *err)
{
    gs_option_parse request = {.rows = gs_options,
                               .count = gs_option_count,
                               .object = r,
                               .more = gs_run_option_rows,
                               .n_more = run != NULL ? gs_run_option_count : 0,
                               .more_object = run,
                               .given = &r->given,
                               .arena = arena};
    const gs_status status = gs_options_parse_rows(&request, argc, argv, err);
    *help = request.help;
    return status;
}
