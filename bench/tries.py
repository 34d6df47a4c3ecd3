"""Ratios of times that are promised not to exceed a limit, on machines that others use too."""

TRIES = 3


def best_ratio(measure, limit):
    """Measure up to three times, and stop where the limit is kept.

    Parameters
    ----------
    measure : callable
        Returns two times; the first divided by the second is the ratio.
    limit : float

    Returns
    -------
    float
        The least ratio.
    int
        How often it was measured.
    """
    best = float("inf")
    for done in range(1, TRIES + 1):
        time, reference = measure()
        best = min(best, time / reference)
        if best <= limit:
            return best, done
    return best, TRIES
