"""Random numbers as training draws them.

Written from Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
"""

import numpy as np

WORD = 2**32 - 1


def philox(key, counters):
    """Philox4x32-10 of counters, an integer array (n, 4): words, (n, 4)."""
    c = [np.array(column, dtype=object) for column in np.asarray(counters, dtype=object).T]
    k0, k1 = key & WORD, key >> 32
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & WORD, (p0 >> 32) ^ c[3] ^ k1, p0 & WORD]
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return np.stack(c, axis=1).astype(np.uint64)


def row_words(columns, key, place, epoch, node):
    """The words of one row, in the order in which columns take them."""
    counters = (columns + 63) // 64 * 16  # four words each, in groups of 16
    found = philox(key, [(i, place, epoch, 2 + node) for i in range(counters)])
    return found.T.reshape(-1)


def dropped(rows, columns, key, epoch, node, rate):
    """Which elements dropout with this rate takes away in the first `rows` rows of an epoch."""
    words = np.array([row_words(columns, key, r, epoch, node)[:columns] for r in range(rows)])
    return words < np.uint64(min(int(rate * 2**32), WORD))


def normals(rows, columns, key, epoch, node, dtype):
    """Standard normal numbers, (rows, columns), by Box and Muller."""
    spare = 9 if dtype == np.float32 else 0
    found = []
    for r in range(rows):
        words = row_words(columns, key, r, epoch, node) >> np.uint64(spare)
        u = (words.astype(np.float64) + 0.5) / 2.0 ** (32 - spare)
        half = len(u) // 2
        radius, angle = np.sqrt(-2 * np.log(u[:half])), 2 * np.pi * (u[half:] - 0.5)
        found.append(np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:columns])
    return np.array(found)
