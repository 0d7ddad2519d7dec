"""Integrates 4 / (1 + x^2) from 0 to 1 in shares, one a process, and adds them up with PyTorch's allreduce: pi."""

import math
import os
import sys

import torch
import torch.distributed

STEPS = 2_000_000


def main():
    torch.distributed.init_process_group("gloo")  # Reads RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
    rank = torch.distributed.get_rank()
    world = torch.distributed.get_world_size()
    print(f"rank {rank} of {world}, local rank {os.environ['LOCAL_RANK']} on {os.uname().nodename}", flush=True)

    middles = (torch.arange(rank, STEPS, world, dtype=torch.float64) + 0.5) / STEPS
    share = (4 / (1 + middles * middles)).sum() / STEPS
    torch.distributed.all_reduce(share)
    torch.distributed.destroy_process_group()

    error = abs(share.item() - math.pi)
    if rank == 0:
        print(f"pi is {share.item():.12f}, off by {error:.1e}", flush=True)
    return 0 if error < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
