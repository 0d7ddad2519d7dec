"""Trains a small convolutional network on the UCI digits with DistributedDataParallel, and survives a restart.

Started by torchrun (examples/digits.yaml); also runs alone: python3 digits.py. Needs PyTorch and NumPy only.
"""

import argparse
import gzip
import os
import pathlib
import sys
import time

import numpy
import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "sdk" / "python"))  # Under busbar the SDK is on the path already.
import busbar  # noqa: E402

# The data is 1,797 images of 8 x 8 pixels with values 0 to 16; every fifth is kept for the test.
TEST_EVERY = 5
CHANNELS = (32, 64)
HIDDEN = 128


def load_digits(path):
    with gzip.open(path, "rt") as file:
        table = numpy.loadtxt(file, delimiter=",", dtype=numpy.float32)
    images = torch.from_numpy(table[:, :64] / 16.0).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(table[:, 64].astype(numpy.int64))
    is_test = torch.arange(len(labels)) % TEST_EVERY == 0
    return images[~is_test], labels[~is_test], images[is_test], labels[is_test]


def make_model():
    return nn.Sequential(
        nn.Conv2d(1, CHANNELS[0], 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(CHANNELS[0], CHANNELS[1], 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(CHANNELS[1] * 16, HIDDEN),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(HIDDEN, 10),
    )


def flops_per_sample():
    """Two FLOPs a multiply-add; the backward pass costs twice the forward pass."""
    multiply_adds = (
        64 * CHANNELS[0] * 9 + 64 * CHANNELS[0] * CHANNELS[1] * 9 + CHANNELS[1] * 16 * HIDDEN + HIDDEN * 10
    )
    return 3 * 2 * multiply_adds


def shift(images, generator):
    """Moves a batch by up to one pixel: the cheapest augmentation that helps on digits."""
    down, right = torch.randint(0, 3, (2,), generator=generator).tolist()
    return nn.functional.pad(images, (1, 1, 1, 1))[:, :, down : down + 8, right : right + 8]


def save(path, state):
    """By a rename, so that a checkpoint is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        right = (model(images).argmax(dim=1) == labels).sum().item()
    model.train()
    return right / len(labels)


class Resumed:
    """Where a run stands: at the beginning, or at the last checkpoint of an earlier attempt."""

    def __init__(self, path, model, optimizer):
        self.epoch = 0
        self.step = 0
        is_first_attempt = os.environ.get("BUSBAR_ATTEMPT") == "1"
        if path.exists() and not is_first_attempt:
            state = torch.load(path, map_location="cpu")
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            self.epoch = state["epoch"]
            self.step = state["step"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch", type=int, default=32, help="of each process")
    parser.add_argument("--data", type=pathlib.Path, default=HERE / "data" / "digits.csv.gz")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(busbar.checkpoint_dir("output/digits")))
    parser.add_argument("--checkpoint-every", type=int, default=5, help="epochs")
    return parser.parse_args()


def main():
    options = parse_arguments()
    is_distributed = "RANK" in os.environ
    if is_distributed:
        torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank() if is_distributed else 0
    world = torch.distributed.get_world_size() if is_distributed else 1

    torch.manual_seed(7)
    images, labels, test_images, test_labels = load_digits(options.data)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    # Each job has a folder of its own; a restart of the same job finds its checkpoint there.
    output = options.output / ("job-" + os.environ.get("BUSBAR_JOB_ID", "local"))
    checkpoint_path = output / "checkpoint.pt"
    resumed = Resumed(checkpoint_path, model, optimizer)
    parallel = DistributedDataParallel(model) if is_distributed else model

    steps_per_epoch = len(labels) // (options.batch * world)
    total_steps = steps_per_epoch * options.epochs
    samples_per_step = options.batch * world
    busbar.init(total_steps=total_steps, first_step=resumed.step, samples=resumed.step * samples_per_step)
    if rank == 0:
        print(
            f"{len(labels)} images to train on, {len(test_labels)} to test, {world} processes, "
            f"epochs {resumed.epoch + 1} to {options.epochs}, {flops_per_sample()} FLOPs a sample",
            flush=True,
        )

    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    step = resumed.step
    for epoch in range(resumed.epoch, options.epochs):
        # The same order in every process, so that each takes its own share of it.
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(labels), generator=generator)
        learning_rate = 2e-3 * (1 - epoch / options.epochs) + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        begin = time.monotonic()
        for number in range(steps_per_epoch):
            first = (number * world + rank) * options.batch
            batch = order[first : first + options.batch]
            optimizer.zero_grad()
            loss = loss_of(parallel(shift(images[batch], generator)), labels[batch])
            loss.backward()
            optimizer.step()
            step += 1
            busbar.step(step=step, loss=loss.detach(), samples=samples_per_step, learning_rate=learning_rate)
        if rank == 0:
            speed = steps_per_epoch * samples_per_step / (time.monotonic() - begin)
            print(f"epoch {epoch + 1}/{options.epochs}  loss {loss.item():.4f}  {speed:.0f} samples/s", flush=True)
        is_last = epoch + 1 == options.epochs
        if rank == 0 and (is_last or (epoch + 1) % options.checkpoint_every == 0):
            with busbar.checkpoint(checkpoint_path):
                save(
                    checkpoint_path,
                    {
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "epoch": epoch + 1,
                        "step": step,
                    },
                )

    if rank == 0:
        result = accuracy(model, test_images, test_labels)
        save(output / "model.pt", model.state_dict())
        busbar.metric(test_accuracy=result)
        print(f"test accuracy {result:.4f}", flush=True)
        print(f"model saved to {output / 'model.pt'}", flush=True)
    if is_distributed:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
