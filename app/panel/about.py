"""What this is and how to use it, in a few lines."""

from __future__ import annotations

TEXT = """
<div class="about">
<p>A <b>diffusion prior over radiance fields</b> knows what one kind of object looks
like from every side; choose the kind at the top. Given a picture, it is
steered towards the object in it; given nothing but noise, it makes one up.</p>
<dl>
<dt>Reconstruct</dt><dd>Drop one to four pictures, tell from where each was taken, press Reconstruct. The blue frusta in
the view show where the cameras stand; Overlay lays the picture over the render, to check and adjust.</dd>
<dt>Generate</dt><dd>A seed becomes an object. The small pictures are there at once, with all their steps.</dd>
<dt>Interpolate</dt><dd>Two objects span a line, three or four a pad; drag the knob. What lies between shows what the prior
has learnt. Below, the main directions in which its training objects differ.</dd>
<dt>Keep</dt><dd>Mark a half, a box or brushed surfaces; the prior draws the rest anew, three times, side by side.</dd>
<dt>Inspect</dt><dd>Every step as it was predicted, as noise, and where the two differ; its curves, its planes; and Branch,
which goes on from any step with something changed. Space plays, the arrow keys step.</dd>
<dt>History</dt><dd>All that this tab made: name, pin, compare, reuse, save a run with all its steps, open one.</dd>
<dt>Filmstrip</dt><dd>Each picture is what the prior believed at that step. Click, drag or use the arrow keys, and turn
that belief in the view.</dd>
<dt>View</dt><dd>Drag to turn, right-drag to move, scroll to come closer. The picture sharpens when you rest.</dd>
<dt>Camera</dt><dd>Azimuth 0 stands in front and grows counter-clockwise seen from above (90 sees the left side);
elevation 0 is level; an object's box has diagonal 1, and the distance starts at that of the training pictures.</dd>
</dl>
<p class="hint">Method: SSDNeRF, <a href="https://arxiv.org/abs/2304.06714" target="_blank" rel="noreferrer">arXiv 2304.06714</a>.
The same engine without a page: <code>python launch.py --help</code>. From a program: JSON over
HTTP, described at <a href="api/openapi.json" target="_blank">api/openapi.json</a>.</p>
</div>
"""
