/* What all methods do with a group: the ratio of powers, the guard for dead channels, the summary, the producer's rows.
 * Private to smooth/. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SMOOTH_GROUP_H
#define GS_SMOOTH_GROUP_H

#include "smooth/smooth.h"

#define GS_SMOOTH_LEAST 1e-5f /* of a scale and of a weight column's maximum */

/* Values of one task's or one chunk's worth of weight: rows are taken so that they hold about as many. A multiple of
 * GS_PACK_ROWS rows, at least one such set. */
int64_t gs_smooth_chunk_rows(int64_t channels);

/* max(a^alpha / w^beta, 1e-5) */
float gs_smooth_ratio(float a, float alpha, float w, float beta);
float gs_smooth_reference_ratio(float a, float alpha, float w, float beta); /* powers rounded as the reference's */
/* The same for all channels of the group with a = stats->abs_max; a dead channel gets 1 unless compat. w, s: [in]. */
void gs_smooth_ratios(const gs_smooth_group *g, double alpha, const float *w, double beta, float *s);
/* Was the channel zero in every sample? */
static inline bool gs_smooth_dead(const gs_smooth_group *g, int64_t channel)
{
    return g->stats->abs_max[channel] == 0.0f;
}

void gs_smooth_choice_init(gs_smooth_choice *choice, const char *branch);
/* Counts and ranges of s; GS_ERR_NUMERIC if a scale is not a positive number. The last step of every method. */
gs_status gs_smooth_finish(const gs_smooth_group *g, const float *s, gs_smooth_choice *choice,
                           gs_error *err) GS_CHECKED;

/* ---- linear -> linear ---- */

/* Which rows of the producer belong to which column of the consumer. */
typedef enum gs_pair_rule {
    GS_PAIR_LAST,    /* the last `in` rows, one by one: up rows of gate|up, value rows without groups */
    GS_PAIR_GROUPED, /* the last groups·head_dim rows; heads/groups query heads share a row */
    GS_PAIR_BLOCKS   /* per head, in/heads ones and then in/heads scales: the reference's mistake */
} gs_pair_rule;
/* GS_ERR_UNSUPPORTED where the shapes allow no rule. */
gs_status gs_pair_rule_find(const gs_smooth_group *g, const gs_smooth_pair *p, gs_pair_rule *rule,
                            gs_error *err) GS_CHECKED;
/* Channel of the consumer that query head `head` (0 … heads/groups-1) of value row `row` feeds. */
int64_t gs_pair_channel(const gs_smooth_pair *p, int64_t row, int64_t head);
/* GROUPED: one[groups·head_dim] is spread over s; all: div is filled from s. */
void gs_pair_spread(const gs_smooth_pair *p, const float *one, float *s);
void gs_pair_divisors(const gs_smooth_group *g, const gs_smooth_pair *p, gs_pair_rule rule, const float *s, float *div);

#endif
