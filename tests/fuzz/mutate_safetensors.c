/* Structure-aware mutation of safetensors files: the header's text is changed where it means something (numbers, types,
 * whole entries), then the length field and the amount of data are made to fit again, so that most mutants get past the
 * first two checks. Now and then they are left unfitting. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, MAX_DATA = 4096, NUMBER = 24 };

typedef struct mutant {
    char *text; /* the header */
    size_t n, max;
    unsigned seed;
} mutant;

static unsigned pick(mutant *m, unsigned below)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    return below > 0 ? (m->seed >> 8) % below : 0;
}

/* Replace text[at .. at+old) by `with`. False when there is no room. */
static bool splice(mutant *m, size_t at, size_t old, const char *with, size_t n)
{
    if (m->n - old + n > m->max) return false;
    memmove(m->text + at + n, m->text + at + old, m->n - at - old);
    memcpy(m->text + at, with, n);
    m->n = m->n - old + n;
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Where the k-th run of digits begins, counted round; n when there is none. */
static size_t find_number(const mutant *m, unsigned k, size_t *length)
{
    size_t found = 0, at = m->n;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < m->n; i++) {
            if (!is_digit(m->text[i]) || (i > 0 && is_digit(m->text[i - 1]))) continue;
            if (round == 1 && k-- == 0) at = i;
            if (round == 0) found++;
        }
        if (found == 0) return m->n;
        if (round == 0) k %= (unsigned)found;
    }
    for (*length = 0; at + *length < m->n && is_digit(m->text[at + *length]);) ++*length;
    return at;
}

static void change_number(mutant *m)
{
    static const char *const odd[] = {
        "0",          "1",  "2",   "4096", "9007199254740992", "9007199254740993", "18446744073709551616", "4294967296",
        "2147483648", "-1", "1e3", "00",   "1099511627776"};
    size_t length = 0;
    const size_t at = find_number(m, pick(m, 4096), &length);
    if (at == m->n) return;
    char near[NUMBER];
    const unsigned long long v = strtoull(m->text + at, NULL, 10);
    snprintf(near, sizeof near, "%llu", pick(m, 2) ? v + pick(m, 17) : v - (v < 17 ? v : pick(m, 17)));
    const char *with = pick(m, 3) == 0 ? odd[pick(m, sizeof odd / sizeof *odd)] : near;
    splice(m, at, length, with, strlen(with));
}

static void change_type(mutant *m)
{
    static const char *const types[] = {"F32", "BF16", "F16", "I8", "U8", "BOOL", "F64", "I64", "F8_E4M3", "Q4", ""};
    m->text[m->n] = '\0';
    char *at = strstr(m->text, "\"dtype\":\"");
    for (unsigned skip = pick(m, 8); at != NULL && skip > 0; skip--) {
        char *next = strstr(at + 1, "\"dtype\":\"");
        if (next == NULL) break;
        at = next;
    }
    if (at == NULL) return;
    at += 9;
    const char *end = strchr(at, '"');
    const char *with = types[pick(m, sizeof types / sizeof *types)];
    if (end != NULL) splice(m, (size_t)(at - m->text), (size_t)(end - at), with, strlen(with));
}

/* Double or drop one entry: from a '"' after '{' or ',' to the following '},'. */
static void change_entry(mutant *m)
{
    static char entry[4096];
    size_t starts[64], used = 0;
    for (size_t i = 1; i < m->n && used < 64; i++)
        if (m->text[i] == '"' && (i == 1 || (i > 1 && m->text[i - 1] == ',' && m->text[i - 2] == '}')))
            starts[used++] = i;
    if (used == 0) return;
    const size_t at = starts[pick(m, (unsigned)used)];
    const char *end = memmem(m->text + at, m->n - at, "},", 2);
    const size_t length = end != NULL ? (size_t)(end - (m->text + at)) + 2 : 0;
    if (length == 0 || length > sizeof entry) return;
    memcpy(entry, m->text + at, length);
    if (pick(m, 2))
        splice(m, at, 0, entry, length);
    else
        splice(m, at, length, "", 0);
}

/* The greatest end that data_offsets speak of, at most MAX_DATA. */
static size_t data_needed(mutant *m)
{
    size_t most = 0;
    m->text[m->n] = '\0';
    for (const char *at = m->text; (at = strstr(at, "\"data_offsets\":[")) != NULL; at++) {
        const char *comma = strchr(at, ',');
        const unsigned long long end = comma != NULL ? strtoull(comma + 1, NULL, 10) : 0;
        if (end > most && end <= MAX_DATA) most = (size_t)end;
    }
    return most;
}

static size_t header_of(const uint8_t *data, size_t n)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | data[i];
    return length > n - PREFIX ? n - PREFIX : (size_t)length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed)
{
    if (n < PREFIX + 2 || max < 2 * MAX_DATA) return LLVMFuzzerMutate(data, n, max);
    mutant m = {.n = header_of(data, n), .max = max - PREFIX - MAX_DATA - 1, .seed = seed};
    if (m.n > m.max) m.n = m.max;
    m.text = malloc(m.max + 1);
    if (m.text == NULL) return n;
    memcpy(m.text, data + PREFIX, m.n);
    for (unsigned times = 1 + pick(&m, 3); times > 0; times--) {
        switch (pick(&m, 5)) {
        case 0:
        case 1:
            change_number(&m);
            break;
        case 2:
            change_type(&m);
            break;
        case 3:
            change_entry(&m);
            break;
        default:
            m.n = LLVMFuzzerMutate((uint8_t *)m.text, m.n, m.max);
        }
    }
    const size_t body = pick(&m, 16) ? data_needed(&m) : pick(&m, MAX_DATA);
    uint64_t length = pick(&m, 32) ? m.n : pick(&m, (unsigned)m.n + 64);
    for (int i = 0; i < PREFIX; i++, length >>= 8) data[i] = (uint8_t)length;
    memcpy(data + PREFIX, m.text, m.n);
    memset(data + PREFIX + m.n, 0, body);
    free(m.text);
    return PREFIX + m.n + body;
}
