"""The recipes' numbers against the data they are meant for."""

import numpy as np
import pytest

from engine.data.procedural.categories import CATEGORIES, find_category
from engine.data.procedural.shape import scene_seed
from engine.types import WORLD_PER_SRN
from train.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_in_the_box_of_its_category(name):
    category = find_category(RECIPES[name].category)
    assert RECIPES[name].model.decoder.aabb == category.box


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("name", CATEGORIES)
def test_the_box_of_a_category_holds_its_scenes(name, split):
    low, high = (np.array(corner) for corner in CATEGORIES[name].box)
    for index in range(40):
        vertices = CATEGORIES[name].build(scene_seed(split, index)).vertices * WORLD_PER_SRN
        assert (vertices > low).all(), (split, index)
        assert (vertices < high).all(), (split, index)


@pytest.mark.parametrize("name", RECIPES)
def test_the_parts_of_a_recipe_fit_each_other(name):
    model = RECIPES[name].model
    assert RECIPES[name].name == name
    assert model.unet.channels == 3 * model.decoder.channels
    halvings = 2 ** (len(model.unet.multipliers) - 1)
    assert model.rows % halvings == model.cols % halvings == 0
