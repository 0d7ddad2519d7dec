#!/bin/sh
# A whole job on this machine: starts `busbar up` on loopback, trains examples/digits.yaml in two containers, shows what came
# of it, and stops what it started. Called by ./run demo, after the build. BUSBAR_DEMO_DIR moves its state elsewhere.
set -eu
cd -- "$(dirname -- "$0")/.."

busbar=build/release/bin/busbar
home=${BUSBAR_DEMO_DIR:-$PWD/build/demo}
server_log=$home/server.log
server=
before=

# Ends the job if it still runs (containers outlive their server), then the server; both by what we started, no others.
clean_up() {
  code=$?
  trap - EXIT INT TERM HUP
  if [ -n "$server" ]; then
    if [ "$code" -ne 0 ]; then stop_job; fi
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  exit "$code"
}

stop_job() {
  job=$(newest_job)
  if [ "$job" = "$before" ]; then return 0; fi
  if "$busbar" --quiet stop --grace 2s "$job" >/dev/null 2>&1; then
    "$busbar" --quiet wait "$job" >/dev/null 2>&1 || true
  fi
}

fail() {
  printf 'demo: %s\n' "$*" >&2
  if [ -s "$server_log" ]; then
    printf 'demo: the end of %s:\n' "$server_log" >&2
    tail -n 15 "$server_log" >&2
  fi
  exit 1
}

newest_job() { "$busbar" ps --all --name digits --limit 1 --json 2>/dev/null | python3 -c '
import json, sys
jobs = json.load(sys.stdin)
jobs = jobs.get("jobs", []) if isinstance(jobs, dict) else jobs
print(jobs[0]["id"] if jobs else "")' 2>/dev/null || true; }

mkdir -p "$home"
: >"$server_log"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The server says on its standard output when it is ready; a pipe of ours waits for exactly that.
rm -f "$home/ready"
mkfifo "$home/ready"
BUSBAR_STATE_DIR=$home/state
export BUSBAR_STATE_DIR
"$busbar" up --listen 127.0.0.1:0 --state-dir "$BUSBAR_STATE_DIR" --set "run_dir=$home/run" >"$home/ready" 2>>"$server_log" &
server=$!
exec 3<"$home/ready"
rm -f "$home/ready"
if ! read -r line <&3; then fail "busbar up ended before it was ready"; fi
case "$line" in
  *"is ready"*) printf '%s\n' "$line" ;;
  *) fail "busbar up said: $line" ;;
esac

printf '\n$ busbar apply -f examples/digits.yaml --watch\n'
before=$(newest_job)
code=0
"$busbar" apply -f examples/digits.yaml --watch || code=$?
job=$(newest_job)
if [ "$code" -ne 0 ]; then
  if [ "$job" != "$before" ]; then "$busbar" logs --tail 20 "$job" >&2 || true; fi
  fail "the job did not succeed (exit code $code)"
fi

printf '\n$ busbar logs --task 0 --tail 2 %s\n' "$job"
"$busbar" logs --task 0 --tail 2 "$job"
accuracy=$("$busbar" logs --task 0 --tail 5 "$job" | sed -n 's/.*test accuracy \([0-9.]*\).*/\1/p')
if [ -z "$accuracy" ]; then fail "the log has no test accuracy"; fi
if ! awk -v got="$accuracy" 'BEGIN { exit got >= 0.95 ? 0 : 1 }'; then fail "test accuracy $accuracy is below 0.95"; fi

cat <<END

Test accuracy $accuracy. The server is stopped again; its state, the job's logs included, stays in $home/state.
Look at it later:  $busbar up --state-dir $home/state
             then  $busbar --state-dir $home/state describe $job
END
