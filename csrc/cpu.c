/* Which instruction sets this processor and operating system allow, the floating-point state, and the tables of names: all that is
   not compiled once for each instruction set. No instruction beyond the baseline stands here. */
#include "kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <xmmintrin.h>

static uint64_t xgetbv0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

enum { HAS_AVX2 = 1, HAS_AVX512 = 2, HAS_AVX512BF16 = 4 };

static int features(void)
{
    unsigned a, b, c, d;
    int found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;
    if ((c & (fma | osxsave | avx)) != (fma | osxsave | avx))
        return 0;
    uint64_t saved = xgetbv0(); /* what the operating system keeps over a context switch */
    if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    if (b & 1u << 5)
        found |= HAS_AVX2;
    const unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    if ((found & HAS_AVX2) && (saved & 0xe6) == 0xe6 && (b & (f | dq | bw | vl)) == (f | dq | bw | vl))
        found |= HAS_AVX512;
    if ((found & HAS_AVX512) && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5))
        found |= HAS_AVX512BF16;
    return found;
}
#define HAVE_AVX2(found) ((found) & HAS_AVX2)
#define HAVE_AVX512(found) ((found) & HAS_AVX512)
#else
static int features(void) { return 0; }
#endif

/* Best first. A name in here is compiled in; its condition says whether this machine can run it. */
#if defined(FASTNN_HAVE_AVX512)
#define LIST_AVX512(USE) USE(avx512, HAVE_AVX512(found))
#else
#define LIST_AVX512(USE)
#endif
#if defined(FASTNN_HAVE_AVX2)
#define LIST_AVX2(USE) USE(avx2, HAVE_AVX2(found))
#else
#define LIST_AVX2(USE)
#endif
#if defined(FASTNN_HAVE_NEON)
#define LIST_NEON(USE) USE(neon, 1)
#else
#define LIST_NEON(USE)
#endif
#define INSTRUCTION_SETS(USE) LIST_AVX512(USE) LIST_AVX2(USE) LIST_NEON(USE) USE(generic, 1)

const char *const *fnn_instruction_sets(void)
{
    static const char *names[8];
    const char *list[8] = {NULL};
    int found = features(), n = 0;
    (void)found;
#define USE(name, condition) \
    if (condition)           \
        list[n++] = #name;
    INSTRUCTION_SETS(USE)
#undef USE
    memcpy(names, list, sizeof names); /* always the same content, so a race is harmless */
    return names;
}

const fnn_kernels *fnn_kernels_for(const char *isa, enum fnn_dtype dtype)
{
    for (const char *const *name = fnn_instruction_sets(); *name; name++) {
        if (strcmp(*name, isa))
            continue;
#define USE(name, condition) \
    if (!strcmp(isa, #name)) \
        return dtype == FNN_F64 ? &fnn_##name##_f64 : &fnn_##name##_f32;
        INSTRUCTION_SETS(USE)
#undef USE
    }
    return NULL;
}

void fnn_bf16_kernels_for(const char *isa, const fnn_bf16_kernels *list[FNN_BF16_KINDS])
{
    int found = features(), n = 0;
    (void)found;
#if defined(FASTNN_HAVE_AMX) && defined(FASTNN_HAVE_AVX512)
    if (!strcmp(isa, "avx512") && (found & HAS_AVX512BF16) && fnn_amx_works(&fnn_amx_bf16, &fnn_avx512_bf16))
        list[n++] = &fnn_amx_bf16;
#endif
#if defined(FASTNN_HAVE_AVX512BF16)
    if (!strcmp(isa, "avx512") && (found & HAS_AVX512BF16))
        list[n++] = &fnn_avx512bf16_bf16;
#endif
#define USE(name, condition)                \
    if (!strcmp(isa, #name) && (condition)) \
        list[n++] = &fnn_##name##_bf16;
    INSTRUCTION_SETS(USE)
#undef USE
    list[n] = NULL;
}

void fnn_cpu_name(char *buffer, size_t size)
{
    buffer[0] = 0;
#if defined(__x86_64__)
    unsigned brand[12] = {0}, highest = __get_cpuid_max(0x80000000u, NULL);
    if (highest >= 0x80000004u) {
        for (unsigned i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2],
                        &brand[4 * i + 3]);
        snprintf(buffer, size, "%.48s", (const char *)brand);
        return;
    }
    snprintf(buffer, size, "x86-64");
#elif defined(__aarch64__)
    snprintf(buffer, size, "AArch64");
#else
    snprintf(buffer, size, "unknown");
#endif
}

#if defined(__x86_64__)
uint64_t fnn_float_flush(void)
{
    unsigned state = _mm_getcsr();
    /* round to nearest, all exceptions masked, flush to zero (bit 15), denormals are zero (bit 6) */
    _mm_setcsr(0x9fc0u);
    return state;
}
void fnn_float_restore(uint64_t state) { _mm_setcsr((unsigned)state); }
#elif defined(__aarch64__)
uint64_t fnn_float_flush(void)
{
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24));
    return state;
}
void fnn_float_restore(uint64_t state) { __asm__ volatile("msr fpcr, %0" : : "r"(state)); }
#else
uint64_t fnn_float_flush(void) { return 0; }
void fnn_float_restore(uint64_t state) { (void)state; }
#endif

#define ELEMENTWISE(name, reads, parameters, f, df) {#name, reads, 0, -1, -1, 0, {0}},
#define ROWWISE(name, reads) {#name, reads, 1, -1, -1, 0, {0}},
const fnn_operation fnn_activation_table[FNN_ACTIVATIONS] = {
#include "activations.def"
};
#undef ELEMENTWISE
#undef ROWWISE
#define ELEMENTWISE(name, reads, parameters, f, df) parameters,
#define ROWWISE(name, reads) 0,
const int fnn_activation_parameters[FNN_ACTIVATIONS] = {
#include "activations.def"
};
#undef ELEMENTWISE
#undef ROWWISE

/* (number, default, ...), as two members */
#define SPREAD(number, ...) \
    number, { __VA_ARGS__ }
#define ELEMENTWISE(name, over, parameters, f, df) {#name, FNN_TARGETS_UNITS, 0, -1, -1, SPREAD parameters},
#define ROWWISE(name, targets, parameters) {#name, targets, 1, -1, -1, SPREAD parameters},
#define FUSED(name, loss, activation) \
    {#name, FNN_TARGETS_UNITS, 1, FNN_LOSS_##loss, FNN_ACTIVATION_##activation, 0, {0}},
const fnn_operation fnn_loss_table[FNN_LOSSES] = {
#include "losses.def"
};
#undef ELEMENTWISE
#undef ROWWISE
#undef FUSED

#define METRIC(name, targets, parameters) {#name, targets, 1, -1, -1, SPREAD parameters},
const fnn_operation fnn_metric_table[FNN_METRICS] = {
#include "metrics.def"
};
#undef METRIC
