/* Counter-based random numbers: a number is a function of its key and its counter, whoever asks for it. Integers only. */

/* `group` counters (IN; OUT: their words) side by side, so that the compiler may use vectors. */
INLINE void P(philox_rounds)(size_t group, uint64_t key, uint32_t *c0, uint32_t *c1, uint32_t *c2,
                             uint32_t *c3)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        for (size_t l = 0; l < group; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[l], p1 = (uint64_t)0xCD9E8D57u * c2[l];
            uint32_t old1 = c1[l], old3 = c3[l];
            c0[l] = (uint32_t)(p1 >> 32) ^ old1 ^ k0;
            c1[l] = (uint32_t)p1;
            c2[l] = (uint32_t)(p0 >> 32) ^ old3 ^ k1;
            c3[l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

INLINE void P(philox_groups)(size_t group, uint64_t key, uint32_t first, const uint32_t *stream, size_t n,
                             uint32_t *out)
{
    for (size_t i = 0; i < n; i += group) {
        uint32_t c0[16], c1[16], c2[16], c3[16];
        for (size_t l = 0; l < group; l++) {
            c0[l] = first + (uint32_t)(i + l);
            c1[l] = stream[0];
            c2[l] = stream[1];
            c3[l] = stream[2];
        }
        P(philox_rounds)(group, key, c0, c1, c2, c3);
        for (size_t l = 0; l < group; l++) {
            out[i + l] = c0[l];
            out[n + i + l] = c1[l];
            out[2 * n + i + l] = c2[l];
            out[3 * n + i + l] = c3[l];
        }
    }
}

#ifdef SIMD_HAVE_WORDS
/* The same by widening multiplications of vectors: two of them in flight. n a multiple of 2 * f64_LANES. */
INLINE void P(philox_words)(uint64_t key, uint32_t first, const uint32_t *stream, size_t n, uint32_t *out)
{
    const f64_ivec m0 = f64_iset1(0xD2511F53), m1 = f64_iset1(0xCD9E8D57);
    uint64_t counters[2 * f64_LANES];
    for (size_t i = 0; i < n; i += 2 * f64_LANES) {
        f64_ivec c0[2], c1[2], c2[2], c3[2];
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
        for (size_t l = 0; l < 2 * f64_LANES; l++)
            counters[l] = first + (uint32_t)(i + l);
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            c0[v] = f64_bits(f64_load((const double *)(const void *)(counters + v * f64_LANES)));
            c1[v] = f64_iset1(stream[0]);
            c2[v] = f64_iset1(stream[1]);
            c3[v] = f64_iset1(stream[2]);
        }
        for (int round = 0; round < 10; round++) {
            const f64_ivec key0 = f64_iset1(k0), key1 = f64_iset1(k1);
#pragma GCC unroll 2
            for (int v = 0; v < 2; v++) {
                f64_ivec p0 = word_mul(m0, c0[v]), p1 = word_mul(m1, c2[v]);
                c0[v] = word_xor(word_xor(word_high(p1), c1[v]), key0);
                c2[v] = word_xor(word_xor(word_high(p0), c3[v]), key1);
                c1[v] = p1; /* its high half is never looked at */
                c3[v] = p0;
            }
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            word_store(out + i + v * f64_LANES, c0[v]);
            word_store(out + n + i + v * f64_LANES, c1[v]);
            word_store(out + 2 * n + i + v * f64_LANES, c2[v]);
            word_store(out + 3 * n + i + v * f64_LANES, c3[v]);
        }
    }
}
#endif

static void P(philox)(uint64_t key, uint32_t first, const uint32_t *stream, size_t n, uint32_t *out)
{
    if (n % 16 == 0)
#ifdef SIMD_HAVE_WORDS
        P(philox_words)(key, first, stream, n, out);
#else
        P(philox_groups)(16, key, first, stream, n, out);
#endif
    else
        P(philox_groups)(1, key, first, stream, n, out);
}

/* Streams of random numbers of one key: the last word of the counter. */
enum { P(STREAM_SHUFFLE) = 1, P(STREAM_LAYERS) = 2 };

/* Counters that the order of few rows takes at once. */
INLINE size_t P(few_counters)(int64_t n) { return ((size_t)n + 7) / 8; }

/* Inside out: out[0..i] is a uniform permutation of 0..i. Places i = begin to end from one word for each two; the words' stride is
   `step`. The high half of a word times i + 1 is the place, off uniform by at most n / 2^32; of a few rows the low half is random
   enough for a second place (off by n^2 / 2^32, 0.1 % at most). */
INLINE int64_t P(few_places)(int64_t begin, int64_t end, const uint32_t *word, size_t step, int64_t *out)
{
    for (int64_t i = begin; i < end; word += step) {
        uint64_t first = (uint64_t)*word * (uint64_t)(i + 1);
        uint64_t second = (uint64_t)(uint32_t)first * (uint64_t)(i + 2);
        out[i] = out[first >> 32];
        out[first >> 32] = i;
        if (++i == end)
            break;
        out[i] = out[second >> 32];
        out[second >> 32] = i++;
    }
    return end;
}

static void P(permutation)(uint64_t key, uint64_t epoch, int64_t n, int64_t *out)
{
    enum { COUNTERS = 64, WORDS = 4 * COUNTERS };
    uint32_t words[WORDS];
    const uint32_t stream[3] = {(uint32_t)epoch, (uint32_t)(epoch >> 32), P(STREAM_SHUFFLE)};
    uint32_t counter = 0;
    /* the order of the words is a function of n alone */
    const size_t counters = n <= FNN_FEW_ROWS ? P(few_counters)(n) : n <= 128 ? 16 : COUNTERS;
    if (n <= 2048) {
        for (int64_t i = 0; i < n; counter += COUNTERS) {
            P(philox)(key, counter, stream, counters, words);
            i = P(few_places)(i, n - i < 2 * WORDS ? n : i + 2 * WORDS, words, 1, out);
        }
        return;
    }
    for (int64_t i = 0; i < n; counter += COUNTERS) {
        P(philox)(key, counter, stream, COUNTERS, words);
        const int64_t each = n <= (int64_t)1 << 24 ? 1 : 2; /* words a place */
        int64_t end = n - i < WORDS / each ? n : i + WORDS / each;
        for (const uint32_t *word = words; i < end; i++, word += each) {
            uint64_t wide = (uint64_t)word[0] << 32 | (each == 2 ? word[1] : 0);
            int64_t j = (int64_t)((unsigned __int128)wide * (uint64_t)(i + 1) >> 64);
            out[i] = out[j];
            out[j] = i;
        }
    }
}

/* One epoch of few rows takes a handful of words: here 16 epochs draw theirs side by side. */
static void P(permutations16)(uint64_t key, uint64_t epoch, int64_t n, int64_t *out)
{
    const size_t counters = P(few_counters)(n);
    uint32_t words[4 * FNN_FEW_ROWS / 8][16]; /* [word][epoch] */
    for (size_t i = 0; i < counters; i++) {
        uint32_t *c0 = words[i], *c1 = words[counters + i], *c2 = words[2 * counters + i],
                 *c3 = words[3 * counters + i];
        for (size_t l = 0; l < 16; l++) {
            c0[l] = (uint32_t)i;
            c1[l] = (uint32_t)(epoch + l);
            c2[l] = (uint32_t)((epoch + l) >> 32);
            c3[l] = P(STREAM_SHUFFLE);
        }
        P(philox_rounds)(16, key, c0, c1, c2, c3);
    }
    for (size_t l = 0; l < 16; l++, out += n)
        P(few_places)(0, n, &words[0][l], 16, out);
}
