/* Products of matrices: MatMul, Gemm, Einsum; and ConvTranspose as a convolution. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <string.h>

int lower_gemm(struct importer *import)
{
    const struct value *a = import_input(import, 0), *b = import_input(import, 1);
    bool                ta        = import_int(import, "transA", 0) != 0;
    bool                tb        = import_int(import, "transB", 0) != 0;
    float               alpha     = import_float(import, "alpha", 1.0F);
    float               beta      = import_float(import, "beta", 1.0F);
    int                 inputs[3] = {import->input[0], import->input[1], -1}, value;
    int64_t             dimension[2], wide[MODEL_MAX_DIMENSIONS];
    struct node        *node;

    if (a->rank != 2 || b->rank != 2 || a->type != VALUE_F32 || b->type != VALUE_F32 ||
        a->dimension[ta ? 0 : 1] != b->dimension[tb ? 1 : 0])
        return import_refuse(import, ERR_INVALID, "the shapes of its inputs do not fit");
    dimension[0] = a->dimension[ta ? 1 : 0];
    dimension[1] = b->dimension[tb ? 0 : 1];
    if (import_has_input(import, 2)) {
        struct value        out = {.rank = 2, .dimension = {dimension[0], dimension[1]}};
        const struct value *c   = import_input(import, 2);
        if (c->floats == NULL || c->rank > 2 || broadcast_shape(&out, c, wide) != 2 ||
            wide[0] != dimension[0] || wide[1] != dimension[1])
            return import_refuse(import, ERR_UNSUPPORTED,
                                 "its third input must be a constant that "
                                 "fits the output");
        inputs[2] = import->input[2];
    }
    value = import_emit(import, NODE_MATMUL, 3, inputs, 2, dimension, &node);
    if (value < 0)
        return value;
    node->matmul.transpose_a = ta;
    node->matmul.transpose_b = tb;
    node->matmul.alpha       = alpha;
    node->matmul.beta        = beta;
    import->output[0]        = value;
    return 0;
}

/* A list is a matrix of one row, or of one column where it stands second. */
int lower_matmul(struct importer *import)
{
    struct value a = *import_input(import, 0), b = *import_input(import, 1), y;
    int          left = import->input[0], right = import->input[1], value, rank = 0;
    int64_t      dimension[MODEL_MAX_DIMENSIONS];

    if (a.rank < 1 || b.rank < 1)
        return import_refuse(import, ERR_INVALID, "both inputs need a dimension or more");
    if (a.rank == 1)
        left = import_emit_reshape(import, left, 2, (int64_t[]){1, a.dimension[0]});
    if (left >= 0 && b.rank == 1)
        right = import_emit_reshape(import, right, 2, (int64_t[]){b.dimension[0], 1});
    if (left < 0 || right < 0)
        return left < 0 ? left : right;
    value = import_emit_product(import, left, right);
    if (value < 0 || (a.rank > 1 && b.rank > 1))
        return import_set(import, value);
    y = import->graph->values[value];
    for (int k = 0; k < y.rank; k++)
        if (!(k == y.rank - 2 && a.rank == 1) && !(k == y.rank - 1 && b.rank == 1))
            dimension[rank++] = y.dimension[k];
    return import_set(import, import_emit_reshape(import, value, rank, dimension));
}

/* ---- Einsum ---- */

struct term {
    int  count;
    char letter[MODEL_MAX_DIMENSIONS];
};

/* "bhid,bhjd->bhij": two terms and the result. */
static bool read_equation(const Onnx__AttributeProto *attribute, struct term terms[3])
{
    int at = 0;

    memset(terms, 0, 3 * sizeof *terms);
    for (size_t i = 0; attribute != NULL && i < attribute->s.len; i++) {
        char c = (char)attribute->s.data[i];
        if (c == ' ')
            continue;
        if (c == ',' && at == 0) {
            at = 1;
        } else if (c == '-' && at == 1 && i + 1 < attribute->s.len &&
                   attribute->s.data[i + 1] == '>') {
            at = 2;
            i++;
        } else if (((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) &&
                   terms[at].count < MODEL_MAX_DIMENSIONS &&
                   memchr(terms[at].letter, c, (size_t)terms[at].count) == NULL) {
            terms[at].letter[terms[at].count++] = c;
        } else {
            return false;
        }
    }
    return at == 2;
}

static int place_of(const struct term *term, char letter)
{
    for (int i = 0; i < term->count; i++)
        if (term->letter[i] == letter)
            return i;
    return -1;
}

/* The dimensions of a term in the order batch, own, contracted (or batch, contracted, own), joined
 * to three. */
struct side {
    int     order[MODEL_MAX_DIMENSIONS];
    int64_t size[3]; /* batch, first, second */
};

static bool sort_side(const struct term *term, const struct term *other, const struct term *out,
                      const struct value *value, bool own_first, struct side *side)
{
    int count = 0;

    if (value->rank != term->count)
        return false;
    for (int part = 0; part < 3; part++) {
        bool own         = part == (own_first ? 1 : 2);
        side->size[part] = 1;
        /* Batch and own letters in the order of the result, contracted ones in that of the first
         * term: both sides then agree. */
        const struct term *guide = part == 0 || own ? out : own_first ? term : other;
        for (int i = 0; i < guide->count; i++) {
            int  at      = place_of(term, guide->letter[i]);
            bool in_both = place_of(other, guide->letter[i]) >= 0;
            bool in_out  = place_of(out, guide->letter[i]) >= 0;
            bool wanted  = part == 0 ? in_both && in_out
                           : own     ? !in_both && in_out
                                     : in_both && !in_out;
            if (at < 0 || !wanted)
                continue;
            side->order[count++] = at;
            side->size[part] *= value->dimension[at];
        }
    }
    return count == term->count;
}

static int emit_side(struct importer *import, int source, const struct side *side)
{
    int value = import_emit_transpose(import, source, side->order);

    return value < 0 ? value : import_emit_reshape(import, value, 3, side->size);
}

static int64_t letter_size(const struct importer *import, const struct term *terms, char letter)
{
    int at = place_of(&terms[0], letter);

    if (at >= 0)
        return import_input(import, 0)->dimension[at];
    at = place_of(&terms[1], letter);
    return at >= 0 ? import_input(import, 1)->dimension[at] : 0;
}

/* Two inputs, as a product of stacks of matrices. */
int lower_einsum(struct importer *import)
{
    struct term  terms[3], natural = {.count = 0};
    struct side  a, b;
    struct value x = *import_input(import, 0), y = *import_input(import, 1);
    int64_t      dimension[MODEL_MAX_DIMENSIONS];
    int          left, right, value, order[MODEL_MAX_DIMENSIONS];

    if (!read_equation(import_attribute(import, "equation"), terms) ||
        !sort_side(&terms[0], &terms[1], &terms[2], &x, true, &a) ||
        !sort_side(&terms[1], &terms[0], &terms[2], &y, false, &b) || a.size[0] != b.size[0] ||
        a.size[2] != b.size[1])
        return import_refuse(import, ERR_UNSUPPORTED,
                             "only sums over letters that two inputs share are possible");
    left  = emit_side(import, import->input[0], &a);
    right = left < 0 ? left : emit_side(import, import->input[1], &b);
    value = right < 0 ? right : import_emit_product(import, left, right);
    if (value < 0)
        return value;
    for (int part = 0; part < 3; part++) /* batch, letters of the first, letters of the second */
        for (int i = 0; i < terms[2].count; i++) {
            bool in_a = place_of(&terms[0], terms[2].letter[i]) >= 0;
            bool in_b = place_of(&terms[1], terms[2].letter[i]) >= 0;
            if (!in_a && !in_b)
                return import_refuse(import, ERR_INVALID, "its result has a letter of its own");
            if (part == (in_a && in_b ? 0 : in_a ? 1 : 2))
                natural.letter[natural.count++] = terms[2].letter[i];
        }
    for (int i = 0; i < natural.count; i++) {
        dimension[i] = letter_size(import, terms, natural.letter[i]);
        order[i]     = place_of(&natural, terms[2].letter[i]);
    }
    value = import_emit_reshape(import, value, natural.count, dimension);
    return value < 0 ? value : import_set(import, import_emit_transpose(import, value, order));
}
