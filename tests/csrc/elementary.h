/* The functions of elementary.def on arrays, for one instruction set each. */
#ifndef ELEMENTARY_H
#define ELEMENTARY_H
#include <stddef.h>

enum {
#define FUNCTION(name, limit, where, exact, call) FUNCTION_##name,
#include "elementary.def"
    FUNCTIONS
};

/* out[i] = f(x[i]) for i < n, a multiple of 16; x and out: (n,), of the table's type */
typedef void elementary_function(size_t n, const void *x, void *out);
typedef struct elementary_table {
    const char *isa;
    elementary_function *f32[FUNCTIONS], *f64[FUNCTIONS];
} elementary_table;

extern const elementary_table elementary_generic, elementary_avx2, elementary_avx512, elementary_neon;
#endif
