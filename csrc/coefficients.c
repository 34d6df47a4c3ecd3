/* What is native of optimizers beside their loops over vectors: names, numbers and variants, and the coefficients of a step. */
#include "fastnn.h"

#include <math.h>

/* By squaring: the C library's pow need not give the same bits everywhere. */
static double power(double base, int64_t n)
{
    double result = 1.0;
    for (; n > 0 && base != 0.0; n >>= 1) {
        if (n & 1)
            result *= base;
        base *= base;
    }
    return n == 0 ? result : 0.0;
}

/* base^n as base^(n - n mod 64) times the n mod 64 factors one by one, so that the next step costs one multiplication. */
static double decayed(fnn_decay *cache, double base, int64_t n)
{
    if (cache->base != base || cache->step + 1 != n || n % 64 == 0) {
        cache->base = base;
        cache->value = power(base, n / 64 * 64);
        for (int64_t i = 0; i < n % 64; i++)
            cache->value *= base;
    } else
        cache->value *= base;
    cache->step = n;
    return cache->value;
}

/* The product of beta (1 - 0.96^i / 2) over i = 1 ... n, from the first factor, or on from the last one multiplied. */
static double momenta(fnn_memory *m, double beta, int64_t n)
{
    if (m->beta != beta || n < m->step || m->step == 0) {
        m->beta = beta;
        m->step = 0;
        m->power = 1.0;
        m->value = 1.0;
    }
    while (m->step < n && m->value > 0.0) {
        m->step++;
        m->power *= 0.96;
        m->value *= beta * (1.0 - 0.5 * m->power);
        if (m->value < 1e-18) /* below it, one minus the product is one */
            m->value = 0.0;
    }
    m->step = n;
    return m->value;
}

#define AT_LEAST(x) (m->smallest > (x) ? m->smallest : (x))
#define BETA(i) decayed(&m->decay[(i) - 1], p[i], t)
#define DECAYED(base) decayed(&m->decay[0], base, t)
#define MOMENTA(beta) momenta(m, beta, t)
#define POWER(base, exponent) m->real_power(base, exponent)
#define OPTIMIZER(name, slots, numbers, first, coefficients, body)                                     \
    static void name##_coefficients(const double *p, double rate, int64_t t, fnn_memory *m, double *h) \
    {                                                                                                  \
        (void)p, (void)rate, (void)t, (void)m;                                                         \
        coefficients                                                                                   \
    }                                                                                                  \
    static double name##_first(const double *p) { return (void)p, first; }                             \
    static int name##_when(const double *p) { return (void)p, 1; }
#define VARIANT(name, of, when, slots, body) \
    static int name##_when(const double *p) { return when; }
#define DIRECTION(name, slots, step, numbers, first, coefficients, body) \
    OPTIMIZER(name, slots, numbers, first, coefficients, body)
#include "optimizers.def"

#define OPTIMIZER(name, slots, numbers, first, coefficients, body)     \
    {#name,   slots,        FNN_STEP_ELEMENTS,   FNN_OPTIMIZER_##name, \
     numbers, name##_first, name##_coefficients, name##_when},
#define VARIANT(name, of, when, slots, body) \
    {#name, slots, FNN_STEP_ELEMENTS, FNN_OPTIMIZER_##of, NULL, of##_first, of##_coefficients, name##_when},
#define DIRECTION(name, slots, step, numbers, first, coefficients, body) \
    {#name,   slots,        FNN_STEP_##step,     FNN_OPTIMIZER_##name,   \
     numbers, name##_first, name##_coefficients, name##_when},
const fnn_optimizer_line fnn_optimizer_table[FNN_OPTIMIZERS] = {
#include "optimizers.def"
};

int fnn_optimizer_variant(int optimizer, const double *p)
{
    int found = optimizer;
    for (int i = optimizer; i < FNN_OPTIMIZERS && fnn_optimizer_table[i].of == optimizer; i++)
        if (fnn_optimizer_table[i].when(p))
            found = i;
    return found;
}
