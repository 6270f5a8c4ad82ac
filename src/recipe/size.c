/* See size.h. No strtod: a size is read the same whatever the locale. SPDX-License-Identifier: Apache-2.0 */
#include "recipe/size.h"

#include <string.h>

#include "recipe/value.h"

/* "", "K", "Ki", "KB", "KiB", …; 0 = unknown. */
static uint64_t unit_of(const char *s)
{
    static const char letters[] = "KMGT";
    const char *letter = *s ? strchr(letters, *s) : NULL;
    uint64_t unit = 1;
    if (letter) {
        const bool binary = s[1] == 'i';
        for (long i = 0; i <= letter - letters; i++) unit *= binary ? 1024 : 1000;
        s += binary ? 2 : 1;
    }
    if (*s == 'B') s++;
    return *s == '\0' ? unit : 0;
}

/* Digits, and digits behind a point, times unit; fractions of a byte are dropped. */
static bool number_of(const char *s, size_t n, uint64_t unit, uint64_t *bytes)
{
    uint64_t whole = 0;
    size_t i = 0;
    for (; i < n && s[i] != '.'; i++)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, (uint64_t)(s[i] - '0'), &whole))
            return false;
    if (i == 0 || __builtin_mul_overflow(whole, unit, &whole)) return false;
    uint64_t parts = 0, of = 1;          /* six digits are enough, and times 2^40 fit */
    if (i < n && ++i == n) return false; /* "1." */
    for (; i < n; i++) {
        if (s[i] == '.') return false;
        if (of == 1000000) continue;
        parts = parts * 10 + (uint64_t)(s[i] - '0');
        of *= 10;
    }
    return !__builtin_add_overflow(whole, parts * unit / of, bytes);
}

gs_status gs_size_parse(const char *option, const char *word, uint64_t *bytes, gs_error *err)
{
    *bytes = 0;
    if (!word) return GS_OK;
    const size_t n = strspn(word, "0123456789.");
    const char *unit = word + n;
    if (*unit == ' ') unit++;
    const uint64_t factor = unit_of(unit);
    if (factor > 0 && number_of(word, n, factor, bytes) && *bytes > 0) return GS_OK;
    char quoted[200];
    return gs_fail(
        err, GS_ERR_USAGE,
        "argument --%s: invalid size value: %s; give a number of bytes, or one with K, M, G or T, such as 1.5G", option,
        gs_python_repr(word, quoted, sizeof quoted));
}
