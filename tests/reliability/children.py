"""Children of a process that has trained with threads: each trains too, ends, and has the same bits.

    python tests/reliability/children.py                     # 1000 children of each kind
    python tests/reliability/children.py --each 20 fork loky

A child that is not through after a minute counts as hung. The kinds: ``fork`` (some while another thread of
the parent trains), ``forkserver``, ``spawn``, and ``loky`` (joblib's). Every child is a process of its own.
"""

import argparse
import hashlib
import multiprocessing
import os
import sys
import threading
import time
import warnings

import numpy as np

import fastnn

WAYS = ("fork", "forkserver", "spawn", "loky")
SECONDS = 60  # that a child may take
AT_ONCE = 4


def trained(_=None):
    """Train, evaluate and predict on two threads; return a digest of what comes out."""
    fastnn.set_num_threads(2)
    fastnn.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 16)).astype("f4"), rng.normal(size=(300, 1)).astype("f4")
    model = fastnn.Sequential([fastnn.Input((16,)), fastnn.layers.Dense(64, "tanh"), fastnn.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, batch_size=150, verbose=0)
    out = model.predict(x, verbose=0).tobytes() + repr(model.evaluate(x, y, verbose=0)).encode()
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights()) + out).hexdigest()


def send(pipe):
    """What a child of multiprocessing does."""
    pipe.send(trained())
    pipe.close()


class Busy:
    """Another thread of this process, which makes and trains models meanwhile."""

    def __enter__(self):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        """Go on until it is over."""
        while not self.over.is_set():
            trained()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def by_multiprocessing(way, count):
    """Yield what each child sent; None for one that hung or broke."""
    context = multiprocessing.get_context(way)
    for start in range(0, count, AT_ONCE):
        children = []
        for _ in range(min(AT_ONCE, count - start)):
            receiving, sending = context.Pipe(duplex=False)
            child = context.Process(target=send, args=(sending,))
            child.start()
            sending.close()
            children.append((child, receiving))
        for child, pipe in children:
            try:
                yield pipe.recv() if pipe.poll(SECONDS) else None
            except EOFError:
                yield None
            child.join(SECONDS)
            if child.exitcode is None:
                child.kill()
                child.join()
                yield None


def by_loky(count):
    """Yield the same of executors of joblib's, each of as many processes as run at once."""
    from joblib.externals.loky import ProcessPoolExecutor

    for start in range(0, count, AT_ONCE):
        n = min(AT_ONCE, count - start)
        with ProcessPoolExecutor(max_workers=n) as pool:
            futures = [pool.submit(slowly, i) for i in range(n)]
            for future in futures:
                try:
                    yield future.result(timeout=SECONDS)
                except Exception:
                    yield None
            started = len(pool._processes or ())
        assert started == n, f"loky started {started} processes for {n} children"


def slowly(_):
    """A child's work, which leaves the others time to come: each takes one."""
    found = trained()
    time.sleep(0.1)
    return found


def run(way, count):
    """Return how many of so many children hung or broke, and how many came out with other bits."""
    expected = trained()
    if way == "loky":
        found = list(by_loky(count))
    else:
        found = list(by_multiprocessing(way, count - count // 4))
        if way == "fork":
            with Busy():
                found += by_multiprocessing(way, count // 4)
        else:
            found += by_multiprocessing(way, count // 4)
    assert trained() == expected, "the parent itself trains otherwise afterwards"
    return sum(f is None for f in found), sum(f not in (None, expected) for f in found)


def main():
    """Start the children, and say what became of them; the exit status is 0 if all are well."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("ways", nargs="*", help=f"of {', '.join(WAYS)} (all)")
    made.add_argument("--each", type=int, default=1000, metavar="N", help="children of each kind")
    asked = made.parse_args()
    if wrong := set(asked.ways) - set(WAYS):
        made.error(f"there is no kind {', '.join(sorted(wrong))}; there are {', '.join(WAYS)}")
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of forks beside threads
    failed = False
    for way in asked.ways or WAYS:
        began = time.perf_counter()
        hung, others = run(way, asked.each)
        took = time.perf_counter() - began
        print(
            f"{way}: {asked.each} children in {took:.0f} s, {hung} hung or broken, {others} with other bits",
            flush=True,
        )
        failed |= bool(hung or others)
    return failed


if __name__ == "__main__":
    sys.exit(main() and os.EX_SOFTWARE)
