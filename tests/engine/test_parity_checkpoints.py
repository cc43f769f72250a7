"""Official checkpoints and scenes: names, shapes, configs, files that are something else."""

import dataclasses
import pickle

import pytest
import torch

from engine.errors import CheckpointError, SceneError
from engine.fields.triplane import DecoderConfig
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.nets.unet2d import UNetConfig
from engine.ops.activations import TanhLatent
from engine.store.checkpoint import open_checkpoint
from engine.store.morton import pack_bits, to_morton
from engine.store.official import (
    decoder_name,
    from_official,
    import_official,
    infer_config,
    load_official,
    official_decoder_name,
    official_unet_name,
    save_official,
    to_official,
    unet_name,
)
from engine.store.official_scenes import OfficialScene, load_scene, save_scene
from tests.engine.vectors import TINY, key_list

PAPER = SSDNeRFConfig()
CONFIGS = {
    "uncond": PAPER,
    "recons": dataclasses.replace(PAPER, unet=UNetConfig(dropout=0.1)),
    "tiled": dataclasses.replace(
        PAPER,
        unet=UNetConfig(
            channels=6,
            base=80,
            multipliers=(1, 1, 2, 2, 4, 4),
            attention_factors=(8, 16, 32),
            groups=16,
        ),
        tiled=True,
        activation="normalized_tanh",
        normalize_diffusion=False,
        diffusion_weight=20.0,
        reg_weight=0.0,
    ),
}
PARAMETERS = {"uncond": 122_434_194, "recons": 122_434_194, "tiled": 49_012_486}


def empty_state(model: str) -> dict[str, torch.Tensor]:
    """A state dict with the official names and shapes that holds no numbers."""
    return {k: torch.empty(shape, device="meta") for k, shape in key_list(model).items()}


def unloaded(config: SSDNeRFConfig) -> SSDNeRF:
    with torch.device("meta"):
        return SSDNeRF(config)


def shapes(state) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize("model", CONFIGS)
def test_the_config_of_a_published_model_is_read_off_its_names_and_shapes(model):
    assert infer_config(empty_state(model)) == CONFIGS[model]


@pytest.mark.parametrize("model", CONFIGS)
def test_every_published_tensor_has_one_place_in_ours(model):
    method = unloaded(CONFIGS[model])
    assert shapes(from_official(empty_state(model))) == shapes(method.state_dict())
    assert sum(p.numel() for p in method.unet.parameters()) == PARAMETERS[model]
    assert sum(p.numel() for p in method.decoder.parameters()) == 2564


@pytest.mark.parametrize("model", CONFIGS)
def test_our_names_lead_back_to_the_published_ones(model):
    found = shapes(to_official(unloaded(CONFIGS[model])))
    found.pop("diffusion_ema.ddpm_loss.norm_factor", None)
    expected = key_list(model)
    expected.pop("diffusion_ema.ddpm_loss.norm_factor", None)
    assert found == expected


@pytest.mark.parametrize("dropout", [False, True])
def test_the_name_tables_are_each_others_inverse(dropout):
    names = key_list("recons" if dropout else "uncond")
    for name in names:
        if ".denoising." in name:
            official = name.removeprefix("diffusion_ema.denoising.")
            assert official_unet_name(unet_name(official), dropout=dropout) == official
        elif name.startswith("decoder_ema."):
            official = name.removeprefix("decoder_ema.")
            assert official_decoder_name(decoder_name(official)) == official


def test_deep_decoders_count_their_activations():
    assert decoder_name("color_net.4.bias") == "color_head.2.bias"
    assert official_decoder_name("color_head.2.bias") == "color_net.4.bias"


@pytest.fixture(scope="module")
def method():
    torch.manual_seed(0)
    method = SSDNeRF(TINY)
    method.norm_factor.fill_(0.7)
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return method


@pytest.fixture
def state(method):
    state = {name: value.clone() for name, value in to_official(method).items()}
    return state | {"init_code": torch.full((3, 6, 16, 16), 0.25)}


def same_weights(found: SSDNeRF, expected: SSDNeRF) -> bool:
    found, expected = found.state_dict(), expected.state_dict()
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


def test_a_saved_method_opens_again_unchanged(tmp_path, method):
    opened = load_official(save_official(tmp_path / "m.pth", method))
    assert same_weights(opened, method)
    assert opened.config.unet == TINY.unet
    assert not opened.training


def test_an_official_file_is_opened_like_any_checkpoint(tmp_path, method):
    opened = open_checkpoint(save_official(tmp_path / "m.pth", method))
    assert same_weights(opened, method)
    assert opened.checkpoint == "m.pth"


def test_averaged_weights_are_preferred_to_those_under_training(method, state):
    live = {name.replace("_ema.", "."): torch.zeros_like(v) for name, v in state.items()}
    assert same_weights(import_official(live | state), method)


def test_weights_under_training_are_taken_where_there_are_no_others(method):
    assert same_weights(import_official(to_official(method, ema=False), TINY), method)


def test_levels_of_parallel_training_are_dropped_from_names(method, state):
    wrapped = {f"module.{name}".replace("_ema.", "_ema.module."): v for name, v in state.items()}
    assert same_weights(import_official(wrapped), method)


def test_the_second_convolution_may_stand_behind_a_dropout(method, state):
    moved = {name.replace("conv_2.1", "conv_2.2"): value for name, value in state.items()}
    opened = import_official(moved)
    assert opened.config.unet.dropout == 0.1
    assert same_weights(opened, method)


def test_a_missing_norm_factor_means_that_there_is_none(state):
    del state["diffusion_ema.ddpm_loss.norm_factor"]
    opened = import_official(state)
    assert not opened.config.normalize_diffusion
    assert opened.norm_factor == 1


def test_a_mean_code_gives_the_mean_latent_and_the_planes_size(state):
    opened = import_official(state)
    assert (opened.config.rows, opened.config.cols) == (16, 16)
    assert torch.equal(opened.mean_latent, torch.full((3, 6, 16, 16), 0.25))


def test_generic_decoders_are_described_and_imported():
    generic = DecoderConfig(
        channels=4,
        base_widths=(24, 16),
        density_widths=(8, 1),
        color_widths=(32, 3),
        direction="concat",
        scene_base=(16, 16),
    )
    unet = dataclasses.replace(TINY.unet, channels=12)
    config = dataclasses.replace(TINY, decoder=generic, unet=unet)
    built = SSDNeRF(config)
    state = to_official(built)
    state["decoder_ema.scene_base"] = state["decoder_ema.scene_base"][None]
    assert infer_config(state).decoder == generic
    assert same_weights(import_official(state, config), built)
    blind = dataclasses.replace(generic, direction="none")
    state = to_official(SSDNeRF(dataclasses.replace(config, decoder=blind)))
    assert infer_config(state).decoder.direction == "none"


def test_running_statistics_are_imported(method, state):
    state |= {
        "code_activation.running_mean": torch.tensor([0.013]),
        "code_activation.running_var": torch.tensor([0.31]),
    }
    opened = import_official(state)
    assert opened.config.activation == "normalized_tanh"
    assert opened.activation.running_mean == pytest.approx(0.013)
    assert opened.activation.running_var == pytest.approx(0.31)
    assert shapes(to_official(opened)).keys() == state.keys() - {"init_code"}


def test_imported_weights_know_both_modes(state):
    opened = import_official(state)
    for ours, paper in (
        (opened.presets["generate"]["ours"], opened.presets["generate"]["paper"]),
        (opened.presets["reconstruct"]["ours"], opened.presets["reconstruct"]["paper"]),
    ):
        assert (ours.mode, paper.mode) == ("ours", "paper")
        assert ours == dataclasses.replace(paper, mode="ours")


# ------------------------------------------------------------------- files that are no checkpoint


class Harmful:
    def __reduce__(self):
        return print, ("this must never run",)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pth: there is no such file"):
        load_official(tmp_path / "absent.pth")


def test_a_scene_is_told_from_a_checkpoint_and_the_other_way_round(tmp_path, method):
    scene = save_scene(tmp_path / "scene.pth", OfficialScene(torch.zeros(3, 6, 8, 8)))
    with pytest.raises(CheckpointError, match="this is a saved scene, expected a checkpoint"):
        load_official(scene)
    checkpoint = save_official(tmp_path / "model.pth", method)
    with pytest.raises(SceneError, match="this is a checkpoint, expected a saved scene"):
        load_scene(checkpoint, TanhLatent())


def test_nothing_in_a_file_is_ever_run(tmp_path, capfd):
    path = tmp_path / "harmful.pth"
    torch.save({"state_dict": {}, "meta": Harmful()}, path)
    with pytest.raises(CheckpointError, match="not a file that can be read safely"):
        load_official(path)
    path.write_bytes(pickle.dumps(Harmful(), protocol=2))
    with pytest.raises(SceneError, match="not a file that can be read safely"):
        load_scene(path, TanhLatent())
    assert "this must never run" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("content", [b"x", b"PK\x03\x04 cut short", b"just text"])
def test_damaged_files_are_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a file that can be read safely") as error:
        load_official(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [{"weights": 3}, {"state_dict": 3}, {"state_dict": {"a": 1}}, [1], torch.zeros(2)]
)
def test_other_contents_are_refused(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"other\.pth: found"):
        load_official(path)


def test_weights_of_another_network_are_refused(tmp_path, state):
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {"backbone.weight": torch.zeros(2)}}, path)
    with pytest.raises(CheckpointError, match="found 0 denoiser and 0 decoder tensors"):
        load_official(path)
    del state["diffusion_ema.denoising.in_blocks.0.0.weight"]
    with pytest.raises(CheckpointError, match=r"in_blocks\.0\.0\.weight"):
        import_official(state)


def test_weights_that_lack_a_part_are_refused(state):
    del state["diffusion_ema.denoising.mid_blocks.1.qkv.weight"]
    with pytest.raises(CheckpointError, match="do not fit the networks"):
        import_official(state)


# ---------------------------------------------------------------------------------------- scenes


def test_a_scene_survives_the_official_format(tmp_path):
    torch.manual_seed(1)
    grid = torch.rand(16, 16, 16).half()
    scene = OfficialScene(torch.randn(3, 6, 8, 8), "car", grid, grid > 0.5)
    read = load_scene(save_scene(tmp_path / "scene.pth", scene), TanhLatent())
    assert read.name == "car"
    assert torch.equal(read.latent, scene.latent)
    assert torch.equal(read.grid, grid)
    assert torch.equal(read.occupied, scene.occupied)


def test_an_official_scenes_cells_are_where_its_morton_order_says(tmp_path):
    occupied = torch.zeros(8, 8, 8, dtype=torch.bool)
    occupied[1, 0, 0] = occupied[0, 1, 0] = occupied[0, 0, 2] = True
    assert to_morton(occupied).nonzero().flatten().tolist() == [1, 2, 32]
    assert pack_bits(to_morton(occupied))[:5].tolist() == [0b110, 0, 0, 0, 1]
    content = {
        "param": {
            "code": torch.zeros(3, 6, 8, 8),
            "density_bitfield": pack_bits(to_morton(occupied)),
        }
    }
    torch.save(content, tmp_path / "scene.pth")
    read = load_scene(tmp_path / "scene.pth", TanhLatent())
    assert torch.equal(read.occupied, occupied)
    assert read.grid is None
    assert read.name is None


def test_training_caches_are_squashed_on_the_way_in(tmp_path):
    raw = torch.randn(3, 6, 8, 8)
    cache = {
        "scene_id": 3,
        "scene_name": "x",
        "param": {"code_": raw.half()},
        "optimizer": {"state": {}},
    }
    torch.save(cache, tmp_path / "cache.pth")
    read = load_scene(tmp_path / "cache.pth", TanhLatent())
    torch.testing.assert_close(read.latent, 2 * torch.tanh(raw), rtol=2e-3, atol=2e-3)
