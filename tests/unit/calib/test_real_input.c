/* A real layer input: embedding and first norm of the tiny model over its calibration samples, against what the Python
 * reference observed there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "calib/observer.h"
#include "calib/stream.h"
#include "model/forward.h"

#define HIDDEN 128

static void near_value(float value, double expected, const char *what, int sample)
{
    if (!(fabs((double)value - expected) <= 2e-5 * fmax(fabs(expected), 1e-3)))
        fail_msg("sample %d, %s: %.9g is not %.9g", sample, what, (double)value, expected);
}

static float *read_norm(const gs_checkpoint *ck)
{
    gs_error err = {0};
    const gs_tensor *t;
    float *w = malloc(HIDDEN * sizeof *w);
    if (gs_checkpoint_expect(ck, "transformer.encoder.layers.0.input_layernorm.weight", HIDDEN, -1, &t, &err) !=
            GS_OK ||
        gs_checkpoint_read_f32(ck, t, w, &err) != GS_OK)
        fail_msg("%s", err.text);
    return w;
}

/* All samples' inputs of layer 0 query_key_value, in order; *start: [samples+1]. */
static float *layer_input(FILE *f, gs_compute *c, int *samples, int64_t **start)
{
    gs_error err = {0};
    gs_checkpoint ck;
    if (gs_checkpoint_open(&ck, GS_SOURCE_DIR "/tests/golden/models/tiny-a", &err) != GS_OK) fail_msg("%s", err.text);
    const gs_tensor *embedding = gs_checkpoint_find(&ck, "transformer.embedding.word_embeddings.weight");
    assert_non_null(embedding);
    float *norm = read_norm(&ck), *x = NULL;
    assert_int_equal(fscanf(f, "%d", samples), 1);
    *start = calloc((size_t)*samples + 1, sizeof **start);
    for (int i = 0; i < *samples; i++) {
        int n, id;
        assert_int_equal(fscanf(f, "%d", &n), 1);
        int32_t *ids = malloc((size_t)n * sizeof *ids);
        for (int k = 0; k < n; k++) {
            assert_int_equal(fscanf(f, "%d", &id), 1);
            ids[k] = id;
        }
        const int64_t row = (*start)[i];
        (*start)[i + 1] = row + n;
        x = realloc(x, (size_t)(row + n) * HIDDEN * sizeof *x);
        if (gs_embed(&ck, embedding, ids, n, x + row * HIDDEN, &err) != GS_OK) fail_msg("%s", err.text);
        free(ids);
    }
    gs_rmsnorm(c, (*start)[*samples], HIDDEN, x, norm, NULL, 1.5625e-07f, x);
    free(norm);
    gs_checkpoint_close(&ck);
    return x;
}

static void ranges_equal_reference(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    FILE *f = fixture_open("calib/tiny_a_qkv0.txt");
    int samples;
    int64_t *start;
    float *x = layer_input(f, &c, &samples, &start);
    gs_observer *mean = gs_observer_create(GS_OBSERVE_MINMAX, false);
    gs_observer *hist = gs_observer_create(GS_OBSERVE_HISTOGRAM, true);
    gs_score score = {0};
    double amplitude = 0.0;
    for (int i = 0; i < samples; i++) {
        gs_error err = {0};
        const float *rows = x + start[i] * HIDDEN;
        const int64_t n = (start[i + 1] - start[i]) * HIDDEN;
        double e[6];
        for (int k = 0; k < 6; k++) assert_int_equal(fscanf(f, "%lf", &e[k]), 1);
        float a, b;
        bool finite;
        gs_minmax(&c, n, rows, &a, &b, &finite);
        near_value(a, e[0], "input min", i);
        near_value(b, e[1], "input max", i);
        assert_int_equal(gs_observer_add(mean, &c, n, rows, &a, &b, &err), GS_OK);
        near_value(a, e[2], "mean min", i);
        near_value(b, e[3], "mean max", i);
        assert_int_equal(gs_observer_add(hist, &c, n, rows, &a, &b, &err), GS_OK);
        /* The norm's own rounding moves the extremes by an ulp or two, and both bounds start from the least value. */
        amplitude = fmax(amplitude, fmax(fabs(e[0]), fabs(e[1])));
        assert_true(fabs((double)a - e[4]) <= 4.0 * 0x1p-23 * amplitude);
        assert_true(fabs((double)b - e[5]) <= 4.0 * 0x1p-23 * amplitude);
        near_value(b - a, e[5] - e[4], "histogram width", i);
        if (i < 5) assert_int_equal(gs_score_add(&score, &c, n / HIDDEN, HIDDEN, rows, &err), GS_OK);
    }
    double expected;
    assert_int_equal(fscanf(f, "%lf", &expected), 1);
    near_value(gs_score_value(&score), expected, "score", samples);
    print_message("score %.9g, reference %.9g\n", (double)gs_score_value(&score), expected);
    gs_observer_free(mean);
    gs_observer_free(hist);
    free(x);
    free(start);
    (void)fclose(f);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranges_equal_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
