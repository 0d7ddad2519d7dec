#!/bin/sh
# Builds and runs every benchmark: the binaries *_bench and the scripts bench/*.sh and bench/*.py, one after the other.
# Results go to build/bench-results/; docs/results.md says how to read them.
set -eu
cd -- "$(dirname -- "$0")/.."

configured=build/bench/build.ninja
if [ ! -f "$configured" ]; then
  cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -g1" -DBUSBAR_BENCH=ON \
    -DBUSBAR_TESTS=OFF >build/configure-bench.log
fi
./run build-preset bench
mkdir -p build/bench-results
find build/bench -type f -name '*_bench' -perm -u+x | sort | while read -r binary; do
  name=$(basename "$binary")
  echo "== $name"
  "$binary" --benchmark_out="build/bench-results/$name.json" --benchmark_out_format=json
done
for script in bench/*.sh bench/*.py; do
  [ -x "$script" ] || continue
  echo "== $script"
  BUSBAR_BIN="$PWD/build/bench/bin/busbar" "$script"
done
