/* See matcher.h. The trie is made level by level from the sorted names, so a node's children lie side by side, and whatever a failure
 * link leads to is there before. SPDX-License-Identifier: Apache-2.0 */
#include "text/matcher.h"

#include <stdlib.h>
#include <string.h>

static int32_t child(const gs_matcher *m, int32_t node, unsigned char byte)
{
    const int32_t end = m->first[node + 1];
    int32_t low = m->first[node], high = end;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (m->byte[middle] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && m->byte[low] == byte ? low : 0;
}

static int32_t step(const gs_matcher *m, int32_t node, unsigned char byte)
{
    for (;;) {
        const int32_t next = child(m, node, byte);
        if (next != 0 || node == 0) return next;
        node = m->fail[node];
    }
}

/* --- building --- */

static int by_text(const void *a, const void *b)
{
    const gs_match_name *const x = a, *const y = b;
    const int order = memcmp(x->text, y->text, x->bytes < y->bytes ? x->bytes : y->bytes);
    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The names spelled backwards and sorted; *room holds their bytes. */
static gs_match_name *backwards(const gs_match_name *name, int32_t count, char **room)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < count; i++) bytes += name[i].bytes;
    char *at = *room = gs_alloc(bytes);
    gs_match_name *const out = gs_alloc_array((size_t)count, sizeof *out);
    for (int32_t i = 0; i < count; i++) {
        out[i] = (gs_match_name){at, name[i].bytes, name[i].number};
        for (size_t k = name[i].bytes; k > 0; k--) *at++ = name[i].text[k - 1];
    }
    qsort(out, (size_t)count, sizeof *out, by_text);
    return out;
}

static size_t count_nodes(const gs_match_name *name, int32_t count)
{
    size_t nodes = 1;
    for (int32_t i = 0; i < count; i++) {
        size_t same = 0;
        const size_t n = i == 0 ? 0 : name[i].bytes < name[i - 1].bytes ? name[i].bytes : name[i - 1].bytes;
        while (same < n && name[i].text[same] == name[i - 1].text[same]) same++;
        nodes += name[i].bytes - same;
    }
    return nodes;
}

typedef struct builder {
    gs_matcher *m;
    const gs_match_name *name;
    int32_t *low, *high; /* [nodes] the names that go through a node */
    int32_t made;
} builder;

/* What ends at the node, and its children. Nodes before it are finished, and its failure link is one of them. */
static void finish_node(builder *b, int32_t node, size_t depth)
{
    gs_matcher *const m = b->m;
    int32_t at = b->low[node];
    const int32_t end = b->high[node];
    m->first[node] = b->made;
    if (at < end && b->name[at].bytes == depth)
        m->best[node] = b->name[at++].number;
    else
        m->best[node] = node == 0 ? -1 : m->best[m->fail[node]];
    while (at < end) {
        const int32_t made = b->made++;
        m->byte[made] = (unsigned char)b->name[at].text[depth];
        m->fail[made] = node == 0 ? 0 : step(m, m->fail[node], m->byte[made]);
        b->low[made] = at++;
        while (at < end && (unsigned char)b->name[at].text[depth] == m->byte[made]) at++;
        b->high[made] = at;
    }
}

static gs_status build(builder *b, gs_error *err)
{
    b->made = 1;
    for (int32_t node = 0, depth = 0; node < b->made; depth++) {
        GS_TRY(gs_check_interrupt(err));
        for (const int32_t end = b->made; node < end; node++) finish_node(b, node, (size_t)depth);
    }
    b->m->first[b->made] = b->made;
    return GS_OK;
}

gs_status gs_matcher_init(gs_matcher *m, const gs_match_name *name, int32_t count, gs_error *err)
{
    *m = (gs_matcher){0};
    if (count == 0) return GS_OK;
    char *room;
    gs_match_name *const sorted = backwards(name, count, &room);
    const size_t nodes = count_nodes(sorted, count);
    for (int32_t i = 0; i < count; i++)
        if (sorted[i].bytes > m->longest) m->longest = sorted[i].bytes;
    m->first = gs_alloc_array(nodes + 1, sizeof *m->first);
    m->fail = gs_alloc_array(nodes, sizeof *m->fail);
    m->best = gs_alloc_array(nodes, sizeof *m->best);
    m->byte = gs_alloc(nodes);
    builder b = {.m = m, .name = sorted};
    b.low = gs_alloc_array(nodes, sizeof *b.low);
    b.high = gs_alloc_array(nodes, sizeof *b.high);
    b.high[0] = count;
    const gs_status status = build(&b, err);
    gs_free(b.low);
    gs_free(b.high);
    gs_free(sorted);
    gs_free(room);
    if (status != GS_OK) gs_matcher_release(m);
    return status;
}

void gs_matcher_release(gs_matcher *m)
{
    gs_free(m->first);
    gs_free(m->fail);
    gs_free(m->best);
    gs_free(m->byte);
    *m = (gs_matcher){0};
}

/* --- looking --- */

void gs_matcher_find(const gs_matcher *m, const char *text, size_t n, size_t begin, size_t end, int32_t *number)
{
    if (m->longest == 0) {
        for (size_t i = begin; i < end; i++) number[i - begin] = -1;
        return;
    }
    /* A name that begins before `end` ends here at the latest. */
    size_t at = n - end < m->longest - 1 ? n : end + m->longest - 1;
    int32_t node = 0;
    while (at > end) node = step(m, node, (unsigned char)text[--at]);
    while (at > begin) {
        node = step(m, node, (unsigned char)text[--at]);
        number[at - begin] = m->best[node];
    }
}
