"""Turns what bench_kernels and bench_ladder wrote into DATE-COMMIT-kernels.json and .md.

    python3 bench/kernel_table.py --driver 580.1 --commit abc1234 --out bench/results/nvidia-h200 FILE.json...

The Markdown sums up each kernel, then lists the bf16 cases and those of kernels that have no bf16; the JSON has all.
"""

import argparse
import datetime
import json
import pathlib
import statistics


def row_of(benchmark):
    """One case: "conv2d_fwd/bf16/custom_cnn/conv2d_3", or with its rung in front of the arithmetic."""
    parts = benchmark["name"].split("/iterations:")[0].split("/")
    kinds = {"f32", "tf32", "f16", "bf16", "u8", "i64", "f64"}
    at = next(i for i, part in enumerate(parts) if part in kinds)
    row = {
        "kernel": "/".join(parts[:at]),
        "arithmetic": parts[at],
        "layer": "/".join(parts[at + 1:]),
        "shape": benchmark.get("label", ""),
    }
    if benchmark.get("error_occurred"):
        return row | {"error": benchmark.get("error_message", "")}
    rounded = lambda key: float(f"{benchmark[key]:.4g}")
    return row | {
        "us": float(f"{benchmark['real_time']:.4g}"),
        "min_us": rounded("min_us"),
        "p90_us": rounded("p90_us"),
        "launches": int(benchmark["launches"]),
        "bytes": int(benchmark["bytes"]),
        "flops": int(benchmark["flops"]),
        "GB/s": rounded("GB/s"),
        "TFLOP/s": rounded("TFLOP/s"),
        "of_peak": rounded("of_peak"),
    }


def rate(row):
    return f"{row['TFLOP/s']:.3g} TFLOP/s" if row["flops"] else f"{row['GB/s']:.4g} GB/s"


def summary(rows):
    lines = ["| kernel | cases | % of peak: least | median | most |", "|---|---|---|---|---|"]
    kernels = {}
    for row in rows:
        kernels.setdefault(row["kernel"], []).append(100 * row["of_peak"])
    for kernel, shares in kernels.items():
        lines.append(f"| {kernel} | {len(shares)} | {min(shares):.0f} | {statistics.median(shares):.0f} | {max(shares):.0f} |")
    return lines


def listing(rows):
    lines = ["| kernel | | layer | shape | µs | rate | % of peak |", "|---|---|---|---|---|---|---|"]
    with_bf16 = {row["kernel"] for row in rows if row["arithmetic"] == "bf16"}
    for row in rows:
        if row["arithmetic"] == "bf16" or row["kernel"] not in with_bf16:
            lines.append(f"| {row['kernel']} | {row['arithmetic']} | {row['layer']} | {row['shape']} | {row['us']:.4g} "
                         f"| {rate(row)} | {100 * row['of_peak']:.0f} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--driver", default="unknown")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    arguments = parser.parse_args()

    rows, about = [], {}
    for file in arguments.files:
        content = json.loads(file.read_text())
        about = {key: value for key, value in content["context"].items() if key in
                 ("device", "cuda runtime", "batch", "l2", "empty launch", "peak bytes", "peak flops")} or about
        rows += [row_of(benchmark) for benchmark in content["benchmarks"]]
    about |= {"driver": arguments.driver, "commit": arguments.commit, "date": datetime.date.today().isoformat()}
    errors = [row for row in rows if "error" in row]
    good = [row for row in rows if "error" not in row]

    head = ", ".join(f"{key} {about[key]}" for key in ("device", "driver", "cuda runtime", "batch", "date", "commit")
                     if key in about)
    lines = [head, "", "Medians of single launches from a cold L2. Peak: whichever takes a case longer of its bytes and "
             "its operations.", ""]
    lines += [f"- {key}: {about[key]}" for key in ("peak bytes", "peak flops", "empty launch", "l2") if key in about]
    lines += [f"- failed: {row['kernel']} {row['arithmetic']} {row['layer']}: {row['error']}" for row in errors]
    lines += [""] + summary(good) + [""] + listing(good)

    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"{about['date']}-{about['commit']}-kernels"
    (arguments.out / f"{name}.md").write_text("\n".join(lines) + "\n")
    body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (arguments.out / f"{name}.json").write_text(f'{{"about": {json.dumps(about)},\n"rows": [\n{body}\n]}}\n')
    print(f"{len(good)} cases, {len(errors)} failed, in {arguments.out / name}.md and .json")


if __name__ == "__main__":
    main()
