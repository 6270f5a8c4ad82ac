/* What every page of ours must be: well-formed markup that an XML reader would accept, complete in itself (nothing loaded, no script),
 * with ids that exist and are unique. SPDX-License-Identifier: Apache-2.0 */
#ifndef PAGE_RULES_H
#define PAGE_RULES_H

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

typedef struct page {
    const char *at;
    char open[64][16]; /* names of the elements that are open */
    int depth;
    char ids[4096][40];
    int n_ids, n_svg, n_sections, n_tables;
    char refs[4096][40];
    int n_refs;
    char problem[200];
} page;

static inline bool page_wrong(page *p, const char *what)
{
    if (p->problem[0] == '\0') snprintf(p->problem, sizeof p->problem, "%s near: %.80s", what, p->at);
    return false;
}

/* At an '&': only the references that we write. */
static inline bool page_entity(page *p)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&#xfffd;"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(p->at, known[i], strlen(known[i])) == 0) return true;
    return page_wrong(p, "a bare '&'");
}

static inline void page_keep(char list[][40], int *n, const char *s, size_t bytes)
{
    if (*n < 4096) snprintf(list[(*n)++], 40, "%.*s", (int)bytes, s);
}

static inline bool page_attribute(page *p)
{
    const char *name = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '-') p->at++;
    const size_t n = (size_t)(p->at - name);
    if (n == 0 || strncmp(p->at, "=\"", 2) != 0) return page_wrong(p, "an attribute without a quoted value");
    if (strncmp(name, "on", 2) == 0) return page_wrong(p, "an event handler");
    const char *value = p->at += 2;
    for (; *p->at != '"'; p->at++) {
        if (*p->at == '\0' || *p->at == '<') return page_wrong(p, "an attribute that does not end");
        if (*p->at == '&' && !page_entity(p)) return false;
    }
    const size_t bytes = (size_t)(p->at - value);
    p->at++;
    if (n == 2 && strncmp(name, "id", 2) == 0) page_keep(p->ids, &p->n_ids, value, bytes);
    if (strncmp(name, "src", 3) == 0) return page_wrong(p, "something loaded");
    if (strncmp(name, "href", 4) == 0) {
        if (*value != '#') return page_wrong(p, "a link out of the page");
        page_keep(p->refs, &p->n_refs, value + 1, bytes - 1);
    }
    for (const char *s = value; strncmp(name, "aria-labelledby", 15) == 0 && s < value + bytes;) {
        const size_t word = strcspn(s, " \"");
        page_keep(p->refs, &p->n_refs, s, word);
        s += word + 1;
    }
    return true;
}

static inline bool page_tag(page *p)
{
    const bool closing = p->at[1] == '/';
    const char *name = p->at += closing ? 2 : 1;
    while (isalnum((unsigned char)*p->at)) p->at++;
    const size_t n = (size_t)(p->at - name);
    if (n == 0 || n >= 16) return page_wrong(p, "a bare '<'");
    if (closing) {
        if (p->depth == 0 || strlen(p->open[p->depth - 1]) != n || strncmp(p->open[p->depth - 1], name, n) != 0)
            return page_wrong(p, "an element closed that is not open");
        p->depth--;
        return *p->at++ == '>' || page_wrong(p, "a closing tag with more in it");
    }
    if (p->depth == 64) return page_wrong(p, "too deep");
    snprintf(p->open[p->depth++], 16, "%.*s", (int)n, name);
    const char *open = p->open[p->depth - 1];
    static const char *const banned[] = {"script", "link", "img", "iframe", "object", "embed", "base", "form"};
    for (size_t i = 0; i < sizeof banned / sizeof banned[0]; i++)
        if (strcmp(open, banned[i]) == 0) return page_wrong(p, "an element that has no place here");
    p->n_svg += strcmp(open, "svg") == 0;
    p->n_sections += strcmp(open, "section") == 0;
    p->n_tables += strcmp(open, "table") == 0;
    while (*p->at == ' ') {
        p->at++;
        if (!page_attribute(p)) return false;
    }
    if (strncmp(p->at, "/>", 2) == 0) {
        p->depth--;
        p->at += 2;
        return true;
    }
    return *p->at++ == '>' || page_wrong(p, "a tag that does not end");
}

static inline bool page_style(page *p)
{
    const char *end = strstr(p->at, "</style>");
    if (end == NULL) return page_wrong(p, "a style that does not end");
    for (const char *s = p->at; s < end; s++)
        if (*s == '<' || *s == '&' || strncmp(s, "url(", 4) == 0 || strncmp(s, "@import", 7) == 0)
            return page_wrong(p, "a style that loads something or is no XML");
    p->at = end;
    return true;
}

static inline bool page_ids(page *p)
{
    for (int i = 0; i < p->n_ids; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(p->ids[i], p->ids[j]) == 0) {
                p->at = p->ids[i];
                return page_wrong(p, "an id given twice");
            }
    for (int i = 0; i < p->n_refs; i++) {
        int j = 0;
        while (j < p->n_ids && strcmp(p->refs[i], p->ids[j]) != 0) j++;
        p->at = p->refs[i];
        if (j == p->n_ids) return page_wrong(p, "a reference to an id that is not there");
    }
    return true;
}

/* false: p->problem says what is wrong and where. text ends with a NUL. */
static inline bool page_check(page *p, const char *text, size_t n)
{
    static const char start[] = "<!DOCTYPE html>\n";
    memset(p, 0, sizeof *p);
    p->at = text;
    if (strlen(text) != n || gs_utf8_valid(text, n) != n) return page_wrong(p, "bytes that are not UTF-8");
    if (strncmp(text, start, sizeof start - 1) != 0) return page_wrong(p, "no document type");
    for (p->at += sizeof start - 1; *p->at != '\0';) {
        if ((unsigned char)*p->at < 0x20 && *p->at != '\n' && *p->at != '\t')
            return page_wrong(p, "a control character");
        if (*p->at == '<') {
            if (!page_tag(p)) return false;
            if (p->depth > 0 && strcmp(p->open[p->depth - 1], "style") == 0 && !page_style(p)) return false;
        } else {
            if (*p->at == '&' && !page_entity(p)) return false;
            p->at++;
        }
    }
    if (p->depth > 0) return page_wrong(p, "elements are still open at the end");
    return page_ids(p);
}

#endif
