"""Recipes by name: what `python -m train NAME` can train."""

from train.recipes.vehicles import SMOKE, VEHICLES

RECIPES = {"vehicles": VEHICLES, "smoke": SMOKE}
