/* The pre-tokenizer of the GLM-4 vocabulary as a scanner. The vocabulary format fixes it as a regular expression,
 * leftmost match, first alternative wins:
 *
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3} |
 *    ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
 *
 * Every character is a letter (L), a number (N), white space (S) or other (O), and these alternatives need no
 * backtracking. Held to PCRE2 in tests/unit/text. SPDX-License-Identifier: Apache-2.0 */
#include "text/presplit.h"

#include "base/str.h"
#include "text/unicode.h"

gs_char_class gs_char_class_get(uint32_t c)
{
    if (c < 0x80) {
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return GS_CHAR_LETTER;
        if (c >= '0' && c <= '9') return GS_CHAR_NUMBER;
        return c == ' ' || (c >= 0x09 && c <= 0x0D) ? GS_CHAR_SPACE : GS_CHAR_OTHER;
    }
    if ((c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3))
        return GS_CHAR_LETTER; /* CJK ideographs, Hangul */
    size_t low = 0, high = gs_char_range_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (c > gs_char_ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < gs_char_range_count && c >= gs_char_ranges[low].first ? gs_char_ranges[low].kind : GS_CHAR_OTHER;
}

/* One character of the text; bytes == 0 stands for the end. */
typedef struct letter {
    uint32_t code;
    size_t bytes;
    gs_char_class kind;
} letter;

static letter letter_at(const char *s, size_t n, size_t at)
{
    letter c = {0};
    if (at >= n) return c;
    c.code = gs_utf8_get(s + at, n - at, &c.bytes);
    c.kind = gs_char_class_get(c.code);
    return c;
}

static bool is_kind(letter c, gs_char_class kind) { return c.bytes > 0 && c.kind == kind; }
static bool is_newline(letter c) { return c.bytes > 0 && (c.code == '\r' || c.code == '\n'); }

/* End of the run of `kind` at `at`, at most `limit` characters. */
static size_t run_end(const char *s, size_t n, size_t at, gs_char_class kind, size_t limit)
{
    for (size_t count = 0; count < limit; count++) {
        const letter c = letter_at(s, n, at);
        if (!is_kind(c, kind)) break;
        at += c.bytes;
    }
    return at;
}

/* Length of an English contraction at `at`, where the apostrophe is; 0 if there is none. */
static size_t contraction(const char *s, size_t n, size_t at)
{
    const letter next = letter_at(s, n, at + 1);
    const uint32_t a = next.code < 0x80 ? next.code | 0x20 : next.code;
    /* U+017F, the long s, folds to s: case-insensitive matching is Unicode's, not ASCII's. */
    if (next.bytes > 0 && (a == 's' || a == 't' || a == 'm' || a == 'd' || a == 0x17F)) return 1 + next.bytes;
    if (at + 2 < n) {
        const char b = (char)((unsigned char)s[at + 2] | 0x20);
        if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l')) return 3;
    }
    return 0;
}

/* White space: up to its last newline if it has one, else all but the character that the next word takes along. */
static size_t space_end(const char *s, size_t n, size_t at)
{
    size_t end = at, last = at, after_newline = 0;
    for (letter c = letter_at(s, n, end); is_kind(c, GS_CHAR_SPACE); c = letter_at(s, n, end)) {
        last = end;
        end += c.bytes;
        if (is_newline(c)) after_newline = end;
    }
    if (after_newline > 0) return after_newline;
    return end == n || last == at ? end : last;
}

size_t gs_presplit_next(const char *text, size_t n, size_t at)
{
    const letter c = letter_at(text, n, at);
    if (c.code == '\'') {
        const size_t taken = contraction(text, n, at);
        if (taken > 0) return at + taken;
    }
    if (c.kind == GS_CHAR_NUMBER) return run_end(text, n, at, GS_CHAR_NUMBER, 3);

    /* A word takes one character before it along, if that is neither number nor newline. */
    const size_t word = c.kind == GS_CHAR_LETTER || is_newline(c) ? at : at + c.bytes;
    if (is_kind(letter_at(text, n, word), GS_CHAR_LETTER)) return run_end(text, n, word, GS_CHAR_LETTER, SIZE_MAX);

    const size_t other = c.code == ' ' ? at + 1 : at;
    size_t end = run_end(text, n, other, GS_CHAR_OTHER, SIZE_MAX);
    if (end > other) {
        while (end < n && (text[end] == '\r' || text[end] == '\n')) end++;
        return end;
    }
    return space_end(text, n, at);
}
