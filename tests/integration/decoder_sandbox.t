#!/usr/bin/python3
"""What a decoder process must not do ends it; and it is of no use by hand."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import BUILD, SLOW, done, equal, ok, skip_all

PROGRAM = os.path.join(BUILD, "bin", "sightline-decode")
if SLOW > 1:
    skip_all("a sanitizer's runtime is allowed more")

for what in ("socket", "exec", "fork", "thread", "kill", "trace", "code", "descriptor", "open"):
    result = subprocess.run([PROGRAM, "--try", what], capture_output=True, check=False, timeout=20)
    equal(result.returncode, -signal.SIGSYS, f"{what}: killed at the system call")
result = subprocess.run([PROGRAM, "--try", "memory"], capture_output=True, check=False, timeout=20)
equal(result.returncode, 1, "more memory than it may have: refused")
result = subprocess.run([PROGRAM, "--try", "fly"], capture_output=True, check=False, timeout=20)
equal(result.returncode, 2, "what is no try says so")
result = subprocess.run([PROGRAM], capture_output=True, text=True, check=False, timeout=20)
ok(result.returncode == 2 and "started by the server" in result.stderr, "by hand it says who starts it")
done()
