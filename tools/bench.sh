#!/bin/sh
# Builds and runs every benchmark, one after the other: the binaries of bench/CMakeLists.txt, then the scripts bench/*.py
# with the release binary. Results also go to build/bench-results/; docs/results.md says how to read them.
set -eu
cd -- "$(dirname -- "$0")/.."

./run build-preset bench
./run build-preset release busbar
mkdir -p build/bench-results
for binary in build/bench/bench/*_bench; do
  name=$(basename "$binary")
  printf '== %s\n' "$name"
  "$binary" --benchmark_out="build/bench-results/$name.json" --benchmark_out_format=json
done
printf '== control_scale\n'
build/bench/bench/control_scale | tee build/bench-results/control_scale.txt
for script in bench/*.py; do
  printf '== %s\n' "$script"
  BUSBAR_BIN="$PWD/build/release/bin/busbar" python3 "$script"
done
