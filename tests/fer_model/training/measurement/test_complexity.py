"""Multiply-adds and parameters of networks whose cost is known."""

import logging

import pytest
import torch
from torch import nn

from fer_model.networks.classifiers import classifier_network
from fer_model.training.measurement.complexity import complexity, efficiency


def test_one_classifier_costs_what_the_published_table_builds_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        cost = complexity(classifier_network())
    assert cost.gmacs == 0.023210688
    assert 2 * cost.gmacs == 0.046421376
    assert cost.parameters == 4_015_939
    assert not caplog.records, "what is not counted is no news"


def test_a_small_network_is_counted_as_by_hand() -> None:
    cost = complexity(nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Flatten(), nn.Linear(4 * 46 * 46, 7)))
    assert cost.gmacs == (4 * 9 * 46 * 46 + 4 * 46 * 46 * 7) / 1e9
    assert cost.parameters == 4 * 9 + 4 * 46 * 46 * 7 + 7


def test_counting_leaves_the_answers_as_they_are() -> None:
    network, face = classifier_network().eval(), torch.rand(1, 1, 48, 48)
    with torch.inference_mode():
        before = network(face)
    complexity(network)
    with torch.inference_mode():
        assert torch.equal(network(face), before)


def test_efficiency_is_the_published_one() -> None:
    assert efficiency(68.74, 0.046421376) == pytest.approx(14.81, abs=0.005)
