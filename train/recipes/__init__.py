"""Recipes by name: what `python -m train NAME` can train, from the `RECIPES` of every file of this folder."""

from importlib import import_module
from pkgutil import iter_modules

RECIPES = {
    recipe.name: recipe
    for module in iter_modules(__path__)
    for recipe in import_module(f"{__name__}.{module.name}").RECIPES
}
