#include "qe_sequence.h"

#include <string.h>

/* Scratch, in this order:
     ptrdiff_t n, words, capacity, distinct
     uint64_t  row[words]                 one bit a place of a: the state of the recurrence
     uint64_t  places[n * words]          for each distinct token, the places where a has it
     uint32_t  token[capacity]            hash table, open addressing
     uint32_t  number[capacity]           number of the token plus one; 0 for an empty cell */
typedef struct {
    ptrdiff_t n, words, capacity, distinct;
} lcs_header;

static ptrdiff_t words_for(ptrdiff_t n) { return n > 0 ? (n + 63) / 64 : 1; }

static ptrdiff_t capacity_for(ptrdiff_t n) {
    ptrdiff_t capacity = 16;
    while (capacity < 2 * n) capacity *= 2;
    return capacity;
}

size_t qe_lcs_scratch_bytes(ptrdiff_t n) {
    const size_t words = (size_t)words_for(n), capacity = (size_t)capacity_for(n);
    return sizeof(lcs_header) + 8 * words + 8 * (size_t)n * words + 8 * capacity;
}

static uint64_t *row_of(lcs_header *h) { return (uint64_t *)(h + 1); }
static uint64_t *places_of(lcs_header *h) { return row_of(h) + h->words; }
static uint32_t *tokens_of(lcs_header *h) { return (uint32_t *)(places_of(h) + h->n * h->words); }
static uint32_t *numbers_of(lcs_header *h) { return tokens_of(h) + h->capacity; }

static ptrdiff_t cell_of(const uint32_t *tokens, const uint32_t *numbers, ptrdiff_t capacity, uint32_t token) {
    ptrdiff_t cell = (ptrdiff_t)((token * 0x9E3779B1u) & (uint32_t)(capacity - 1));
    while (numbers[cell] != 0 && tokens[cell] != token) cell = (cell + 1) & (capacity - 1);
    return cell;
}

void qe_lcs_prepare(const uint32_t *a, ptrdiff_t n, void *scratch) {
    lcs_header *h = scratch;
    h->n = n, h->words = words_for(n), h->capacity = capacity_for(n), h->distinct = 0;
    uint64_t *places = places_of(h);
    uint32_t *tokens = tokens_of(h), *numbers = numbers_of(h);
    memset(numbers, 0, 4 * (size_t)h->capacity);
    for (ptrdiff_t i = 0; i < n; ++i) {
        const ptrdiff_t cell = cell_of(tokens, numbers, h->capacity, a[i]);
        if (numbers[cell] == 0) {
            tokens[cell] = a[i];
            numbers[cell] = (uint32_t)++h->distinct;
            memset(places + (h->distinct - 1) * h->words, 0, 8 * (size_t)h->words);
        }
        places[(ptrdiff_t)(numbers[cell] - 1) * h->words + i / 64] |= (uint64_t)1 << (i % 64);
    }
}

/* Bit-parallel recurrence (Crochemore, Iliopoulos, Pinzon and Reid, 2001): with M the places of the next token of b,
   row = (row + (row & M)) | (row & ~M); a place whose bit has gone is one that a longest subsequence uses. */
ptrdiff_t qe_lcs_length(const uint32_t *b, ptrdiff_t m, void *scratch) {
    lcs_header *h = scratch;
    uint64_t *row = row_of(h);
    const uint64_t *places = places_of(h);
    const uint32_t *tokens = tokens_of(h), *numbers = numbers_of(h);
    for (ptrdiff_t w = 0; w < h->words; ++w) row[w] = ~(uint64_t)0;
    for (ptrdiff_t j = 0; j < m; ++j) {
        const uint32_t number = numbers[cell_of(tokens, numbers, h->capacity, b[j])];
        if (number == 0) continue;
        const uint64_t *mask = places + (ptrdiff_t)(number - 1) * h->words;
        uint64_t carry = 0;
        for (ptrdiff_t w = 0; w < h->words; ++w) {
            const uint64_t matched = row[w] & mask[w];
            const uint64_t partial = row[w] + carry;
            const uint64_t sum = partial + matched;
            carry = (partial < carry) | (sum < partial);
            row[w] = sum | (row[w] & ~mask[w]);
        }
    }
    ptrdiff_t length = 0;
    for (ptrdiff_t i = 0; i < h->n; ++i) length += !((row[i / 64] >> (i % 64)) & 1);
    return length;
}
