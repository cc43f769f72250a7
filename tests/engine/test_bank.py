"""The scene bank: what is fetched is what was stored."""

import torch

from engine.methods.optimise import LatentRecords
from engine.training.bank import SceneBank


def records(count: int = 6) -> LatentRecords:
    torch.manual_seed(0)
    made = LatentRecords.fresh(torch.randn(count, 3, 2, 4, 4), (2, 2, 2), torch.float16)
    made.first_moment = torch.randn_like(made.raw)
    made.second_moment = torch.rand_like(made.raw)
    made.steps = torch.arange(count)
    made.grid = torch.rand(count, 2, 2, 2).half()
    return made


def test_scenes_come_back_as_they_were_stored_and_the_others_stay():
    bank, scenes = SceneBank(records()), torch.tensor([1, 4])
    fetched = bank.fetch(scenes, "cpu")
    assert torch.equal(fetched.raw, records().raw[scenes])
    fetched.adam(torch.ones_like(fetched.raw), 0.1)
    assert torch.equal(bank.records.raw, records().raw)
    bank.store(scenes, fetched)
    again = bank.fetch(scenes, "cpu")
    for name in ("raw", "first_moment", "second_moment", "steps", "grid"):
        assert torch.equal(getattr(again, name), getattr(fetched, name))
    others = torch.tensor([0, 2, 3, 5])
    assert torch.equal(bank.fetch(others, "cpu").raw, records().raw[others])


def test_a_half_bank_keeps_half_the_bytes_and_gives_float32_back():
    bank, full = SceneBank(records(), half=True), records()
    assert bank.records.raw.dtype == torch.float16
    assert bank.records.first_moment.dtype == bank.records.second_moment.dtype == torch.bfloat16
    scenes = torch.tensor([2, 3])
    fetched = bank.fetch(scenes, "cpu")
    assert fetched.raw.dtype == fetched.first_moment.dtype == torch.float32
    torch.testing.assert_close(fetched.raw, full.raw[scenes], rtol=2**-10, atol=1e-6)
    torch.testing.assert_close(
        fetched.first_moment, full.first_moment[scenes], rtol=2**-8, atol=1e-6
    )
    assert torch.equal(fetched.steps, full.steps[scenes])


def test_what_half_precision_cannot_hold_is_clamped():
    bank = SceneBank(records(), half=True)
    scenes = torch.tensor([0])
    fetched = bank.fetch(scenes, "cpu")
    fetched.raw = torch.full_like(fetched.raw, 1e9)
    bank.store(scenes, fetched)
    assert (bank.fetch(scenes, "cpu").raw == 65504).all()


def test_a_saved_bank_resumes():
    bank, other = SceneBank(records(), half=True), SceneBank(records(6), half=True)
    other.records.raw.zero_()
    other.load_state_dict({name: value.clone() for name, value in bank.state_dict().items()})
    assert torch.equal(other.records.raw, bank.records.raw)
