#!/usr/bin/env python3
"""Recorded calls of a language model, played again through the gateway, nginx and haproxy: streams of as many tokens as the
record says, each request when it is due.

    bench/gateway/trace.py AzureLLMInferenceTrace_conv.csv[.xz] [--speed 1,10,50] [--seconds 20] [--rounds 3] [--json]

The format is that of the Azure LLM inference traces: TIMESTAMP,ContextTokens,GeneratedTokens. Prompts have the recorded
size. Shown is what each proxy adds to the first token and to the distance between tokens, beside the backend without one,
and its CPU time an event. Needs what traffic.py needs.
"""

import argparse
import json
import statistics
import sys

import traffic


def play(target, options, speed):
    result, used = traffic.load(target, "--model", "m", "--stream", "--trace", options.trace, "--speed", speed, "--seconds",
                                options.seconds, "--connections", options.connections)
    return {"requests": result["answered"], "events": result["events"], "most_open": result["most_open"],
            "first_mean_us": result["first"]["mean_us"], "first_p99_us": result["first"]["p99_us"],
            "gap_p99_us": result["gap"]["p99_us"], "cpu_us_per_event": used / result["events"] * 1e6}


def measure(targets, options):
    seen = {speed: {one.name: [] for one in targets} for speed in options.speed}
    for number in range(options.rounds):
        for speed in options.speed:
            for one in targets:
                print(f"round {number + 1} of {options.rounds}: {speed} times as fast, {one.name}", file=sys.stderr)
                seen[speed][one.name].append(play(one, options, speed))
    return {speed: {name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in each.items()}
            for speed, each in seen.items()}


def show(results):
    for speed, each in results.items():
        base = each["none"]
        print(f"{speed} times as fast: {base['requests']:.0f} requests, {base['events']:.0f} tokens, at most {base['most_open']:.0f} "
              f"at once, none failed; without a proxy the first token after {base['first_mean_us']:.0f} us")
        for name, one in each.items():
            if name == "none":
                continue
            print(f"  {name:8} adds to the first token {one['first_mean_us'] - base['first_mean_us']:6.0f} us (p99 "
                  f"{one['first_p99_us'] - base['first_p99_us']:6.0f}), to p99 between tokens {one['gap_p99_us'] - base['gap_p99_us']:6.0f}; "
                  f"CPU {one['cpu_us_per_event']:5.2f} us a token, {one['cpu_us_per_event'] / each['nginx']['cpu_us_per_event']:.2f} of nginx")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace")
    parser.add_argument("--speed", type=lambda text: [float(one) for one in text.split(",")], default=[1.0, 10.0, 50.0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=9000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = traffic.beside_each_other(lambda: traffic.Backend(event_us=20_000), 2 * options.connections,
                                        lambda targets: measure(targets, options))
    if options.json:
        print(json.dumps(results))
    else:
        show(results)


if __name__ == "__main__":
    main()
