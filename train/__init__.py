"""Recipes, one file per method, the command that trains them, and the model card.

`launch.py train NAME`, the same as `python -m train NAME`, trains a recipe and can be stopped and started again.
The trainer itself is `engine.training`; `train.progress` shows how far any run is, for `launch.py` too.
"""
