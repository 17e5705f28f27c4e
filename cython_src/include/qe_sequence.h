/* Longest common subsequence of token sequences; compiled for the baseline. */
#ifndef QE_SEQUENCE_H
#define QE_SEQUENCE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of scratch that sequences of at most n tokens need. */
size_t qe_lcs_scratch_bytes(ptrdiff_t n);

/* Prepare scratch for sequence a of n tokens: which tokens it has, and at which places. */
void qe_lcs_prepare(const uint32_t *a, ptrdiff_t n, void *scratch);

/* Length of the longest common subsequence of the prepared sequence and b. */
ptrdiff_t qe_lcs_length(const uint32_t *b, ptrdiff_t m, void *scratch);

#endif
