"""What fer-bench writes is what bench/schema.json says, what is committed in bench/results is too, and bench/README.md shows it.

    python3 tests/cli/bench_schema.py build/release/bin/fer-bench
"""

import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed (bash tools/setup.sh test)")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
# By which Google Benchmark's compare.py finds and weighs a row.
GOOGLE = ("name", "run_type", "real_time", "cpu_time", "time_unit")


def main():
    validator = jsonschema.Draft7Validator(json.loads((ROOT / "bench" / "schema.json").read_text()))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "results.json"
        subprocess.run([sys.argv[1], "run", "--models", "simpler_cnn", "--width", "0.05", "--batch", "1", "--device", "cpu",
                        "--duration", "0.02", "--warmup-ms", "0", "--json", str(path)], check=True, capture_output=True)
        fresh = json.loads(path.read_text())
    validator.validate(fresh)
    assert fresh["benchmarks"] and all(key in row for row in fresh["benchmarks"] for key in GOOGLE)
    for key in ("real_time", "device", "batch"):  # the schema is able to refuse
        broken = json.loads(json.dumps(fresh))
        del broken["benchmarks"][0][key]
        assert not validator.is_valid(broken), f"a row without {key} passes"
    files = [file for file in sorted((ROOT / "bench" / "results").rglob("*.json"))
             if json.loads(file.read_text()).get("schema", "").startswith("fer-bench/")]
    for file in files:
        validator.validate(json.loads(file.read_text()))
    subprocess.run([sys.executable, str(ROOT / "bench" / "results_table.py"), "--check"], check=True)
    print(f"{len(fresh['benchmarks'])} fresh rows and {len(files)} committed files")


if __name__ == "__main__":
    main()
