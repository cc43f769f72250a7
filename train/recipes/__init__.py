"""Recipes by name: what `python -m train NAME` can train."""

from train.recipes.vehicles import SMOKE, VEHICLES, VEHICLES_GPU, VEHICLES_GPU_2

RECIPES = {recipe.name: recipe for recipe in (VEHICLES, VEHICLES_GPU, VEHICLES_GPU_2, SMOKE)}
