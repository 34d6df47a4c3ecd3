/* One instruction set's elementary functions: SIMD is the name of its header, ISA its own. */
#include SIMD

#include "elementary.h"
#include "vec.h"

#define TYPE f32
#define REAL float
#include "vec_math.h"
#define LOOP(name, call)                                             \
    static void P(name##_loop)(size_t n, const void *x_, void *out_) \
    {                                                                \
        const REAL *p = x_;                                          \
        REAL *out = out_;                                            \
        for (size_t i = 0; i < n; i += LANES) {                      \
            vec x = v_load(p + i);                                   \
            v_store(out + i, call);                                  \
        }                                                            \
    }
#define FUNCTION(name, limit, where, exact, call) LOOP(name, call)
#include "elementary.def"
#undef TYPE
#undef REAL

#define TYPE f64
#define REAL double
#include "vec_math.h"
#define FUNCTION(name, limit, where, exact, call) LOOP(name, call)
#include "elementary.def"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define TABLE_(isa) elementary_##isa
#define TABLE(isa) TABLE_(isa)
const elementary_table TABLE(ISA) = {
    .isa = TEXT(ISA),
#define FUNCTION(name, limit, where, exact, call) .f32[FUNCTION_##name] = f32_##name##_loop,
#include "elementary.def"
#define FUNCTION(name, limit, where, exact, call) .f64[FUNCTION_##name] = f64_##name##_loop,
#include "elementary.def"
};
