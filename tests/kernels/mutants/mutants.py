"""Breaks the kernels at one place at a time and asks whether a test notices.

    mutants.py FOLDER_OF_PROGRAMS SEEDED_FOLDER [--sample N | --retry] [--jobs J] [--match TEXT] [--least PERCENT]

Without an option every mutant runs; --retry takes those that the last full run left alive; --match those whose file or
text contains TEXT; --sample N of them, the same ones every time, from every file and of every kind.

A mutant is run against the tests that reach its place, the quickest first, until one fails, crashes or does not end.
What survives test_mutants is tried again in test_mutants_instrumented, which sees races and accesses out of bounds,
except in a sample, for which that program need not be built.
equivalent.txt lists mutants that cannot change a result, each with its reason: they are not counted, and a sample
leaves them out. The status is 0 only if at least PERCENT of the others are caught, and none of the equivalents is.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
SHARDS = 8  # of the run that finds out what reaches what: the emulator keeps a list of all allocations of a process


class Tests:
    """The tests of one program, and which of them reach a place."""

    def __init__(self, program, slower):
        self.program, self.slower, self.ran = program, slower, False
        self.ms, self.of_place = {}, collections.defaultdict(list)
        self.passed = set()  # groups of tests that did, with no mutant

    def find_out(self, cache, pool):
        def run_shard(shard):
            part = cache.with_suffix(f".{shard}")
            more = environment(FER_MUTANT_REACH=part, GTEST_TOTAL_SHARDS=SHARDS, GTEST_SHARD_INDEX=shard)
            subprocess.run([self.program, "--gtest_brief=1"], check=True, stdout=subprocess.DEVNULL, env=more)
            text = part.read_text()
            part.unlink()
            return text

        if not cache.exists() or cache.stat().st_mtime < self.program.stat().st_mtime:
            cache.write_text("".join(pool.map(run_shard, range(SHARDS))))
        self.ran = True
        for line in cache.read_text().splitlines():
            test, ms, *places = line.split()
            self.ms[test] = int(ms)
            for place in places:
                self.of_place[int(place)].append(test)
        for tests in self.of_place.values():
            tests.sort(key=self.ms.get)

    def groups(self, place):
        tests, size = list(self.of_place[place]), 1
        while tests:
            yield tests[:size]
            del tests[:size]
            size *= 5

    def verdict(self, place):
        """How the mutant was caught, or None."""
        for group in self.groups(place):
            how = self.run(group, place)
            if how and not self.passes(group):
                raise RuntimeError(f"{self.program.name} with no mutant: not all pass of {group}")
            if how:
                return how
        return None

    def passes(self, group):
        """Whether the tests of a group pass with no mutant. find_out() saw to it for the program that it ran."""
        if not self.ran and tuple(group) not in self.passed and self.run(group, -1) is None:
            self.passed.add(tuple(group))
        return self.ran or tuple(group) in self.passed

    def run(self, group, place):
        """How the tests of a group ended with a mutant: None if they passed."""
        seconds = int(self.slower * (5 + sum(map(self.ms.get, group)) / 100))

        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        command = [self.program, "--gtest_brief=1", "--gtest_fail_fast", "--gtest_filter=" + ":".join(group)]
        try:
            status = subprocess.run(command, env=environment(FER_MUTANT=place), stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, preexec_fn=limit, timeout=20 * seconds).returncode
        except subprocess.TimeoutExpired:
            return "hung"
        return None if status == 0 else "failed" if status == 1 else "hung" if status in (-9, -24) else "crashed"


def environment(**more):
    return {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in more.items()}}


def sample(points, size):
    """From every (file, kind) in turn, in an order that depends on the text of a point alone."""
    groups = collections.defaultdict(list)
    for p in sorted(points, key=lambda p: hashlib.sha1((p["file"] + p["text"]).encode()).digest()):
        groups[p["file"], p["kind"]].append(p)
    chosen = []
    while len(chosen) < size and any(groups.values()):
        chosen += [group.pop(0) for group in groups.values() if group]
    return chosen[:size]


def read_equivalents():
    lines = (HERE / "equivalent.txt").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return {(file, text): reason for file, text, reason in rows}


def describe(p):
    return f"kernels/{p['file']}:{p['line']}: {p['text']}"


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("seeded", type=pathlib.Path)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--retry", action="store_true")
    parser.add_argument("--match", default="")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--least", type=float, default=95)
    return parser.parse_args()


def main():
    args, begin = arguments(), time.monotonic()
    pool = concurrent.futures.ThreadPoolExecutor(args.jobs)
    plain = Tests(args.programs / "test_mutants", slower=1)
    instrumented = Tests(args.programs / "test_mutants_instrumented", slower=4)
    plain.find_out(args.seeded / "reach.txt", pool)
    instrumented.ms, instrumented.of_place = plain.ms, plain.of_place
    print(f"{len(plain.ms)} tests pass with no mutant, {time.monotonic() - begin:.0f} s")

    points = json.loads((args.seeded / "points.json").read_text())
    equivalents = read_equivalents()
    unknown = equivalents.keys() - {(p["file"], p["text"]) for p in points}
    alive_file = args.seeded / "alive.json"
    if args.retry:
        alive = set(json.loads(alive_file.read_text()))
        points = [p for p in points if p["id"] in alive]
    points = [p for p in points if args.match in describe(p)]
    if args.sample:
        points = sample([p for p in points if (p["file"], p["text"]) not in equivalents], args.sample)

    def verdict_of(p):
        return plain.verdict(p["id"]) or (None if args.sample else instrumented.verdict(p["id"]))

    for p, verdict in zip(points, pool.map(verdict_of, points)):
        p["verdict"] = verdict
        if verdict is None and (p["file"], p["text"]) not in equivalents:
            print("alive:", describe(p), "" if plain.of_place[p["id"]] else "(no test comes here)", flush=True)
    if not args.sample and not args.match:
        alive_file.write_text(json.dumps([p["id"] for p in points if p["verdict"] is None]))
    return report(points, equivalents, unknown, args.least, time.monotonic() - begin)


def report(points, equivalents, unknown, least, seconds):
    wrong = 0
    for file, text in unknown:
        print(f"equivalent.txt: no such place: {file} | {text}")
        wrong += 1
    for p in points:
        if (p["file"], p["text"]) in equivalents and p["verdict"]:
            print(f"equivalent.txt: but {p['verdict']}: {describe(p)}")
            wrong += 1
    counted = [p for p in points if p["verdict"] or (p["file"], p["text"]) not in equivalents]
    print(f"{'kind':12}{'mutants':>9}{'caught':>9}{'alive':>9}{'equivalent':>12}")
    for kind in ["barrier", "wait", "bound", "index", "arithmetic"]:
        of_kind = [p for p in counted if p["kind"] == kind]
        caught = sum(p["verdict"] is not None for p in of_kind)
        same = sum(p["kind"] == kind for p in points) - len(of_kind)
        print(f"{kind:12}{len(of_kind):9}{caught:9}{len(of_kind) - caught:9}{same:12}")
    caught = sum(p["verdict"] is not None for p in counted)
    how = collections.Counter(p["verdict"] for p in counted if p["verdict"])
    rate = 100 * caught / max(1, len(counted))
    print(f"{caught} of {len(counted)} mutants caught, {rate:.1f} % (least {least:g}): "
          f"{', '.join(f'{n} {what}' for what, n in sorted(how.items()))}. "
          f"{len(points) - len(counted)} equivalent ones left out. {seconds:.0f} s")
    return 1 if wrong or rate < least else 0


if __name__ == "__main__":
    sys.exit(main())
