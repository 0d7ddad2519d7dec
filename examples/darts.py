"""One member of an array job: estimates pi with random numbers of its own."""

import os
import random
import sys

DARTS = 300_000


def main():
    index = int(os.environ.get("BUSBAR_ARRAY_INDEX", "0"))
    generator = random.Random(index)
    hits = sum(generator.random() ** 2 + generator.random() ** 2 < 1 for _ in range(DARTS))
    estimate = 4 * hits / DARTS
    print(f"member {index}: {hits} of {DARTS} darts hit, pi is about {estimate:.4f}", flush=True)
    return 0 if abs(estimate - 3.1416) < 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
