"""The recipes' numbers against the data they are meant for."""

import numpy as np
import pytest
import torch

from engine.config import from_json, to_json
from engine.data.procedural.categories import CATEGORIES, find_category
from engine.data.procedural.shape import scene_seed
from engine.methods import method_of
from engine.types import WORLD_PER_SRN
from train.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_in_the_box_of_its_category(name):
    method = method_of(RECIPES[name].model)(RECIPES[name].model)
    box = find_category(RECIPES[name].data.category).box
    torch.testing.assert_close(method.scene(method.mean_latent).field.aabb, torch.tensor(box))


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("name", CATEGORIES)
def test_the_box_of_a_category_holds_its_scenes(name, split):
    low, high = (np.array(corner) for corner in CATEGORIES[name].box)
    for index in range(40):
        vertices = CATEGORIES[name].build(scene_seed(split, index)).vertices * WORLD_PER_SRN
        assert (vertices > low).all(), (split, index)
        assert (vertices < high).all(), (split, index)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_goes_by_its_name_and_its_model_is_one_that_files_may_hold(name):
    model = RECIPES[name].model
    assert RECIPES[name].name == name
    assert from_json(type(model), to_json(model)) == model  # which checks that its parts fit


def test_settings_are_changed_by_their_own_names_and_no_others():
    recipe = RECIPES["smoke"].changed(name="x", scenes=3, batch=2)
    assert (recipe.name, recipe.data.scenes, recipe.loop.batch) == ("x", 3, 2)
    assert recipe.data.views == RECIPES["smoke"].data.views
    with pytest.raises(TypeError, match="unet_rate"):
        recipe.changed(unet_rate=1.0)
