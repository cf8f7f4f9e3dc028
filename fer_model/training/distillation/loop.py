"""Trains several networks side by side in a given time: rates follow the clock, steps are CUDA graphs.

One thread feeds all networks, each on its own stream: a captured step is one launch, so that the host does not hold up
the device. Where there is no GPU the same step runs as it is written.
"""

import copy
import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fer_model.training.classifier import decay_groups

logger = logging.getLogger(__name__)

MEMORY = 32_000
"""Pictures that the averaged weights remember."""

CALM = 0.88
"""The share of the time after which the geometry is calmed, so that the last pictures look as faces are measured."""

AHEAD = 12
"""Rounds that the host may be ahead of the device: the rates must follow the clock."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What differs between networks: peak learning rate, weight decay, pictures a step, rows an epoch."""

    name: str
    learning_rate: float
    batch: int
    rows: int
    weight_decay: float = 0.05
    warmup: float = 0.05


class Course:
    """One network in training; `loss` gives a step's loss, from draws on the device alone."""

    def __init__(
        self, plan: Plan, network: nn.Module, loss: Callable[["Course"], Tensor], device: torch.device
    ) -> None:
        self.plan, self.device, self.loss = plan, device, loss
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.network).eval()
        self.on_gpu = device.type == "cuda"
        self.rate = torch.tensor(plan.learning_rate, device=device)
        self.strength = torch.ones((), device=device)
        self.follow = torch.tensor(0.5, device=device)
        self.last = torch.zeros((), device=device)
        groups = decay_groups(self.network, plan.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=self.rate, fused=True, capturable=self.on_gpu)
        self.steps = 0
        self.before_step: Callable[[], None] = lambda: None
        self.stream = torch.cuda.Stream() if self.on_gpu else None
        self.graph: Any = None

    def autocast(self) -> Any:
        """bfloat16 on a GPU; a captured step must not cache its casts."""
        return torch.autocast("cuda", torch.bfloat16, cache_enabled=False) if self.on_gpu else nullcontext()

    def step(self) -> None:
        """One step of the optimizer and of the averaged weights."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        with torch.no_grad():
            slow, live = (
                [each for each in network.state_dict().values() if each.is_floating_point()]
                for network in (self.average, self.network)
            )
            torch._foreach_add_(slow, torch._foreach_mul(torch._foreach_sub(live, slow), self.follow))
            self.last.copy_(loss.detach())

    def capture(self) -> None:
        """Runs a few steps, then records one as a graph; keeps to plain steps, with a warning, if that fails."""
        if not self.on_gpu:
            return
        torch.cuda.synchronize()
        self.rate.fill_(1e-5)
        with torch.cuda.stream(self.stream):
            for _ in range(4):
                self.before_step()
                self.step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.step()
            self.graph = graph
        except RuntimeError as error:
            logger.warning("%s: steps are not captured (%s)", self.plan.name, error)
            torch.cuda.synchronize()

    def advance(self, progress: float) -> None:
        """One step at `progress` 0..1 of the time."""
        with torch.cuda.stream(self.stream) if self.on_gpu else nullcontext():
            self.rate.fill_(max(self.plan.learning_rate * rate(progress, self.plan.warmup), 1e-7))
            self.strength.fill_(1.0 if progress < CALM else 0.35)
            self.follow.fill_(1 - min(math.exp(-self.plan.batch / MEMORY), self.steps / (self.steps + 10)))
            self.before_step()
            if self.graph is None:
                self.step()
            else:
                self.graph.replay()
        self.steps += 1

    @property
    def epochs(self) -> float:
        """Passes over the rows so far."""
        return self.steps * self.plan.batch / self.plan.rows


def rate(progress: float, warmup: float) -> float:
    """The learning rate's share of its peak: a linear rise in the first `warmup` of the time, then half a cosine."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def train(
    courses: list[Course], seconds: float, looks: int, look: Callable[[Course, float], None], began: float | None = None
) -> None:
    """Steps of all courses in turn until `seconds` have passed; `look(course, progress)` is called `looks` times."""
    on_gpu = courses[0].on_gpu
    began = time.monotonic() if began is None else began
    marks: list[Any] = []
    looked = 0
    while (progress := (time.monotonic() - began) / seconds) < 1:
        for course in courses:
            course.advance(progress)
        if on_gpu:
            marks.append([course.stream.record_event() for course in courses if course.stream])
            if len(marks) > AHEAD:
                for mark in marks.pop(0):
                    mark.synchronize()
        if progress * (looks + 1) > looked + 1:
            looked += 1
            _settle(on_gpu)
            for course in courses:
                look(course, progress)
    _settle(on_gpu)
    for course in courses:
        look(course, 1.0)


def _settle(on_gpu: bool) -> None:
    if on_gpu:
        torch.cuda.synchronize()
