/* What AVX2 and AVX-512 share: intrinsics that differ in the width in their names only.
   Parameters: X86_WIDTH (256 or 512), X86_PREFIX (_mm256_ or _mm512_), and the vector types f32_vec, f64_vec, f32_ivec, f64_ivec. */
#ifndef FASTNN_SIMD_X86_H
#define FASTNN_SIMD_X86_H

#define X86_PASTE_(a, b, c) a##b##c
#define X86_PASTE(a, b, c) X86_PASTE_(a, b, c)
#define X86(op, suffix) X86_PASTE(X86_PREFIX, op, suffix)
#define X86_INT(op) X86_PASTE(X86_PREFIX, op##_si, X86_WIDTH)

#define BOTH_BINARY(name)                                                                   \
    static inline f32_vec f32_##name(f32_vec a, f32_vec b) { return X86(name, _ps)(a, b); } \
    static inline f64_vec f64_##name(f64_vec a, f64_vec b) { return X86(name, _pd)(a, b); }
BOTH_BINARY(add)
BOTH_BINARY(sub)
BOTH_BINARY(mul)
BOTH_BINARY(div)
BOTH_BINARY(min)
BOTH_BINARY(max)
BOTH_BINARY(and)
BOTH_BINARY(or)
BOTH_BINARY(xor)
BOTH_BINARY(andnot)
#undef BOTH_BINARY

#define BOTH_TERNARY(name, op)                                                                          \
    static inline f32_vec f32_##name(f32_vec a, f32_vec b, f32_vec c) { return X86(op, _ps)(a, b, c); } \
    static inline f64_vec f64_##name(f64_vec a, f64_vec b, f64_vec c) { return X86(op, _pd)(a, b, c); }
BOTH_TERNARY(fma, fmadd)
BOTH_TERNARY(fnma, fnmadd)
#undef BOTH_TERNARY

#define BOTH_INTEGER(name, op32, op64)                                               \
    static inline f32_ivec f32_##name(f32_ivec a, f32_ivec b) { return op32(a, b); } \
    static inline f64_ivec f64_##name(f64_ivec a, f64_ivec b) { return op64(a, b); }
BOTH_INTEGER(iadd, X86(add, _epi32), X86(add, _epi64))
BOTH_INTEGER(isub, X86(sub, _epi32), X86(sub, _epi64))
BOTH_INTEGER(iand, X86_INT(and), X86_INT(and))
BOTH_INTEGER(ior, X86_INT(or), X86_INT(or))
#undef BOTH_INTEGER
#define f32_ishl(a, n) X86(slli, _epi32)(a, n)
#define f64_ishl(a, n) X86(slli, _epi64)(a, n)
#define f32_ishr(a, n) X86(srli, _epi32)(a, n)
#define f64_ishr(a, n) X86(srli, _epi64)(a, n)

/* Philox: 64-bit lanes whose low halves are 32-bit words. */
#define SIMD_HAVE_WORDS 1
static inline f64_ivec word_mul(f64_ivec a, f64_ivec b) { return X86(mul, _epu32)(a, b); }
static inline f64_ivec word_xor(f64_ivec a, f64_ivec b) { return X86_INT(xor)(a, b); }
static inline f64_ivec word_high(f64_ivec a) { return X86(srli, _epi64)(a, 32); }

static inline f32_vec f32_sqrt(f32_vec a) { return X86(sqrt, _ps)(a); }
static inline f64_vec f64_sqrt(f64_vec a) { return X86(sqrt, _pd)(a); }
static inline f32_vec f32_set1(float a) { return X86(set1, _ps)(a); }
static inline f64_vec f64_set1(double a) { return X86(set1, _pd)(a); }
static inline f32_vec f32_zero(void) { return X86(setzero, _ps)(); }
static inline f64_vec f64_zero(void) { return X86(setzero, _pd)(); }
static inline f32_vec f32_load(const float *p) { return X86(loadu, _ps)(p); }
static inline f64_vec f64_load(const double *p) { return X86(loadu, _pd)(p); }
static inline void f32_store(float *p, f32_vec a) { X86(storeu, _ps)(p, a); }
static inline void f64_store(double *p, f64_vec a) { X86(storeu, _pd)(p, a); }

static inline f32_ivec f32_bits(f32_vec a) { return X86_INT(castps)(a); }
static inline f64_ivec f64_bits(f64_vec a) { return X86_INT(castpd)(a); }
#endif
