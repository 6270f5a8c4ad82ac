/* Linear -> linear: dividing rows of the producer undoes the scaling of the consumer's columns, if each row meets the columns
 * it feeds. GLM fuses query|key|value (the value rows come last, shared by groups of query heads) and gate|up (up is the
 * second half). The reference goes by shapes alone and takes any producer with twice the consumer's inputs for blocks of
 * [key|value] per head, which for gate|up divides rows that have nothing to do with the columns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "smooth/group.h"

static gs_status rule_by_shape(const gs_smooth_group *g, const gs_smooth_pair *p, gs_pair_rule *rule, gs_error *err)
{
    const int64_t in = g->weight->k;
    if (p->rows == 2 * in) {
        if (p->heads <= 0 || in % p->heads != 0)
            return gs_fail(err, GS_ERR_UNSUPPORTED,
                           "the reference cuts %lld channels into %lld heads, which does not come out even, and fails; "
                           "run without "
                           "--reference_compat",
                           (long long)in, (long long)p->heads);
        *rule = GS_PAIR_BLOCKS;
    } else if (g->weight->n == in && p->rows != in && p->rows != 3 * in) {
        *rule = GS_PAIR_GROUPED;
    } else {
        *rule = GS_PAIR_LAST;
    }
    return GS_OK;
}

gs_status gs_pair_rule_find(const gs_smooth_group *g, const gs_smooth_pair *p, gs_pair_rule *rule, gs_error *err)
{
    const int64_t in = g->weight->k;
    if (p->split_wrong)
        GS_TRY(rule_by_shape(g, p, rule, err));
    else
        *rule = p->producer == GS_QKV ? GS_PAIR_GROUPED : GS_PAIR_LAST;
    const bool grouped = p->groups > 0 && p->heads % p->groups == 0 && p->heads * p->head_dim == in &&
                         p->groups * p->head_dim <= p->rows;
    if ((*rule == GS_PAIR_GROUPED && !grouped) || (*rule == GS_PAIR_LAST && p->rows < in))
        return gs_fail(
            err, GS_ERR_UNSUPPORTED,
            "a producer of %lld rows (%lld heads in %lld groups of width %lld) cannot be paired with %lld inputs",
            (long long)p->rows, (long long)p->heads, (long long)p->groups, (long long)p->head_dim, (long long)in);
    return GS_OK;
}

int64_t gs_pair_channel(const gs_smooth_pair *p, int64_t row, int64_t head)
{
    const int64_t group = row / p->head_dim, ratio = p->heads / p->groups;
    return (group * ratio + head) * p->head_dim + row % p->head_dim;
}

void gs_pair_spread(const gs_smooth_pair *p, const float *one, float *s)
{
    for (int64_t row = 0; row < p->groups * p->head_dim; row++)
        for (int64_t head = 0; head < p->heads / p->groups; head++) s[gs_pair_channel(p, row, head)] = one[row];
}

void gs_pair_divisors(const gs_smooth_group *g, const gs_smooth_pair *p, gs_pair_rule rule, const float *s, float *div)
{
    const int64_t in = g->weight->k;
    for (int64_t row = 0; row < p->rows; row++) div[row] = 1.0f;
    if (rule == GS_PAIR_GROUPED) {
        const int64_t values = p->groups * p->head_dim;
        for (int64_t row = 0; row < values; row++) div[p->rows - values + row] = s[gs_pair_channel(p, row, 0)];
    } else if (rule == GS_PAIR_LAST) {
        for (int64_t i = 0; i < in; i++) div[p->rows - in + i] = s[i];
    } else {
        const int64_t width = in / p->heads;
        for (int64_t i = 0; i < in; i++) div[i / width * 2 * width + width + i % width] = s[i];
    }
}
