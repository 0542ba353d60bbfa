"""The rows of bench/side_by_side.sh as one JSON file and one Markdown table in bench/results/<cpu>/."""

import datetime
import json
import pathlib
import re
import statistics
import sys


def merge(rows):
    """Rounds of one measurement: the median of the rounds' medians, the widest of their deciles."""
    rates = [row["images_per_s"] for row in rows]
    return {
        "images_per_s": statistics.median(rate["median"] for rate in rates),
        "p10": min(rate["p10"] for rate in rates),
        "p90": max(rate["p90"] for rate in rates),
        "peak_rss_mb": max(row["peak_rss_mb"] for row in rows),
        "rounds": len(rows),
    }


def load(folder, prefix):
    groups = {}
    for path in sorted(folder.glob(f"{prefix}-*.json")):
        for row in json.loads(path.read_text()):
            if row.get("best", True):  # of the two layouts PyTorch is measured in, the faster one counts
                groups.setdefault((row["model"], row["phase"]), []).append(row)
    return groups


def main():
    folder, commit = pathlib.Path(sys.argv[1]), sys.argv[2]
    ours, theirs = load(folder, "fer"), load(folder, "torch")
    first = next(iter(theirs.values()))[0]
    cpu, threads, batch = first["cpu"], first["threads"], first["batch"]
    date = datetime.date.today().isoformat()
    title = f"{cpu}, {threads} threads, batch {batch}, float32, {date}, commit {commit}, PyTorch {first['torch']}"
    lines = [title, "", "| model | phase | fer images/s | PyTorch images/s | ratio | fer peak MB | PyTorch peak MB |",
             "|---|---|---|---|---|---|---|"]
    rows = []
    for key in ours:
        a, b = merge(ours[key]), merge(theirs[key])
        ratio = a["images_per_s"] / b["images_per_s"]
        lines.append(f"| {key[0]} | {key[1]} | {a['images_per_s']:.1f} ({a['p10']:.1f}-{a['p90']:.1f}) | "
                     f"{b['images_per_s']:.1f} ({b['p10']:.1f}-{b['p90']:.1f}) | {ratio:.2f} | "
                     f"{a['peak_rss_mb']:.0f} | {b['peak_rss_mb']:.0f} |")
        rows.append({"model": key[0], "phase": key[1], "fer": a, "pytorch": b, "ratio": ratio})
    name = re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-")
    target = pathlib.Path(__file__).parent / "results" / name
    target.mkdir(parents=True, exist_ok=True)
    table = "\n".join(lines) + "\n"
    stem = f"{date}-{commit}-b{batch}"
    (target / f"{stem}.md").write_text(table)
    (target / f"{stem}.json").write_text(json.dumps({"title": title, "rows": rows}, indent=1) + "\n")
    print(table)
    print(f"saved {target}/{stem}.md and .json")


if __name__ == "__main__":
    main()
