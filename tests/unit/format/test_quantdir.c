/* What the manifest writes is found again by its reader, in every layout; and directories that do not hold together are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/format/result.h"

/* Every tensor of the linear is the one the manifest put there. */
static void same_linear(const result *r, const gs_linear_out *wrote, const gs_quant_linear *found)
{
    assert_true(found->complete);
    for (int piece = 0; piece < GS_PIECES; piece++) {
        const gs_tensor *t = found->whole.piece[piece];
        if (wrote->piece[piece] < 0) {
            assert_null(t);
            continue;
        }
        assert_non_null(t);
        assert_string_equal(t->name, r->manifest.layout.tensors[wrote->piece[piece]].name);
    }
}

static void same_tensor(const result *r, int64_t wrote, const gs_tensor *found)
{
    assert_true((wrote >= 0) == (found != NULL));
    if (found) assert_string_equal(found->name, r->manifest.layout.tensors[wrote].name);
}

static void same_norm(const result *r, const gs_norm_out *wrote, const gs_quant_norm *found)
{
    same_tensor(r, wrote->weight, found->weight);
    same_tensor(r, wrote->bias, found->bias);
    same_tensor(r, wrote->module_weight, found->module_weight);
    same_tensor(r, wrote->module_bias, found->module_bias);
}

static void read_back(const result *r)
{
    gs_quantdir q;
    OK(gs_quantdir_open(&q, r->dir, ERR));
    OK(gs_quantdir_bind(&q, ERR));
    assert_ptr_equal(q.format, r->format);
    assert_int_equal(q.type, r->resolved.type);
    for (int b = 0; b < 2; b++) {
        for (int role = 0; role < GS_ROLES; role++) {
            assert_int_equal(q.block[b].linear[role].scheme->type, r->choice[b * GS_ROLES + role].type);
            same_linear(r, &r->manifest.block[b].linear[role], &q.block[b].linear[role]);
        }
        for (int i = 0; i < GS_NORMS; i++) same_norm(r, &r->manifest.block[b].norm[i], &q.block[b].norm[i]);
        for (int i = 0; i < GS_KV_PARTS; i++) same_tensor(r, r->manifest.block[b].kv[i], q.block[b].kv[i]);
        for (int i = 0; i < GS_FA_PARTS; i++) same_tensor(r, r->manifest.block[b].fa[i], q.block[b].fa[i]);
    }
    same_linear(r, &r->manifest.head, &q.head);
    same_norm(r, &r->manifest.final_norm, &q.final_norm);
    same_tensor(r, r->manifest.embedding, q.embedding);
    assert_int_equal(q.wrapped, r->spec.wrapped_names);
    assert_int_equal(q.group_size, r->resolved.per_group && r->format->version ? r->resolved.group_size : 0);
    const bool stat = r->resolved.type == GS_Q_W8A8 || r->resolved.type == GS_Q_W8A8S;
    assert_int_equal(q.deq, !stat ? GS_DEQ_NONE : r->manifest.deq_i64 ? GS_DEQ_I64 : GS_DEQ_F32);
    const gs_weight_layout *l = &q.block[0].linear[GS_QKV].whole.layout;
    const gs_weight_layout wanted =
        gs_weight_layout_from(&r->rule, &r->recipe, r->recipe.mindie_format, false, r->config.hidden);
    assert_int_equal(l->nibbles, r->resolved.type == GS_Q_FLOAT ? GS_NIBBLES_NONE : wanted.nibbles);
    assert_int_equal(l->scale_columns, wanted.scale_columns);
    assert_int_equal(l->second_columns, wanted.second_columns);
    assert_int_equal(l->scale_bias_columns, wanted.scale_bias_columns);
    gs_quantdir_close(&q);
}

static void w8a8(gs_recipe *r) { r->use_kvcache_quant = true; }
static void dynamic(gs_recipe *r) { r->is_dynamic = true; }
static void w8a16(gs_recipe *r) { r->a_bit = 16; }
static void w4a16(gs_recipe *r)
{
    r->w_bit = 4;
    r->a_bit = 16;
}
static void groups(gs_recipe *r)
{
    w4a16(r);
    r->is_lowbit = true;
    r->open_outlier = false;
    r->group_size = 32;
}
static void stages(gs_recipe *r)
{
    groups(r);
    r->a_bit = 8;
    r->is_dynamic = true;
}
static void sparse(gs_recipe *r) { r->co_sparse = true; }
static void plain(gs_recipe *r)
{
    r->w_bit = 16;
    r->a_bit = 16;
}
static void (*const recipes[])(gs_recipe *) = {w8a8, dynamic, w8a16, w4a16, groups, stages, sparse, plain};

static void every_layout(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        for (int form = 0; form < 8; form++) {
            result r;
            result_begin(&r);
            recipes[i](&r.recipe);
            r.recipe.mindie_format = form & 1;
            r.sharded = form & 2;
            if (form & 4) r.recipe.save_dtype = "float32";
            r.spec.kv = r.recipe.use_kvcache_quant;
            r.spec.fa = form & 4 && !r.spec.kv ? r.fa : NULL;
            r.spec.norm_bias = form & 2;
            r.spec.norm_module = form & 1;
            r.spec.h4_bias = r.spec.wrapped_names = form == 6;
            result_write(&r);
            read_back(&r);
            result_end(&r);
        }
    }
}

/* ---- damage ---- */

static gs_status open_and_bind(const result *r)
{
    gs_quantdir q;
    GS_TRY(gs_quantdir_open(&q, r->dir, ERR));
    const gs_status status = gs_quantdir_bind(&q, ERR);
    gs_quantdir_close(&q);
    return status;
}

/* The description with `from` replaced by `to`. */
static void edit(const result *r, const char *from, const char *to)
{
    char name[96], *text, *path;
    size_t n;
    gs_format_description_name(r->format, r->resolved.type, name, sizeof name);
    path = gs_path_join(r->dir, name);
    OK(gs_file_read_all(path, 1 << 20, &text, &n, ERR));
    const char *at = strstr(text, from);
    if (!at) fail_msg("'%s' is not in the description", from);
    gs_str s;
    gs_str_init(&s);
    gs_str_add(&s, text, (size_t)(at - text));
    gs_str_adds(&s, to);
    gs_str_adds(&s, at + strlen(from));
    put_file(r, name, s.data, s.len);
    gs_str_release(&s);
    gs_free(text);
    gs_free(path);
}

#define DENSE0 "transformer.encoder.layers.0.self_attention.dense"

static void wrong_descriptions(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        gs_status kind;
        const char *word;
    } cases[] = {
        {"\"model_quant_type\"", "\"model_type\"", GS_ERR_FILE, "model_quant_type"},
        {"\"model_quant_type\": \"W8A8\"", "\"model_quant_type\": \"W3A3\"", GS_ERR_UNSUPPORTED, "W3A3"},
        {"\"model_quant_type\": \"W8A8\"", "\"model_quant_type\": 8", GS_ERR_FILE, "string"},
        {"\"version\": \"1.0.0\"", "\"version\": \"1.0.0\", \"group_size\": -1", GS_ERR_FILE, "group_size"},
        {"\"" DENSE0 ".weight\": \"W8A8\",", "", GS_ERR_FILE, DENSE0 ".weight"},
        {"\"" DENSE0 ".weight\": \"W8A8\"", "\"" DENSE0 ".weight\": \"QUARK\"", GS_ERR_UNSUPPORTED, "QUARK"},
        {"\"" DENSE0 ".weight\": \"W8A8\"", "\"" DENSE0 ".weight\": \"FLOAT\"", GS_ERR_FILE, "I8"},
        {"\"" DENSE0 ".weight\": \"W8A8\"", "\"" DENSE0 ".weight\": \"W4A8_DYNAMIC\"", GS_ERR_FILE, "scale_second"},
        {"mlp.dense_4h_to_h.weight\": \"FLOAT\"", "mlp.dense_4h_to_h.weight\": \"W8A8\"", GS_ERR_FILE, "BF16"},
        {"{", "[", GS_ERR_FILE, "description"},
        {"{", "{\"version\": \"1.0.0\",", GS_ERR_FILE, "uplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        result r;
        result_begin(&r);
        result_write(&r);
        OK(open_and_bind(&r));
        edit(&r, cases[i].from, cases[i].to);
        FAILS(open_and_bind(&r), cases[i].kind, cases[i].word);
        result_end(&r);
    }
}

static void wrong_shapes(void **state)
{
    (void)state;
    result r;
    result_begin(&r);
    w8a8(&r.recipe);
    r.spec.kv = true;
    result_write(&r);
    /* The weights of another width under this config.json. */
    char *path = gs_path_join(r.dir, "config.json"), *text;
    size_t n;
    OK(gs_file_read_all(path, 1 << 20, &text, &n, ERR));
    char *at = strstr(text, "\"ffn_hidden_size\": 128");
    if (!at) fail_msg("no ffn_hidden_size");
    memcpy(at, "\"ffn_hidden_size\": 256", 22);
    put_file(&r, "config.json", text, n);
    FAILS(open_and_bind(&r), GS_ERR_FILE, "[512, 64]");
    gs_free(text);
    gs_free(path);
    result_end(&r);
}

static void which_description(void **state)
{
    (void)state;
    result r;
    char *name;
    result_begin(&r);
    OK(gs_quantdir_find_description(r.dir, &name, ERR));
    assert_null(name);
    FAILS(open_and_bind(&r), GS_ERR_FILE, "quant_model_description");
    put_file(&r, "quant_model_description_w8a8.json", "{}", 2);
    OK(gs_quantdir_find_description(r.dir, &name, ERR));
    assert_string_equal(name, "quant_model_description_w8a8.json");
    gs_free(name);
    put_file(&r, "quant_model_description_w8a16.json", "{}", 2);
    FAILS(gs_quantdir_find_description(r.dir, &name, ERR), GS_ERR_FILE, "several");
    put_file(&r, "quant_model_description.json", "{}", 2);
    OK(gs_quantdir_find_description(r.dir, &name, ERR));
    assert_string_equal(name, "quant_model_description.json");
    gs_free(name);
    result_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout),
        cmocka_unit_test(wrong_descriptions),
        cmocka_unit_test(wrong_shapes),
        cmocka_unit_test(which_description),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
