#!/usr/bin/env python3
"""Counts instructions with callgrind and holds them against bench/instructions/baseline.json.

    python3 bench/instructions/count.py build/release/bin/instructions [--record]

More than the tolerance above the recorded number is an error: a regression, or a cost that is wanted and then recorded with
--record. Fewer is printed. Numbers are of Debian 12's g++ with the preset `release`; times are not measured here.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys

BASELINE = pathlib.Path(__file__).with_name("baseline.json")
SKIPPED = 77


def count(program, section):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=counted_section",
               program, section]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not found or int(found[1]) == 0:
        sys.exit(f"{section} ended with {run.returncode}:\n{run.stderr}")
    return int(found[1])


def main():
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed (bash tools/setup.sh test)")
        return SKIPPED
    recorded = json.loads(BASELINE.read_text())
    failed = False
    for section, before in recorded["instructions"].items():
        now = count(sys.argv[1], section)
        change = 100 * (now / before - 1) if before else 0.0
        worse = change > recorded["tolerance_percent"]
        print(f"{section:<5} {now:>12,} instructions, recorded {before:>12,} ({change:+.1f} %)"
              + (", above the tolerance" if worse else ""))
        failed = failed or worse
        if "--record" in sys.argv:
            recorded["instructions"][section] = now
    if "--record" in sys.argv:
        BASELINE.write_text(json.dumps(recorded, indent=1) + "\n")
        return 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
