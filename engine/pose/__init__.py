"""Cameras of pictures that come without one: a network per category proposes them, and it is trained here.

A dropped picture is cut out, centred and scaled by its outline alone. What the network sees tells directions, and for each
direction the distance, scale, place and roll that go with it, so that the picture is never resampled to a guess: only the
camera's intrinsics move.
"""
