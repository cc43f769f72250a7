"""What to train: recipes, one file per data set, and the commands that run them.

`python -m train NAME` trains a recipe and can be stopped and started again; `python -m train.card CHECKPOINT` measures a
finished prior and draws its model card's pictures. The trainer itself is `engine.training`.
"""
