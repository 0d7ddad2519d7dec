#!/usr/bin/env python3
"""What a reviewer should not have to say: layers, format, clang-tidy, self-contained headers, READMEs, file length.

    tools/lint.py [--all]     what changed since the last landing, or everything

Prints one line a finding; exit code 1 if there is any. Long files are warnings.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import changed

ROOT = changed.ROOT
BUILD = ROOT / "build" / "lint"
LINES_WARNED = 400
LINES_REFUSED = 600


def capture(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def configure():
    """A build folder for its compile_commands.json alone: without precompiled headers, which clang-tidy cannot read."""
    code, text = capture(["cmake", "-S", ".", "-B", str(BUILD), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug", "-DBUSBAR_PCH=OFF"])
    if code != 0:
        sys.exit(text)
    return {entry["file"]: entry for entry in json.loads((BUILD / "compile_commands.json").read_text())}


def check_layers():
    return capture(["python3", "tools/check_layers"])[1].splitlines()


def check_format(files):
    _, text = capture(["clang-format-19", "--dry-run", "-Werror", *files])
    return sorted({f"{match[1]}: not formatted; run ./run fmt" for match in re.finditer(r"^(\S+?):\d+:\d+: error:", text, re.M)})


def tidy_one(file):
    _, text = capture(["clang-tidy-19", "-p", str(BUILD), "--quiet", "--warnings-as-errors=*", file])
    found = re.findall(r"^(\S+?:\d+:\d+: (?:error|warning): .*)$", text, re.M)
    return [line.replace(str(ROOT) + "/", "") for line in found]


def check_header(header):
    """A header compiles on its own."""
    code, text = capture(["g++", "-std=c++20", "-fsyntax-only", "-x", "c++", "-Isrc", "-Wall", "-Wextra",
                          "-Wno-pragma-once-outside-header", header])
    return [] if code == 0 else [f"{header}: not self-contained: {text.strip().splitlines()[0]}"]


def check_readmes():
    folders = {path.parent for path in (ROOT / "src").glob("*/*.h")}
    found = []
    for folder in sorted(folders):
        readme = folder / "README.md"
        name = folder.relative_to(ROOT)
        if not readme.exists():
            found.append(f"{name}: has no README.md")
        elif len(readme.read_text().splitlines()) > 60:
            found.append(f"{name}/README.md: more than 60 lines")
    return found


def check_length(files):
    for file in files:
        lines = len((ROOT / file).read_text(encoding="utf-8").splitlines())
        if lines > LINES_REFUSED:
            yield f"{file}: {lines} lines; split it"
        elif lines > LINES_WARNED:
            print(f"warning: {file}: {lines} lines, think of splitting it")


def main():
    everything = "--all" in sys.argv[1:]
    files = changed.all_sources() if everything else changed.changed_sources()
    commands = configure()
    sources = [file for file in files if str(ROOT / file) in commands]
    headers = [file for file in files if file.endswith(".h") and file.startswith("src/")]
    findings = check_layers() + check_readmes() + list(check_length(files))
    if files:
        findings += check_format(files)
    print(f"lint: {len(sources)} sources, {len(headers)} headers", flush=True)
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for found in pool.map(check_header, headers):
            findings += found
        for found in pool.map(tidy_one, sources):
            findings += found
    for line in sorted(set(findings)):
        print(line)
    print(f"lint: {len(set(findings))} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
