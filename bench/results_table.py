#!/usr/bin/env python3
"""Writes the tables of bench/README.md from the newest files of each device in bench/results/.

    python3 bench/results_table.py            # writes
    python3 bench/results_table.py --check    # ends with 1 if it would change anything
"""

import json
import pathlib
import statistics
import sys

BENCH = pathlib.Path(__file__).parent
BEGIN, END = "<!-- results: bench/results_table.py -->\n", "<!-- end of results -->\n"


def series(results):
    """{(phase, model, batch, precision): {framework: [rows]}} of what was repeated."""
    found = {}
    for row in results["benchmarks"]:
        if row["run_type"] == "iteration" and not row["name"].startswith(("cold/", "plan/")):
            key = (row["phase"], row["model"], row["batch"], row["precision"])
            found.setdefault(key, {}).setdefault(row["framework"], []).append(row)
    return found


def rate(rows):
    """Images per second: the median, the least and the most of the repetitions."""
    rates = sorted(row["items_per_second"] for row in rows)
    return f"{statistics.median(rates):.1f} ({rates[0]:.1f}–{rates[-1]:.1f})"


def median_rate(rows):
    return statistics.median(row["items_per_second"] for row in rows)


def peak(rows):
    return f"{max(row['peak_memory_bytes'] for row in rows) / 1e6:.0f}"


def title(path, results):
    row = results["benchmarks"][0]
    date, commit = path.stem.split("-side")[0].rsplit("-", 1)
    return f"**{row['device']}**, {date}, commit {commit}: [rows](results/{path.parent.name}/{path.name})\n"


def own_table(path, results):
    lines = [title(path, results), "| network | phase | batch | images/s | % of limit | peak MB |", "|---|---|---:|---:|---:|---:|"]
    for (phase, model, batch, _), frameworks in series(results).items():
        rows = next(iter(frameworks.values()))
        limit = 100 * rows[0]["limit_ms"] / statistics.median(row["real_time"] for row in rows)
        lines.append(f"| `{model}` | {phase} | {batch} | {rate(rows)} | {limit:.0f} | {peak(rows)} |")
    return lines


def beside_table(path, results):
    found = series(results)
    names = sorted({name for frameworks in found.values() for name in frameworks}, key=lambda name: (not name.startswith("fer"), name))
    lines = [title(path, results),
             "| network | phase | batch | " + " | ".join(f"{name}, images/s" for name in names) + " | ratio | "
             + " | ".join(f"{name}, MB" for name in names) + " |",
             "|---|---|---:|" + "---:|" * (2 * len(names) + 1)]
    for (phase, model, batch, _), frameworks in found.items():
        theirs = [median_rate(rows) for name, rows in frameworks.items() if not name.startswith("fer")]
        ours = median_rate(frameworks[names[0]])
        cells = [rate(frameworks[name]) if name in frameworks else "-" for name in names]
        memory = [peak(frameworks[name]) if name in frameworks else "-" for name in names]
        lines.append(f"| `{model}` | {phase} | {batch} | " + " | ".join(cells) + f" | {ours / max(theirs):.2f} | "
                     + " | ".join(memory) + " |")
    return lines


def tables():
    text = []
    for folder in sorted(path for path in (BENCH / "results").iterdir() if path.is_dir()):
        files = [(path, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
        files = [(path, results) for path, results in files
                 if isinstance(results, dict) and results.get("schema") == "fer-bench/1" and results["benchmarks"]]
        for beside, table in ((False, own_table), (True, beside_table)):
            newest = [file for file in files if file[0].stem.endswith("-side-by-side") == beside][-1:]
            for path, results in newest:
                text += table(path, results) + [""]
    return "\n".join(text)


def main():
    readme = BENCH / "README.md"
    before = readme.read_text()
    head, rest = before.split(BEGIN)
    after = head + BEGIN + "\n" + tables() + END + rest.split(END)[1]
    if "--check" in sys.argv:
        if after != before:
            sys.exit("bench/README.md is not what bench/results holds: python3 bench/results_table.py")
    elif after != before:
        readme.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
