/* The variant's entry in the table: its functions, its shape, and what it was really compiled for. */
#include "qe_compiled.h"
#include "few.h"
#include "tile.h"

const qe_variant QE_SYMBOL(qe_variant) = {
    .name = QE_TEXT(QE_VARIANT),
    .needs = qe_compiled,
    .lanes = QE_LANES,
    .tile_queries = QE_TILE,
    .tile_keys = QE_GROUP(QE_VECTORS),
    .few_queries = QE_FEW,
    .bfloat16_dots = QE_PAIRS,
    .attention_scratch = QE_SYMBOL(qe_attention_scratch),
    .topk_scratch = QE_SYMBOL(qe_topk_scratch),
    .attention = QE_SYMBOL(qe_attention),
    .topk = QE_SYMBOL(qe_topk),
    .attention_merge = QE_SYMBOL(qe_attention_merge),
    .topk_merge = QE_SYMBOL(qe_topk_merge),
    .peak = QE_SYMBOL(qe_peak),
    .encoder_packed = QE_SYMBOL(qe_encoder_packed),
    .encoder_pack = QE_SYMBOL(qe_encoder_pack),
    .encoder_scratch = QE_SYMBOL(qe_encoder_scratch),
    .encoder = QE_SYMBOL(qe_encoder),
    .encoder_embed = QE_SYMBOL(qe_encoder_embed),
    .encoder_pool_scratch = QE_SYMBOL(qe_encoder_pool_scratch),
    .encoder_pool = QE_SYMBOL(qe_encoder_pool),
};
