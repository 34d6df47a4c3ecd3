/* Whether AMX may be used. No instruction of it stands here. */
#define _DEFAULT_SOURCE /* syscall */
#include "kernels.h"

#if defined(FASTNN_HAVE_AMX)
#if !defined(FASTNN_AMX_MODEL)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux keeps tile data for a process only after it has asked: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA). */
static int amx_granted(void)
{
    enum { REQUEST = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24, osxsave = 1u << 27;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & osxsave))
        return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (amx_bf16 | amx_tile)) != (amx_bf16 | amx_tile))
        return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low >> 17 & 3) != 3) /* tile configuration and tile data */
        return 0;
    /* palette 1: tiles of 1024 bytes in rows of 64, eight of them, of 16 rows */
    if (!__get_cpuid_count(0x1d, 1, &a, &b, &c, &d) || (a >> 16) < 1024 || (b & 0xffff) < 64 ||
        (b >> 16) < 8 || (c & 0xffff) < 16)
        return 0;
#if defined(SYS_arch_prctl)
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
    return 0;
#endif
}
#else
#include FASTNN_AMX_MODEL
#endif

/* One product of odd sizes, compared with the emulation: an emulator or a hypervisor may promise more than it keeps. */
static int product_is_right(const fnn_bf16_kernels *amx, const fnn_bf16_kernels *reference)
{
    enum { ROWS = 51, DEPTH = 21, WIDTH = 64, STRIDE = 24 };
    static const float weight[8] = {0.5f, -1.25f, 3.0f, 0.0625f, -7.0f, 1.0f, 0.75f, -0.375f};
    float x[ROWS][2 * DEPTH], w[2 * DEPTH][WIDTH], init[WIDTH], got[ROWS][WIDTH], expected[ROWS][WIDTH];
    fnn_pair a[ROWS][STRIDE], rows[2 * DEPTH][WIDTH / 2], b[WIDTH / 16][DEPTH][16];
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < 2 * DEPTH; k++)
            x[i][k] = weight[(i * 5 + k * 3) % 8];
    for (int k = 0; k < 2 * DEPTH; k++)
        for (int j = 0; j < WIDTH; j++)
            w[k][j] = weight[(k * 7 + j + (k >> 2)) % 8];
    for (int j = 0; j < WIDTH; j++)
        init[j] = weight[j % 8];
    reference->narrow(ROWS, 2 * DEPTH, NULL, x[0], 2 * DEPTH, a[0], STRIDE);
    reference->narrow(2 * DEPTH, WIDTH, NULL, w[0], WIDTH, rows[0], WIDTH / 2);
    reference->interleave(2 * DEPTH, WIDTH, rows[0], WIDTH / 2, b[0][0], DEPTH * 16);
    reference->product(ROWS, 4, DEPTH, a[0], STRIDE, b[0][0], 16, DEPTH * 16, init, expected[0], WIDTH, 16,
                       FNN_STORE, NULL, 0);
    amx->enter();
    amx->product(ROWS, 4, DEPTH, a[0], STRIDE, b[0][0], 16, DEPTH * 16, init, got[0], WIDTH, 16, FNN_STORE,
                 NULL, 0);
    amx->leave();
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < WIDTH; j++)
            if (got[i][j] != expected[i][j]) /* exact in every order: multiples of 1/256 below 2^12 */
                return 0;
    return 1;
}

int fnn_amx_works(const fnn_bf16_kernels *amx, const fnn_bf16_kernels *reference)
{
    static int known; /* 0: not asked, 1: no, 2: yes; always the same answer, so a race is harmless */
    if (!known)
        known = amx_granted() && product_is_right(amx, reference) ? 2 : 1;
    return known == 2;
}
#endif
