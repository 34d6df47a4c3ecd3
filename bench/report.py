"""Tables and the picture of a run of all peers."""

import json
import platform
import shlex
from collections import defaultdict

from bench.peers import PEERS
from bench.side_by_side import DISTURBED, KEYS, TRAININGS, Results
from fastnn._bench.tables import text
from fastnn._bench.workloads import INFERENCES

OURS = ("fastnn", "fastnn bf16")


def command(words):
    """The command line of a run, without where its figures went."""
    kept = list(words)
    for option in ("--json", "--save"):
        while option in kept:
            at = kept.index(option)
            value = at + 1 < len(kept) and not kept[at + 1].startswith("--")
            del kept[at : at + 1 + value]
    return " ".join(["python -m bench", *(shlex.quote(word) for word in kept)])


def merged(files):
    """The report of several runs, from their files; of what was measured twice, the later figure counts."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    rows = {(row["key"], row["threads"], row["peer"]): row for run in runs for row in run["measured"]}
    order = sorted(rows, key=lambda row: (KEYS.index(row[0]), row[1]))
    results = Results([rows[row] for row in order], complete=all(run["complete"] for run in runs))
    for run in runs:
        results.left_out += [row for row in run["left_out"] if row not in results.left_out]
        for name in ("missing", "versions", "imports"):
            getattr(results, name).update(run[name])
    return Report(results, runs[0]["machine"], "`, `".join(run["command"] for run in runs))


class Report:
    """A run's `results` and the machine's `limits`, for people to read."""

    def __init__(self, results, limits, command):
        self.results, self.limits, self.command = results, limits, command
        self.rows = defaultdict(dict)  # key: {(peer, threads): measured}
        for row in results.measured:
            self.rows[row["key"]][row["peer"], row["threads"]] = row
        self.teams = sorted({row["threads"] for row in results.measured})

    def as_dict(self):
        """Everything, for a file."""
        return {"command": self.command, "machine": self.limits, **vars(self.results)}

    def markdown(self):
        """The page."""
        return "\n".join([*self.head(), *self.summary(), *self.workloads(), *self.absent()]) + "\n"

    def head(self):
        yield from (
            "# Benchmarks",
            "",
            "fastnn beside other libraries, each in a process of its own, on the same cores, in turns within",
            "one run; every one in its best setting, as `bench/peers/` says and explains. Whole epochs of",
            "`fit`, shuffling included, divided by their steps; float32 unless the name says bf16. Medians",
            "of the rounds, with the quartiles' half distance. The losses of a short training, unshuffled,",
            "are held against a float64 loop first. The line under a table is written by the same program,",
            "whoever wins.",
            "",
            f"Made by `{self.command}`. Ratios carry over to other machines; times do not.",
            "",
            "| the machine | |",
            "|---|---|",
        )
        for name, value in self.limits.items():
            yield f"| {name} | {value} |"
        yield f"| Python | {platform.python_version()} |"
        for name, version in self.results.versions.items():
            yield f"| {name} | {version}, imported in {self.results.imports[name]:.1f} s |"

    def summary(self):
        """One line a workload: who is fastest, and fastnn beside it."""
        yield from ("", "## In short", "", "Each at whichever number of threads is faster.", "")
        yield "| | network | batch or rows | fastnn µs | fastest peer | its µs | times faster |"
        yield "|---|---|---|---|---|---|---|"
        for key in self.rows:
            network, rows = title(key)
            ours, peer = self.best(key, OURS), self.best(key, [name for name in PEERS if name not in OURS])
            cells = [key, network, rows]
            cells += [f"{text(ours['median'])}{suffix(ours)}"] if ours else ["not yet"]
            cells += [f"{peer['peer']}{suffix(peer)}", text(peer["median"])] if peer else ["none", "-"]
            cells += [f"**{text(peer['median'] / ours['median'])}**" if ours and peer else "-"]
            yield "| " + " | ".join(cells) + " |"

    def best(self, key, peers, threads=None):
        """The fastest row of those peers, without what does less than the workload asks."""
        rows = [
            row
            for (name, team), row in self.rows[key].items()
            if name in peers and threads in (None, team) and not row["note"]
        ]
        return min(rows, key=lambda row: row["median"], default=None)

    def workloads(self):
        for key in self.rows:
            network, rows = title(key)
            unit = (
                "a call"
                if key in INFERENCES
                else "a step"
                if TRAININGS[key].models == 1
                else "a step of all models"
            )
            yield from ("", f"## {key}: {network}, {rows}", "")
            heads = [
                f"{'1 thread' if team == 1 else f'{team} threads'}, µs {unit} | ±" for team in self.teams
            ]
            yield "| " + " | ".join(["peer", *heads, "compile s", "loss error", "remarks"]) + " |"
            yield "|---" * (4 + 2 * len(heads)) + "|"
            names = [name for name in PEERS if any(peer == name for peer, _ in self.rows[key])]
            for name in sorted(names, key=lambda name: self.best_of(key, name)):
                yield self.line(key, name)
            yield from ("", self.verdict(key))

    def best_of(self, key, name):
        return min(row["median"] for (peer, _), row in self.rows[key].items() if peer == name)

    def line(self, key, name):
        """A peer's line in a workload's table."""
        found = [self.rows[key].get((name, team)) for team in self.teams]
        cells = [name]
        for row in found:
            cells += [text(row["median"]), text((row["high"] - row["low"]) / 2)] if row else ["-", "-"]
        rows = [row for row in found if row]
        remarks = [rows[0]["note"]] if rows[0]["note"] else []
        remarks += sorted({setting(row["setting"]) for row in rows if row["setting"]})
        if key in TRAININGS and any(
            row["rows"] < max(r["rows"] for r in self.rows[key].values()) for row in rows
        ):
            remarks.append(f"on {rows[0]['rows']:,} rows")
        disturbed = max(row["disturbed"] for row in rows)
        if disturbed > DISTURBED:
            remarks.append(f"others kept {disturbed:.1f} cores busy")
        compile_seconds = max(row["compile_seconds"] for row in rows)
        cells += [f"{compile_seconds:.1f}", text(max(row["error"] for row in rows)), "; ".join(remarks)]
        return "| " + " | ".join(cells) + " |"

    def verdict(self, key):
        """Fastest peer, and how many times faster fastnn is."""
        said = []
        for team in [*self.teams, None] if len(self.teams) > 1 else self.teams:
            ours, peer = self.best(key, OURS, team), self.best(key, [n for n in PEERS if n not in OURS], team)
            where = "At best" if team is None else f"On {team} thread{'s' * (team > 1)}"
            if ours and peer:
                ratio = peer["median"] / ours["median"]
                said.append(
                    f"{where}, the fastest peer is {peer['peer']}; "
                    f"{ours['peer']} is {text(ratio)} times as fast."
                )
            elif peer:
                said.append(f"{where}, the fastest is {peer['peer']}.")
        return " ".join(said)

    def absent(self):
        """What is missing, and why."""
        yield from ("", "## What is missing", "")
        if not self.results.complete:
            yield "- The run was interrupted: what it had not come to is not here."
        elif not self.results.missing and not self.results.left_out:
            yield "Nothing."
        for name, reason in self.results.missing.items():
            yield f"- {name}: not here ({reason})"
        reasons = defaultdict(list)
        for one in self.results.left_out:
            places = reasons[one["peer"], one["reason"]]
            if one["key"] not in places:
                places.append(one["key"])
        for (name, reason), keys in reasons.items():
            yield f"- {name}, {', '.join(keys)}: {reason}"

    def save(self, folder):
        """Write ``benchmarks.md`` and, where matplotlib is, ``benchmarks.png``."""
        folder.mkdir(parents=True, exist_ok=True)
        page = self.markdown()
        try:
            self.draw(folder / "benchmarks.png")
            page = page.replace(
                "\n## In short\n", "\n![Times as a multiple of fastnn's](benchmarks.png)\n\n## In short\n"
            )
        except ImportError:
            print("no picture: matplotlib is not installed")
        (folder / "benchmarks.md").write_text(page, encoding="utf-8")

    def draw(self, path):
        """Each peer's time as a multiple of fastnn's, a dot for each workload."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        keys = [key for key in self.rows if self.best(key, OURS)]
        figure, axes = pyplot.subplots(figsize=(10, 0.45 * len(keys) + 1.8), layout="constrained")
        peers = [
            name
            for name in PEERS
            if name != "fastnn" and any((name, t) in self.rows[k] for k in keys for t in self.teams)
        ]
        colours = pyplot.get_cmap("tab20")
        for i, name in enumerate(peers):
            points = [(self.ratio(key, name), at) for at, key in enumerate(keys)]
            points = [point for point in points if point[0]]
            axes.scatter(*zip(*points, strict=True), s=42, color=colours(i % 20), label=name, alpha=0.85)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log")
        axes.set_yticks(range(len(keys)), [f"{key}  {', '.join(title(key))}" for key in keys])
        axes.invert_yaxis()
        axes.set_xlabel("time as a multiple of fastnn's (float32), each at its better number of threads")
        axes.grid(axis="x", alpha=0.3)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        figure.savefig(path, dpi=110)
        pyplot.close(figure)

    def ratio(self, key, name):
        ours, other = (
            self.best(key, ["fastnn"]),
            [r for (peer, _), r in self.rows[key].items() if peer == name],
        )
        return min(row["median"] for row in other) / ours["median"] if ours and other else None


def title(key):
    """Network, and batch or rows."""
    if key in INFERENCES:
        rows = INFERENCES[key].rows
        return INFERENCES[key].network, f"{rows:,} row{'s' * (rows > 1)}"
    workload = TRAININGS[key]
    return workload.network, f"batch {workload.batch:,}"


def suffix(row):
    """The peer's reduced precision and number of threads, where they need saying."""
    bf16 = ", bf16" if row["peer"] == "fastnn bf16" else ""
    return f" ({row['threads']} thread{'s' * (row['threads'] > 1)}{bf16})"


def setting(options):
    return ", ".join(f"{name}={value}" for name, value in options.items())
