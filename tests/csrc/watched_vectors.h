/* For ThreadSanitizer: clang's leaves out what reads or writes more than 16 bytes at once, and what has a mask. Included before each
   csrc/isa_*.c (tests/reliability/races.py), this has the vectors' own reads and writes reported as what they are. Those of AMX are
   plain C in amx_model.h. */
#ifndef WATCHED_VECTORS_H
#define WATCHED_VECTORS_H
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>

void __tsan_read_range(const void *address, size_t bytes);
void __tsan_write_range(void *address, size_t bytes);

/* Lanes that a mask chooses are always the first ones. */
#define WATCHED_BITS(mask) ((size_t)__builtin_popcountll((unsigned long long)(mask)))
#define WATCHED_SIGNS_32(mask) WATCHED_BITS(_mm256_movemask_ps(_mm256_castsi256_ps(mask)))
#define WATCHED_SIGNS_64(mask) WATCHED_BITS(_mm256_movemask_pd(_mm256_castsi256_pd(mask)))

#define WATCHED_READ(p, bytes, value) (__tsan_read_range(p, bytes), value)
#define WATCHED_WRITE(p, bytes, done) (__tsan_write_range(p, bytes), done)

#define _mm256_loadu_ps(p) WATCHED_READ(p, 32, (_mm256_loadu_ps)(p))
#define _mm256_loadu_pd(p) WATCHED_READ(p, 32, (_mm256_loadu_pd)(p))
#define _mm256_storeu_ps(p, a) WATCHED_WRITE(p, 32, (_mm256_storeu_ps)(p, a))
#define _mm256_storeu_pd(p, a) WATCHED_WRITE(p, 32, (_mm256_storeu_pd)(p, a))
#define _mm256_storeu_si256(p, a) WATCHED_WRITE(p, 32, (_mm256_storeu_si256)(p, a))
#define _mm256_maskload_ps(p, m) WATCHED_READ(p, 4 * WATCHED_SIGNS_32(m), (_mm256_maskload_ps)(p, m))
#define _mm256_maskload_pd(p, m) WATCHED_READ(p, 8 * WATCHED_SIGNS_64(m), (_mm256_maskload_pd)(p, m))
#define _mm256_maskstore_ps(p, m, a) WATCHED_WRITE(p, 4 * WATCHED_SIGNS_32(m), (_mm256_maskstore_ps)(p, m, a))
#define _mm256_maskstore_pd(p, m, a) WATCHED_WRITE(p, 8 * WATCHED_SIGNS_64(m), (_mm256_maskstore_pd)(p, m, a))
#define _mm256_maskz_loadu_epi16(m, p) WATCHED_READ(p, 2 * WATCHED_BITS(m), (_mm256_maskz_loadu_epi16)(m, p))
#define _mm256_mask_storeu_epi16(p, m, a) \
    WATCHED_WRITE(p, 2 * WATCHED_BITS(m), (_mm256_mask_storeu_epi16)(p, m, a))

#define _mm512_loadu_ps(p) WATCHED_READ(p, 64, (_mm512_loadu_ps)(p))
#define _mm512_loadu_pd(p) WATCHED_READ(p, 64, (_mm512_loadu_pd)(p))
#define _mm512_storeu_ps(p, a) WATCHED_WRITE(p, 64, (_mm512_storeu_ps)(p, a))
#define _mm512_storeu_pd(p, a) WATCHED_WRITE(p, 64, (_mm512_storeu_pd)(p, a))
#define _mm512_storeu_si512(p, a) WATCHED_WRITE(p, 64, (_mm512_storeu_si512)(p, a))
#define _mm512_maskz_loadu_ps(m, p) WATCHED_READ(p, 4 * WATCHED_BITS(m), (_mm512_maskz_loadu_ps)(m, p))
#define _mm512_maskz_loadu_pd(m, p) WATCHED_READ(p, 8 * WATCHED_BITS(m), (_mm512_maskz_loadu_pd)(m, p))
#define _mm512_mask_storeu_ps(p, m, a) WATCHED_WRITE(p, 4 * WATCHED_BITS(m), (_mm512_mask_storeu_ps)(p, m, a))
#define _mm512_mask_storeu_pd(p, m, a) WATCHED_WRITE(p, 8 * WATCHED_BITS(m), (_mm512_mask_storeu_pd)(p, m, a))
#endif
#endif
