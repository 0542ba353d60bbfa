"""Which lines of the kernels the instrumented tests ran, per file and in total.

    coverage.py FOLDER_OF_OBJECTS KERNELS_FOLDER GCOV LEAST_PERCENT
    coverage.py FOLDER_OF_OBJECTS --clear

Reads what programs compiled with --coverage left beside the object files. A line of a template, or of a header, counts
as run if any instance of it was. Fails below LEAST_PERCENT in total. --clear forgets earlier runs.
"""
import collections
import json
import pathlib
import subprocess
import sys


def counts(gcov, data_files, kernels):
    """{file: {line: whether it ran}}"""
    lines = collections.defaultdict(lambda: collections.defaultdict(bool))
    out = subprocess.run([gcov, "--json-format", "--stdout", *data_files], capture_output=True, text=True, check=True)
    for text in out.stdout.splitlines():
        for file in json.loads(text)["files"]:
            path = pathlib.Path(file["file"])
            if path.parent == kernels and path.suffix in (".cu", ".cuh"):
                for line in file["lines"]:
                    lines[path.name][line["line_number"]] |= line["count"] > 0
    return lines


def ranges(numbers):
    """[3, 4, 5, 9] -> 3-5, 9"""
    out = []
    for n in numbers:
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in out)


def main(objects, kernels, gcov=None, least=None):
    data_files = sorted(pathlib.Path(objects).rglob("*.gcda"))
    if kernels == "--clear":
        for file in data_files:
            file.unlink()
        return 0
    lines = counts(gcov, data_files, pathlib.Path(kernels))
    missing = {p.name for p in pathlib.Path(kernels).glob("*.cu")} - lines.keys()
    for file, of_file in sorted(lines.items()):
        ran = sum(of_file.values())
        idle = ranges(n for n, run in sorted(of_file.items()) if not run)
        print(f"{file:24}{len(of_file):6} lines {100 * ran / len(of_file):6.1f} %  {'not run: ' if idle else ''}{idle}")
    for file in sorted(missing):
        print(f"{file:24} no test ran it")
    ran, all_lines = sum(sum(f.values()) for f in lines.values()), sum(len(f) for f in lines.values())
    rate = 100 * ran / max(1, all_lines)
    print(f"{ran} of {all_lines} lines of {len(lines)} files ran, {rate:.1f} % (least {float(least):g})")
    return 1 if missing or rate < float(least) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
