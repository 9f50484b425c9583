#!/usr/bin/python3
"""clang-tidy over the sources of the build, each once for each text of it.

usage: tests/tidy.py [--jobs N] [BUILD [FILE...]]      (build/release; all of them)

What passed is remembered in BUILD/tidy/ by its content: the file, everything that it includes, the
command that compiles it, the checks and the tool. So a second run reads what has changed since, and
after a change of one file it takes seconds. A file that is compiled more than once (into the program
and into a plug-in) is read with the first command alone.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOMS = ("config", "gpu", "server", "storage")
TIDY = ["clang-tidy", "--quiet", "--extra-arg=-Wno-unknown-warning-option"]


def commands_of(build):
    """Source (relative to here) -> its first entry in the build's database."""
    entries = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]))
        if path.split("/")[0] in ROOMS:
            entries.setdefault(path, entry)
    return entries


def fingerprint(path, entry, base):
    """Of all that the verdict depends on; None when the file does not compile."""
    words = shlex.split(entry["command"])
    at = words.index("-o")
    words = [word for word in words[:at] + words[at + 2 :] if word != "-c"]
    text = subprocess.run(words + ["-E", "-P", "-D__clang_analyzer__"], cwd=entry["directory"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if text.returncode != 0:
        return None
    return hashlib.sha256(b"\0".join([base, shlex.join(words).encode(), text.stdout,
                                      pathlib.Path(path).read_bytes()])).hexdigest()


def silenced():
    """The NOLINT of the headers: comments of theirs are not in the preprocessed text."""
    return subprocess.run(["git", "grep", "-h", "NOLINT", "--", "*.h"], stdout=subprocess.PIPE,
                          check=False).stdout


def check(path, entry, base, memory):
    """(state, what clang-tidy said), with state "kept", "passed" or "failed"."""
    passed = memory / (path + ".passed")
    print_now = fingerprint(path, entry, base)
    if print_now is not None and passed.exists() and passed.read_text() == print_now:
        return "kept", ""
    answer = subprocess.run(TIDY + ["-p", str(memory), path], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if answer.returncode != 0:
        return "failed", answer.stdout
    if print_now is not None:
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.write_text(print_now)
    return "passed", ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("build", nargs="?", type=pathlib.Path, default="build/release")
    parser.add_argument("files", nargs="*")
    wanted = parser.parse_args()
    entries = commands_of(wanted.build)
    files = [os.path.relpath(name) for name in wanted.files] or sorted(entries)
    unknown = [name for name in files if name not in entries]
    if unknown:
        sys.exit("the build does not compile " + ", ".join(unknown))
    memory = wanted.build / "tidy"
    memory.mkdir(exist_ok=True)
    (memory / "compile_commands.json").write_text(json.dumps(list(entries.values())))
    base = pathlib.Path(".clang-tidy").read_bytes() + subprocess.run(
        ["clang-tidy", "--version"], stdout=subprocess.PIPE, check=True).stdout + silenced()
    count = {"kept": 0, "passed": 0, "failed": 0}
    with concurrent.futures.ThreadPoolExecutor(wanted.jobs) as pool:
        runs = {pool.submit(check, name, entries[name], base, memory): name for name in files}
        for run in concurrent.futures.as_completed(runs):
            state, said = run.result()
            count[state] += 1
            if state == "failed":
                print(said, end="", flush=True)
    print(f"{count['kept']} unchanged since they passed, {count['passed']} passed, "
          f"{count['failed']} failed")
    sys.exit(1 if count["failed"] else 0)


main()
