"""Recipes by name: what `python -m train NAME` can train."""

from train.recipes import furniture, vehicles

RECIPES = {
    recipe.name: recipe
    for recipe in (
        vehicles.VEHICLES,
        vehicles.VEHICLES_GPU,
        vehicles.VEHICLES_GPU_2,
        vehicles.VEHICLES_WIDE,
        vehicles.VEHICLES_SHORT,
        vehicles.VEHICLES_TWO_STAGE,
        furniture.CHAIRS,
        furniture.TABLES,
        vehicles.SMOKE,
    )
}
