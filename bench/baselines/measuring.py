"""What the baselines share: how long to measure, and rows in the form of fer-bench (bench/schema.json)."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
NETWORKS = ("custom_cnn", "simpler_cnn", "deeper_cnn", "residual_cnn", "separable_cnn", "gap_cnn", "new_model")
TRANSFER = ("vgg16_tl", "resnet50v2_tl", "mobilenetv2_tl", "resnet50_tl", "vgg16_fc_tl")
CLASSES = 7
L2 = 0.01


def side(model):
    """(height and width, channels) of a model's input; data are 48x48 grey images of uint8."""
    return (224, 3) if model in TRANSFER else (48, 1)


def peak_resident_bytes():
    """High-water mark of this process; ru_maxrss would inherit the parent's across exec."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def busy_seconds():
    """(of the machine, of this process): processor time since they started."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:2])


def processor():
    """As fer names it."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} threads"
    return platform.processor()


def repetitions(step, wait, arguments):
    """[(steps, wall, processor seconds, cores of others, [seconds of single steps])]. `wait` ends what is under way."""
    start = time.perf_counter()
    while True:  # the first steps set themselves up
        step()
        wait()
        if time.perf_counter() - start > arguments.warmup_ms * 1e-3:
            break
    start = time.perf_counter()
    step()
    wait()
    one = time.perf_counter() - start
    steps = max(1, int(arguments.duration / (arguments.repetitions * one)))
    found, begin = [], time.perf_counter()
    while len(found) < arguments.repetitions and (not found or time.perf_counter() - begin < arguments.duration):
        samples, (machine, own), first = [], busy_seconds(), time.perf_counter()
        for _ in range(steps):
            before = time.perf_counter()
            step()
            samples.append(time.perf_counter() - before)
        wait()
        wall = time.perf_counter() - first
        machine_after, own_after = busy_seconds()
        others = max(0.0, (machine_after - machine) - (own_after - own)) / wall
        found.append((steps, wall, own_after - own, others, samples if steps > 1 else [wall]))
    return found


def rows(found, cold_seconds, framework, case, more):
    """Rows of fer-bench: a repetition each, and the cold start."""
    name = f"{case['phase']}/{case['model']}/b{case['batch']}/{case['precision']}/{case['device_name']}"

    def row(name, index, count, steps, real_ms, cpu_ms):
        return {"name": name, "run_name": name, "run_type": "iteration", "repetitions": count,
                "repetition_index": index, "iterations": steps, "real_time": real_ms, "cpu_time": cpu_ms,
                "items_per_second": case["batch"] / real_ms * 1e3, "time_unit": "ms", "framework": framework,
                **case, **more}

    all_rows = []
    for index, (steps, wall, cpu, others, samples) in enumerate(found):
        one = row(name, index, len(found), steps, 1e3 * wall / steps, 1e3 * cpu / steps)
        all_rows.append(one | {"other_cores": round(others, 3), "samples_ms": [1e3 * s for s in samples[:30]]})
    return all_rows + [row(f"cold/{name}", 0, 1, 1, 1e3 * cold_seconds, 1e3 * cold_seconds)]


def parser(description):
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--models", type=lambda text: text.split(","), default=list(NETWORKS), help="or: all")
    options.add_argument("--phase", type=lambda text: text.split(","), default=["train", "infer"])
    options.add_argument("--batch", type=lambda text: [int(word) for word in text.split(",")], default=[64])
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--precision", choices=("fp32", "bf16"), help="default: fp32 on the CPU, bf16 on cuda")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--warmup-ms", type=float, default=200)
    options.add_argument("--duration", type=float, default=3, help="seconds per case; one repetition at least")
    options.add_argument("--repetitions", type=int, default=9)
    options.add_argument("--device-description", help="as fer-bench says it of the device, so that rows compare")
    options.add_argument("--json", type=pathlib.Path)
    options.add_argument("--measure", help=argparse.SUPPRESS)
    return options


def settle(options, arguments):
    """Checks and completes what was given."""
    if arguments.models == ["all"]:
        arguments.models = list(NETWORKS + TRANSFER)
    unknown = [model for model in arguments.models if model not in NETWORKS + TRANSFER]
    if unknown or min(arguments.batch + [arguments.threads, arguments.repetitions]) < 1:
        options.error(f"unknown model {unknown[0]}" if unknown else "batch, threads and repetitions are at least 1")
    arguments.precision = arguments.precision or ("bf16" if arguments.device == "cuda" else "fp32")
    arguments.device_description = arguments.device_description or processor()


def apart(script, arguments, model, phase, batch, extra, environment):
    """The rows of one case, measured in a process of its own so that memory and cold start are its own."""
    given = [f"--{key.replace('_', '-')}={value}" for key, value in vars(arguments).items()
             if key in ("device", "precision", "threads", "warmup_ms", "duration", "repetitions", "device_description")]
    command = [sys.executable, script, *given, f"--models={model}", f"--phase={phase}", f"--batch={batch}",
               *["--augment"] * getattr(arguments, "augment", False), "--measure", extra]
    child = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    if child.returncode != 0:
        sys.exit(f"{model} {phase} {extra} ended with {child.returncode}:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def median_ms(case_rows):
    return statistics.median(row["real_time"] for row in case_rows if not row["name"].startswith("cold/"))


def print_row(case_rows):
    first, ms = case_rows[0], median_ms(case_rows)
    print(f"{first['name']:<40} {first['framework']:<36} {first['batch'] / ms * 1e3:>9.1f} img/s {ms:>9.2f} ms "
          f"{first['peak_memory_bytes'] / 1e6:>7.0f} MB", flush=True)


def write(path, environment, all_rows):
    context = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(), "host_name": platform.node(),
               "executable": sys.argv[0], "num_cpus": os.cpu_count(), "library_version": "", "caches": [],
               "library_build_type": "release", "fer": environment}
    path.write_text(json.dumps({"schema": "fer-bench/1", "context": context, "benchmarks": all_rows, "errors": []}) + "\n")
