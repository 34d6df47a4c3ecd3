/* A barrier: spin a little, then yield the core. Every thread passes the size of the team that was really granted. */
#ifndef FASTNN_BARRIER_H
#define FASTNN_BARRIER_H
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define FNN_PAUSE() _mm_pause()
#elif defined(__aarch64__)
#define FNN_PAUSE() __asm__ volatile("yield")
#else
#define FNN_PAUSE() (void)0
#endif

enum { FNN_CACHE_LINE = 64 };

/* Each on a cache line of its own, by distance and not by _Alignas: a barrier may be part of a Python object, whose memory is aligned to
   16 bytes only. */
typedef struct fnn_barrier {
    char before[FNN_CACHE_LINE];
    atomic_int arrived;
    char behind_arrived[FNN_CACHE_LINE];
    atomic_int generation;
    char behind_generation[FNN_CACHE_LINE];
    atomic_int flag; /* a decision of one thread that others may see at any time */
    char behind_flag[FNN_CACHE_LINE];
    atomic_size_t next; /* of the jobs of a phase that whoever is free takes */
    char behind[FNN_CACHE_LINE];
} fnn_barrier;

static inline void fnn_barrier_init(fnn_barrier *b)
{
    atomic_init(&b->arrived, 0);
    atomic_init(&b->generation, 0);
    atomic_init(&b->flag, 0);
    atomic_init(&b->next, 0);
}

static inline void fnn_flag_set(fnn_barrier *b, int value)
{
    atomic_store_explicit(&b->flag, value, memory_order_relaxed);
}
static inline int fnn_flag_get(fnn_barrier *b)
{
    return atomic_load_explicit(&b->flag, memory_order_relaxed);
}

/* Jobs 0, 1, ... of a phase; set back between two phases, which a barrier keeps apart. */
static inline void fnn_jobs_reset(fnn_barrier *b)
{
    atomic_store_explicit(&b->next, 0, memory_order_relaxed);
}
static inline size_t fnn_jobs_take(fnn_barrier *b)
{
    return atomic_fetch_add_explicit(&b->next, 1, memory_order_relaxed);
}

/* A thread's share of a phase's jobs: it takes them piece by piece, and so does who has finished a share of its own. Set between two
   phases, which a barrier keeps apart. */
typedef struct fnn_share {
    _Alignas(FNN_CACHE_LINE) atomic_size_t next;
    size_t end;
} fnn_share;

static inline void fnn_share_set(fnn_share *s, size_t first, size_t end)
{
    atomic_store_explicit(&s->next, first, memory_order_relaxed);
    s->end = end;
}
/* The first job of a piece; the share's end, or more, if there is none left. */
static inline size_t fnn_share_take(fnn_share *s, size_t piece)
{
    size_t next = atomic_load_explicit(&s->next, memory_order_relaxed);
    return next < s->end ? atomic_fetch_add_explicit(&s->next, piece, memory_order_relaxed) : next;
}

/* spins: before the first yield; 0 where threads exceed cores */
static inline void fnn_barrier_wait(fnn_barrier *b, int team, int spins)
{
    if (team == 1)
        return;
    int generation = atomic_load_explicit(&b->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) == team - 1) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&b->generation, generation + 1, memory_order_release);
        return;
    }
    while (atomic_load_explicit(&b->generation, memory_order_acquire) == generation) {
        if (spins > 0) {
            spins--;
            FNN_PAUSE();
        } else {
            sched_yield();
        }
    }
}
#endif
