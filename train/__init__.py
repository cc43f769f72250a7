"""Recipes, one file per method, and the commands that run them.

`launch.py train NAME` trains a recipe and can be stopped and started again; `python -m train.tune CHECKPOINT` chooses a
finished prior's test-time settings, and `python -m train.card CHECKPOINT` measures it and draws its model card's pictures.
The trainer itself is `engine.training`; `train.progress` shows how far any run is, for `launch.py` too.
"""
