"""The denoiser's parts against formulas written out."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.nets.frozen import frozen
from engine.nets.unet2d import Attention, ResidualBlock, UNet2D, UNetConfig, timestep_embedding

SMALL = UNetConfig(
    channels=6,
    base=8,
    multipliers=(1, 2, 2),
    blocks=1,
    attention_factors=(2,),
    heads=2,
    groups=4,
)


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module


def test_the_time_embedding_is_cosines_then_sines():
    found = timestep_embedding(torch.tensor([0, 7, 999]), 8)
    for row, t in enumerate((0, 7, 999)):
        angles = [t * math.exp(-math.log(10000) * k / 4) for k in range(4)]
        expected = [*map(math.cos, angles), *map(math.sin, angles)]
        assert found[row].tolist() == pytest.approx(expected, abs=1e-4)


def test_attention_reads_its_channels_as_head_then_query_key_value():
    config = replace(SMALL, heads=2, groups=4)
    block = randomised(Attention(8, config))
    x = torch.randn(2, 8, 3, 5)
    found = block(x)
    normed = F.group_norm(x, 4, block.norm.weight, block.norm.bias).flatten(2)
    qkv = torch.einsum("oc,bcn->bon", block.qkv.weight[..., 0], normed) + block.qkv.bias[:, None]
    heads = []
    for head in range(2):
        q, k, v = (qkv[:, 12 * head + 4 * part : 12 * head + 4 * part + 4] for part in range(3))
        attention = torch.softmax(torch.einsum("bcn,bcm->bnm", q, k) / 2.0, -1)
        heads.append(torch.einsum("bnm,bcm->bcn", attention, v))
    h = torch.einsum("oc,bcn->bon", block.proj.weight[..., 0], torch.cat(heads, 1))
    expected = x + (h + block.proj.bias[:, None]).reshape(x.shape)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_residual_block_scales_before_it_shifts():
    block = randomised(ResidualBlock(8, 16, 32, SMALL))
    x, e = torch.randn(2, 8, 4, 4), torch.randn(2, 32)
    h = F.conv2d(
        F.silu(F.group_norm(x, 4, block.norm1.weight, block.norm1.bias)),
        block.conv1.weight,
        block.conv1.bias,
        padding=1,
    )
    both = F.linear(F.silu(e), block.embed.weight, block.embed.bias)[:, :, None, None]
    scale, shift = both[:, :16], both[:, 16:]
    h = F.group_norm(h, 4, block.norm2.weight, block.norm2.bias) * (1 + scale) + shift
    h = F.conv2d(F.silu(h), block.conv2.weight, block.conv2.bias, padding=1)
    expected = h + F.conv2d(x, block.shortcut.weight, block.shortcut.bias)
    torch.testing.assert_close(block(x, e), expected, rtol=1e-4, atol=1e-4)


def test_an_untrained_denoiser_answers_zero_and_its_blocks_pass_their_input_on():
    net = UNet2D(SMALL)
    assert net(torch.randn(2, 6, 8, 8), torch.tensor([1, 500])).abs().max() == 0
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(ResidualBlock(8, 8, 32, SMALL)(x, torch.randn(1, 32)), x)
    assert torch.equal(Attention(8, SMALL)(x), x)


def test_attention_stands_where_the_config_says_and_always_in_the_middle():
    net = UNet2D(SMALL)
    places = [name for name, module in net.named_modules() if isinstance(module, Attention)]
    assert places == ["encoder.3.1", "middle.1", "decoder.2.1", "decoder.3.1"]


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (16, 8)])
def test_any_size_that_halves_often_enough_is_denoised(size):
    net = randomised(UNet2D(SMALL))
    x = torch.randn(2, 6, *size)
    y = net(x, torch.tensor([3, 700]))
    assert y.shape == x.shape
    assert y.isfinite().all()


def test_items_of_a_batch_do_not_see_each_other():
    net = randomised(UNet2D(SMALL)).eval()
    x, t = torch.randn(3, 6, 8, 8), torch.tensor([1, 400, 999])
    alone = torch.cat([net(x[k : k + 1], t[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(net(x, t), alone, rtol=1e-4, atol=1e-4)


def test_memory_layout_does_not_matter():
    net = randomised(UNet2D(SMALL)).eval()
    x, t = torch.randn(2, 6, 8, 8), torch.tensor([1, 400])
    expected = net(x, t)
    net = net.to(memory_format=torch.channels_last)
    found = net(x.contiguous(memory_format=torch.channels_last), t)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_dropout_acts_in_training_only():
    net = randomised(UNet2D(replace(SMALL, dropout=0.5)))
    x, t = torch.randn(1, 6, 8, 8), torch.tensor([400])
    assert not torch.equal(net.train()(x, t), net(x, t))
    assert torch.equal(net.eval()(x, t), net(x, t))


def result_and_pull(net, x, t):
    x = x.clone().requires_grad_(True)
    y = net(x, t)
    return y.detach(), *torch.autograd.grad((y.float() * torch.cos(y.float())).sum(), x)


FROZEN = [SMALL, replace(SMALL, attention_factors=(), blocks=2, multipliers=(1, 3))]


@pytest.mark.parametrize("config", FROZEN, ids=["attention", "plain"])
@pytest.mark.parametrize(("batch", "size"), [(1, (8, 8)), (3, (4, 12))])
def test_the_frozen_network_is_the_network_and_so_is_its_gradient(config, batch, size):
    net = randomised(UNet2D(config)).eval().requires_grad_(False)
    x, t = torch.randn(batch, 6, *size), torch.randint(0, 1000, (batch,))
    expected = result_and_pull(net, x, t)
    twin = frozen(net, torch.float32)
    for _ in range(2):  # laid out in the first call, used in the second
        for a, b in zip(result_and_pull(twin, x, t), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


def test_the_frozen_network_in_bfloat16_stays_close():
    net = randomised(UNet2D(SMALL)).eval().requires_grad_(False)
    x, t = torch.randn(2, 6, 8, 8), torch.tensor([3, 700])
    expected = result_and_pull(net, x, t)
    found = result_and_pull(frozen(net, torch.bfloat16), x, t)
    assert float((found[0] - expected[0]).norm() / expected[0].norm()) < 0.05


def test_a_frozen_network_follows_its_weights():
    net = randomised(UNet2D(SMALL)).eval().requires_grad_(False)
    x, t = torch.randn(1, 6, 8, 8), torch.tensor([3])
    first = frozen(net, torch.float32)
    assert frozen(net, torch.float32) is first
    net.out.bias.add_(1)
    moved = frozen(net, torch.float32)
    assert moved is not first
    torch.testing.assert_close(moved(x, t), net(x, t), rtol=1e-3, atol=1e-3)
