"""Registers, stack and shared memory of every kernel as ptxas reports them, held to what is recorded.

    registers.py FOLDER_OF_REPORTS KERNELS_FOLDER RECORD NVCC_VERSION [--update]

FOLDER_OF_REPORTS holds <file>.o.ptxas.txt for every <file>.cu of KERNELS_FOLDER. RECORD has a line per kernel template:
the most registers that any of its instances takes, per architecture, and for the few with a stack frame its bytes and
the reason. Fails on a spill, on a stack frame that is not listed or is larger, on more registers than recorded (by the
same nvcc: others allocate otherwise), and on a kernel without a line. --update writes RECORD anew; the reason of a
stack frame is then written into it by hand.
"""
import collections
import pathlib
import re
import subprocess
import sys

ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<arch>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?:(?!\n).)*?(?:(?P<shared>\d+) bytes smem|\n)", re.DOTALL)


class Kernel:
    """The most of everything over the instances of one template."""

    def __init__(self):
        self.instances, self.registers, self.stack, self.spill, self.shared = 0, {}, 0, 0, 0

    def add(self, entry):
        self.instances += 1
        self.registers[entry["arch"]] = max(self.registers.get(entry["arch"], 0), int(entry["registers"]))
        self.stack = max(self.stack, int(entry["stack"]))
        self.spill = max(self.spill, int(entry["stores"]), int(entry["loads"]))
        self.shared = max(self.shared, int(entry["shared"] or 0))


def short_names(mangled):
    """void fer::cuda::(anonymous namespace)::cast_kernel<float>(fer::cuda::CastArgs) -> cast_kernel"""
    out = subprocess.run(["c++filt"], input="\n".join(mangled), capture_output=True, text=True, check=True).stdout
    return [re.match(r"(?:void )?(?:\w+::)*(\w+)", line.replace("(anonymous namespace)::", ""))[1]
            for line in out.splitlines()]


def read_reports(folder, sources):
    kernels = collections.defaultdict(Kernel)
    for source in sorted(sources.glob("*.cu")):
        text = (folder / f"{source.stem}.o.ptxas.txt").read_text()
        entries = list(ENTRY.finditer(text))
        assert len(entries) == text.count("Compiling entry function"), f"ptxas reports in other words: {source.name}"
        for entry, name in zip(entries, short_names([e["name"] for e in entries])):
            kernels[source.stem, name].add(entry)
    return kernels


def read_record(path, nvcc):
    """{(file, kernel): ({arch: registers}, stack, reason)}; no registers if another nvcc counted them."""
    record, archs = {}, []
    for line in path.read_text().splitlines() if path.exists() else []:
        words = line.split()
        if words[0] == "file":
            archs = words[2:]
        elif words[0] != "#":
            n = 2 + len(archs)
            stack = int(words[n + 1]) if words[n:] else 0
            record[words[0], words[1]] = (dict(zip(archs, map(int, words[2:n]))), stack, " ".join(words[n + 2:]))
        elif words[1] == "nvcc" and words[2] != nvcc:
            print(f"recorded with nvcc {words[2]}, this is {nvcc}: registers are not compared")
            return {key: ({}, *rest) for key, (_, *rest) in read_record(path, words[2]).items()}
    return record


def names_of_archs(kernels):
    return sorted({arch for k in kernels.values() for arch in k.registers})


def columns(file, name, cells):
    return f"{file:20} {name:34}" + "".join(f"{cell:>8}" for cell in cells)


def write_record(path, kernels, record, nvcc):
    archs = names_of_archs(kernels)
    rows = ["# The most registers of any instance of a kernel; written by registers.py --update.", f"# nvcc {nvcc}",
            columns("file", "kernel", archs)]
    for (file, name), k in sorted(kernels.items()):
        row = columns(file, name, [k.registers[arch] for arch in archs])
        if k.stack:
            row += f"  stack {k.stack} " + (record.get((file, name), ({}, 0, ""))[2] or "(why?)")
        rows.append(row)
    path.write_text("\n".join(rows) + "\n")


def complaints(key, kernel, record):
    if key not in record:
        yield "has no line in the record (--update)"
    registers, stack, reason = record.get(key, ({}, 0, ""))
    if kernel.spill:
        yield f"spills {kernel.spill} bytes"
    if kernel.stack > stack:
        yield f"has a stack frame of {kernel.stack} bytes, {stack} are listed"
    if kernel.stack and reason in ("", "(why?)"):
        yield "has a stack frame without a reason"
    for arch, most in registers.items():
        if kernel.registers.get(arch, 0) > most:
            yield f"takes {kernel.registers[arch]} registers on {arch}, more than {most}"


def main(folder, sources, record_path, nvcc, *options):
    kernels = read_reports(pathlib.Path(folder), pathlib.Path(sources))
    path = pathlib.Path(record_path)
    if "--update" in options:
        write_record(path, kernels, read_record(path, nvcc), nvcc)
    record = read_record(path, nvcc)
    archs = names_of_archs(kernels)
    print(columns("file", "kernel", [*archs, "stack", "spill", "shared", "count"]))
    for (file, name), k in sorted(kernels.items()):
        print(columns(file, name, [*(k.registers.get(a, "") for a in archs), k.stack, k.spill, k.shared, k.instances]))
    wrong = [f"{file}.cu: {name} {text}" for (file, name), k in sorted(kernels.items())
             for text in complaints((file, name), k, record)]
    wrong += [f"{file}.cu: {name} is recorded, but not there (--update)" for file, name in record.keys() - kernels.keys()]
    print("\n".join(wrong))
    print(f"{len(kernels)} kernels, {sum(k.instances for k in kernels.values())} instances on {', '.join(archs)}: "
          f"{sum(k.spill > 0 for k in kernels.values())} spill, {sum(k.stack > 0 for k in kernels.values())} with a stack "
          f"frame, {max(r for k in kernels.values() for r in k.registers.values())} registers at most")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
