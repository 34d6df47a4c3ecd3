/* The elementary functions of every instruction set against the C library's in a wider type.

   elementary float32 STEP: every STEP-th of all 2^32 bit patterns, and the edges; exact values are double's.
   elementary float64 COUNT: so many patterns, half of them spread over all magnitudes and half over those from 2^-8 to 2^10, and the
   edges; exact values are long double's.

   Prints for each instruction set and function: how often it was asked, how often it was wrong, how often its bits were others than the
   first instruction set's (NaN excepted), the worst error in units in the last place and where that was. Fails if anything was wrong. */
#include "elementary.h"
#include "fastnn.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4096, SETS_MAX = 4 };

typedef struct result {
    uint64_t asked, wrong, differs;
    double worst, at;
} result;

static const int limits[FUNCTIONS] = {
#define FUNCTION(name, limit, where, exact, call) limit,
#include "elementary.def"
};
static const char *const names[FUNCTIONS] = {
#define FUNCTION(name, limit, where, exact, call) #name,
#include "elementary.def"
};

#define NAME_(type, name) type##_##name
#define NAME(type, name) NAME_(type, name)
#define P(name) NAME(TYPE, name)
#define f32_EXPONENT 0x7f800000u
#define f64_EXPONENT 0x7ff0000000000000u
#define f32_NORMAL 1.17549435082228750797e-38f
#define f64_NORMAL 2.2250738585072014e-308
/* where e^x becomes subnormal and infinite, e^-x loses all weight, tanh becomes 1 */
#define f32_EDGES 87.336544, 88.722839, 89.0, 16.635532, 10.0, 9.0108
#define f64_EDGES 708.3964185322641, 709.782712893384, 709.9, 36.7368, 20.0, 19.0615

#define TYPE f32
#define REAL float
#define U uint32_t
#define WIDE double
#define W(f) f
#include "elementary_check.inc"
#undef TYPE
#undef REAL
#undef U
#undef WIDE
#undef W

#define TYPE f64
#define REAL double
#define U uint64_t
#define WIDE long double
#define W(f) f##l
#include "elementary_check.inc"
#undef TYPE
#undef REAL
#undef U
#undef WIDE
#undef W

static void add(result *to, const result *from)
{
    for (int i = 0; i < SETS_MAX * FUNCTIONS; i++) {
        if (from[i].worst > to[i].worst || !to[i].asked) {
            to[i].worst = from[i].worst;
            to[i].at = from[i].at;
        }
        to[i].asked += from[i].asked;
        to[i].wrong += from[i].wrong;
        to[i].differs += from[i].differs;
    }
}

/* The same bits with an exponent of a number from 2^-8 to 2^10. */
static uint64_t common(uint64_t bits)
{
    uint64_t exponent = (bits & f64_EXPONENT) >> 52;
    return (bits & ~f64_EXPONENT) | (1023 - 8 + exponent % 18) << 52;
}

int main(int count, char **words)
{
    static const elementary_table *const all[] = {
#if defined(FASTNN_HAVE_AVX512)
        &elementary_avx512,
#endif
#if defined(FASTNN_HAVE_AVX2)
        &elementary_avx2,
#endif
#if defined(FASTNN_HAVE_NEON)
        &elementary_neon,
#endif
        &elementary_generic,
    };
    static result results[SETS_MAX * FUNCTIONS];
    const elementary_table *sets[SETS_MAX + 1] = {NULL};
    int found = 0, wrong = 0, wide = count == 3 && !strcmp(words[1], "float64");
    for (const char *const *isa = fnn_instruction_sets(); *isa; isa++)
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            if (!strcmp(*isa, all[i]->isa))
                sets[found++] = all[i];
    uint64_t number = count == 3 ? strtoull(words[2], NULL, 10) : 0;
    if (!number || (!wide && strcmp(words[1], "float32"))) {
        fprintf(stderr, "usage: elementary float32 STEP | float64 COUNT\n");
        return 2;
    }
    /* an odd step through the 64-bit numbers visits all their magnitudes evenly */
    const uint64_t step = wide ? ~(uint64_t)0 / number | 1 : number;
    const uint64_t asked = wide ? number : (((uint64_t)1 << 32) + step - 1) / step;
    wide ? f64_check_edges(sets, results) : f32_check_edges(sets, results);
#pragma omp parallel
    {
        result own[SETS_MAX * FUNCTIONS] = {{0}};
#pragma omp for schedule(dynamic, 16)
        for (uint64_t block = 0; block < (asked + N - 1) / N; block++) {
            float x[N];
            double y[N];
            for (uint64_t i = 0; i < N; i++)
                if (wide)
                    y[i] = f64_from_bits(i % 2 ? common((block * N + i) * step) : (block * N + i) * step);
                else
                    x[i] = f32_from_bits((uint32_t)((block * N + i) * step));
            wide ? f64_check(y, sets, own) : f32_check(x, sets, own);
        }
#pragma omp critical
        add(results, own);
    }
    for (int set = 0; set < found; set++)
        for (int function = 0; function < FUNCTIONS; function++) {
            const result *r = &results[set * FUNCTIONS + function];
            printf("%s %s %s %llu %llu %llu %.3f %a\n", words[1], sets[set]->isa, names[function],
                   (unsigned long long)r->asked, (unsigned long long)r->wrong, (unsigned long long)r->differs,
                   r->worst, r->at);
            wrong |= r->wrong || r->differs;
        }
    return wrong;
}
