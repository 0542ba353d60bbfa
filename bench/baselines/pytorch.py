#!/usr/bin/env python3
"""PyTorch's training and inference throughput and peak memory on the CPU, for the seven 48x48 networks and the
inference of two pretrained trunks at 224x224.

    python -m venv pytorch && pytorch/bin/pip install torch numpy
    pytorch/bin/python bench/baselines/pytorch.py --threads 2 --models custom_cnn simpler_cnn --json pytorch.json

The modules are those tests/golden/check_with_pytorch.py holds against Keras: float32, dropout on, L2 as weight decay of
the kernels that have it, Adam with epsilon 1e-7 (PyTorch's placement of epsilon, fused implementation). Batches are
random and resident in memory: no loading is timed. A model runs in processes of its own, one per layout, so that peak
memory is its own; of the two layouts the faster one is reported, phase by phase. `others` is how many cores other
processes kept busy: a measurement is repeated while it is high, and counts only where it is near 0.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
sys.path.insert(0, str(GOLDEN))

from networks import CLASS_COUNT, INPUT_SHAPE, NETWORKS  # noqa: E402

TRUNKS = ("resnet50v2_tl", "mobilenetv2_tl")
PHASES = ("train", "infer")
CALM = 0.1  # cores that others may use before a measurement is repeated
# Without these glibc maps and unmaps every activation, step after step, and the kernel zeroes its pages each time:
# simpler_cnn trained at 259 images/s, with them at 400 (2 cores of an EPYC with AVX-512, PyTorch 2.15, November 2026).
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000000"}


def peak_rss_mb():
    """High-water mark of this process; ru_maxrss would inherit the parent's across exec."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmHWM in /proc/self/status")


def busy_seconds():
    """(of the machine, of this process): processor time since they started."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:2])


def time_steps(step, warmup, steps):
    """Seconds of each step after the warm-up, and the cores that other processes kept busy meanwhile."""
    for _ in range(warmup):
        step()
    seconds = []
    machine, own = busy_seconds()
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    machine_after, own_after = busy_seconds()
    return seconds, max(0.0, (machine_after - machine) - (own_after - own)) / sum(seconds)


def measure(arguments):
    """One model, one layout, one phase, in this process: prints a JSON row."""
    import torch
    from torch.nn import functional

    torch.manual_seed(1)
    torch.set_num_threads(arguments.threads)
    name, phase, layout = arguments.measure
    memory_format = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    if name in TRUNKS:
        import trunks_pytorch

        module, tensors, (height, width, channels) = trunks_pytorch.build(name), [], (224, 224, 3)
    else:
        import networks_pytorch

        (module, tensors), (height, width, channels) = networks_pytorch.build(name, dropout=True, inplace=True), INPUT_SHAPE
    module = module.to(memory_format=memory_format)
    regularized = [t.value for t in tensors if t.l2]
    others = [p for p in module.parameters() if all(p is not r for r in regularized)]
    groups = [{"params": others}]
    if regularized:
        groups.append({"params": regularized, "weight_decay": 2 * next(t.l2 for t in tensors if t.l2)})
    optimizer = torch.optim.Adam(groups, lr=1e-4, eps=1e-7, fused=True)

    images = [torch.rand(arguments.batch, channels, height, width).to(memory_format=memory_format) for _ in range(4)]
    labels = [torch.randint(CLASS_COUNT, (arguments.batch,)) for _ in images]
    run = torch.compile(module) if arguments.compile else module
    done = 0

    def train():
        nonlocal done
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(run(images[done % len(images)]), labels[done % len(images)])
        loss.backward()
        optimizer.step()
        done += 1
        return loss.item()  # a training loop reports its loss

    def infer():
        nonlocal done
        with torch.inference_mode():
            torch.softmax(run(images[done % len(images)]), 1)
        done += 1

    module.train(phase == "train")
    seconds, other_cores = time_steps(train if phase == "train" else infer, arguments.warmup, arguments.steps)
    rates = sorted(arguments.batch / s for s in seconds)
    deciles = statistics.quantiles(rates, n=10, method="inclusive") if len(rates) > 1 else rates * 9
    print(json.dumps({
        "model": name, "phase": phase, "batch": arguments.batch, "threads": arguments.threads,
        "images_per_s": {"median": statistics.median(rates), "p10": deciles[0], "p90": deciles[8]},
        "step_ms": 1e3 * statistics.median(seconds), "steps": arguments.steps, "warmup": arguments.warmup,
        "peak_rss_mb": peak_rss_mb(), "other_cores": round(other_cores, 2), "torch": torch.__version__,
        "layout": layout, "compiled": arguments.compile,
    }))


def measure_apart(arguments, name, phase, layout):
    command = [sys.executable, __file__, "--measure", name, phase, layout]
    for option in ("batch", "threads", "steps", "warmup"):
        command += [f"--{option}", str(getattr(arguments, option))]
    command += ["--compile"] * arguments.compile
    environment = os.environ | ({} if arguments.plain_malloc else KEEP_MEMORY)
    attempts = []
    while len(attempts) < arguments.attempts and all(row["other_cores"] > CALM for row in attempts):
        child = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if child.returncode != 0:
            sys.exit(f"{name} {phase} {layout} failed with status {child.returncode}:\n{child.stderr}")
        attempts.append(json.loads(child.stdout.splitlines()[-1]) | {"plain_malloc": arguments.plain_malloc})
    return min(attempts, key=lambda row: row["other_cores"])


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=[*NETWORKS, *TRUNKS], default=list(NETWORKS), metavar="MODEL")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, help="default: the better of both")
    parser.add_argument("--compile", action="store_true", help="torch.compile (needs a C++ compiler)")
    parser.add_argument("--plain-malloc", action="store_true", help="leave glibc's allocator as it is")
    parser.add_argument("--attempts", type=int, default=3, help=f"while others use more than {CALM} cores")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.batch, arguments.threads, arguments.steps, arguments.attempts) < 1 or arguments.warmup < 0:
        parser.error("batch, threads, steps and attempts are at least 1, warmup at least 0")
    if arguments.measure:
        return measure(arguments)

    layouts = {None: ("nchw", "nhwc"), True: ("nhwc",), False: ("nchw",)}[arguments.channels_last]
    rows = []
    print(f"{processor()}, {arguments.threads} threads, batch {arguments.batch}, float32, {arguments.steps} steps")
    print(f"{'model':<14} {'phase':<6} {'layout':<6} {'img/s':>8} {'p10':>8} {'p90':>8} {'ms/step':>9} {'peak MB':>8}"
          f" {'others':>7}  slower layout")
    for name in arguments.models:
        for phase in arguments.phases:
            tried = [measure_apart(arguments, name, phase, layout) for layout in layouts]
            tried.sort(key=lambda row: row["step_ms"])
            best, slower = tried[0], tried[1:]
            rate = best["images_per_s"]
            print(f"{name:<14} {phase:<6} {best['layout']:<6} {rate['median']:>8.1f} {rate['p10']:>8.1f}"
                  f" {rate['p90']:>8.1f} {best['step_ms']:>9.1f} {best['peak_rss_mb']:>8.0f}"
                  f" {best['other_cores']:>7.2f}  "
                  + " ".join(f"{row['layout']} {row['images_per_s']['median']:.1f}" for row in slower), flush=True)
            rows += [row | {"best": row is best, "cpu": processor()} for row in tried]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
