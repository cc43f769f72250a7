"""The example that stands in for a photograph: made here, and taken from where it says."""

import numpy as np

from app.examples import EXAMPLES
from engine.data.raster import rasterise
from engine.ops.cameras import orbit_camera
from engine.vision.images import cut_out, open_image
from tests.fixtures.studio import FOCAL, HEIGHT, WIDTH, car, photograph

STUDIO = EXAMPLES[0]


def test_the_studio_picture_is_what_its_script_makes():
    """Up to what other processors and versions of the JPEG library round otherwise."""
    kept, made = open_image(STUDIO.path), open_image(photograph())
    assert np.abs(kept - made).mean() * 255 < 0.5


def test_the_studio_picture_is_cut_out_and_was_taken_from_where_the_example_says():
    found = cut_out(open_image(STUDIO.path))[..., 3] > 0.5
    camera = orbit_camera(STUDIO.azimuth, STUDIO.elevation, STUDIO.distance)
    pose, intrinsics = camera.srn_c2w()[None].numpy(), [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]
    truth = rasterise(car().soup(), pose, np.array(intrinsics), HEIGHT, WIDTH)[0, ..., 3] > 127
    assert (found & truth).sum() / (found | truth).sum() > 0.97
