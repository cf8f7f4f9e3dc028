from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from fer_model.networks.classifiers import classifier_network
from fer_model.training.depthwise import LARGEST_MAP, QuickConvolution, quicken, weight_gradient


def depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 5, stride, 2, groups=channels, bias=False)


@settings(deadline=None, max_examples=60)
@given(
    side=st.integers(1, 9),
    stride=st.integers(1, 2),
    count=st.integers(1, 4),
    channels=st.integers(1, 5),
    last=st.booleans(),
)
def test_the_gradient_is_that_of_torch(side: int, stride: int, count: int, channels: int, last: bool) -> None:
    torch.manual_seed(side * 100 + stride * 10 + count)
    layer, maps = depthwise(channels, stride), torch.randn(count, channels, side, side)
    if last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    output = layer(maps)
    gradient = torch.randn_like(output)
    (expected,) = torch.autograd.grad(output, layer.weight, gradient)
    torch.testing.assert_close(weight_gradient(maps, gradient, stride), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [1, 2, 3, LARGEST_MAP, LARGEST_MAP + 1])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_quick_layer_gives_what_the_slow_one_gives(side: int, stride: int) -> None:
    torch.manual_seed(0)
    slow = depthwise(8, stride)
    quick = quicken(deepcopy(slow))
    maps = torch.randn(4, 8, side, side)
    results = []
    for layer in (slow, quick):
        seen = maps.clone().requires_grad_()
        output = layer(seen)
        output.square().sum().backward()
        results.append((output.detach(), seen.grad, layer.weight.grad))
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)


def test_the_gradient_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    weight = torch.randn(2, 1, 5, 5, dtype=torch.float64)
    maps, wanted = torch.randn(3, 2, 3, 3, dtype=torch.float64), torch.randn(3, 2, 2, 2, dtype=torch.float64)

    def value(kernel: Tensor) -> Tensor:
        return (functional.conv2d(maps, kernel, None, 2, 2, 1, 2) * wanted).sum()

    found = weight_gradient(maps, wanted, 2)
    for place in ((0, 0, 0, 0), (1, 0, 2, 2), (0, 0, 4, 1), (1, 0, 3, 4)):
        step = torch.zeros_like(weight)
        step[place] = 1e-3
        expected = (value(weight + step) - value(weight - step)) / 2e-3
        torch.testing.assert_close(found[place], expected, check_dtype=False, atol=1e-5, rtol=1e-5)


@pytest.fixture
def networks() -> Iterator[tuple[nn.Module, nn.Module]]:
    """The classifier with and without the faster gradient; both without dropout, to be comparable."""
    torch.manual_seed(0)
    network = classifier_network()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif type(module).__name__ == "StochasticDepth":
            module.p = 0.0  # type: ignore[assignment]
    yield network, quicken(deepcopy(network))


def test_only_5x5_depthwise_convolutions_become_quick(networks: tuple[nn.Module, nn.Module]) -> None:
    plain, quick = networks
    kinds = {
        name: (module.kernel_size, module.groups > 1)
        for name, module in plain.named_modules()
        if isinstance(module, nn.Conv2d)
    }
    changed = {name for name, module in quick.named_modules() if isinstance(module, QuickConvolution)}
    assert changed == {name for name, kind in kinds.items() if kind == ((5, 5), True)}
    assert len(changed) == 9
    assert not any(isinstance(module, QuickConvolution) for module in plain.modules())


def test_a_quickened_network_computes_the_same(networks: tuple[nn.Module, nn.Module]) -> None:
    pictures, labels = torch.randn(6, 1, 48, 48), torch.arange(6)
    results = []
    for network in networks:
        output = network.train()(pictures)
        functional.cross_entropy(output, labels).backward()
        results.append((output.detach(), {name: p.grad for name, p in network.named_parameters()}))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-5, rtol=1e-4)
    for name, gradient in results[0][1].items():
        assert gradient is not None
        torch.testing.assert_close(results[1][1][name], gradient, atol=2e-5, rtol=1e-3, msg=name)
    with torch.inference_mode():
        torch.testing.assert_close(networks[1].eval()(pictures), networks[0].eval()(pictures), atol=1e-5, rtol=1e-4)


def test_weights_travel_between_plain_and_quick_networks(networks: tuple[nn.Module, nn.Module]) -> None:
    plain, quick = networks
    assert list(plain.state_dict()) == list(quick.state_dict())
    assert [name for name, _ in plain.named_parameters()] == [name for name, _ in quick.named_parameters()]
    classifier_network().load_state_dict(quick.state_dict())
    quick.load_state_dict(classifier_network().state_dict())


def test_a_copy_of_a_quick_network_is_quick_and_stands_alone(networks: tuple[nn.Module, nn.Module]) -> None:
    _, quick = networks
    copy = deepcopy(quick)
    assert [type(module) for module in copy.modules()] == [type(module) for module in quick.modules()]
    before = quick.state_dict()["features.4.0.block.1.0.weight"].clone()
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    assert torch.equal(quick.state_dict()["features.4.0.block.1.0.weight"], before)
    copy(torch.randn(2, 1, 48, 48)).sum().backward()
