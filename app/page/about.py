"""The page's introduction: its purpose and its use in a few lines."""

from __future__ import annotations

TEXT = """
<dialog id="about" class="about" aria-labelledby="about-title">
<div class="about-head"><h2 id="about-title">About the explorer</h2><button type="button" data-close aria-label="Close">&times;</button></div>
<p>A <b>generative model of radiance fields</b> knows what one kind of object looks like from every side; choose the kind
at the top. Given a picture, it is steered towards the object in it; given nothing but noise, it makes one up.</p>
<p class="start"><b>To begin</b>, click one of the small pictures under Reconstruct and press Reconstruct, or open Generate and
press Generate. Then turn the object in the view, and click through its steps below.</p>
<h3>Tabs</h3>
<dl>
<dt>Reconstruct</dt><dd>Drop one to four pictures and press Reconstruct. From where each was taken is guessed; the sliders say it better. The blue frusta in
the view show where the cameras stand; Overlay lays the picture over the render, to check and adjust.</dd>
<dt>Generate</dt><dd>A seed becomes an object. The small pictures are there at once, with all their steps.</dd>
<dt>Interpolate</dt><dd>Two objects span a line, three or four a pad; drag the knob. What lies between shows what the model
has learnt. Below, the main directions in which its training objects differ.</dd>
<dt>Complete</dt><dd>Mark what is to stay: a half, a box or brushed surfaces. The model draws the rest anew, up to three
times, side by side.</dd>
<dt>Inspect</dt><dd>Every step as it was predicted, as noise, and where the two differ; its curves, its planes; and Branch,
which goes on from any step before the result with something changed.</dd>
<dt>History</dt><dd>All that this tab made: name, pin, compare, reuse, save a run with all its steps, open one.</dd>
</dl>
<h3>View and filmstrip</h3>
<dl>
<dt>View</dt><dd>Drag to turn, right-drag to move, scroll to come closer; with the focus in the view, the arrow keys turn
it. The picture sharpens when you rest.</dd>
<dt>Filmstrip</dt><dd>Each picture is what the model believed at that step. Click or drag, and turn that belief in the
view.</dd>
<dt>Camera</dt><dd>Azimuth 0 stands in front and grows counter-clockwise seen from above (90 sees the left side);
elevation 0 is level; an object's box has diagonal 1, and the distance starts at that of the training pictures.</dd>
</dl>
<h3>Keys</h3>
<dl>
<dt><kbd>&larr;</kbd> <kbd>&rarr;</kbd></dt><dd>One step back or on: in the filmstrip, and anywhere while Inspect is open.
<kbd>Home</kbd> and <kbd>End</kbd> go to its ends. They also move the knob of Interpolate, the enlarged plane and the chosen tab.</dd>
<dt><kbd>Space</kbd></dt><dd>Plays the steps while Inspect is open.</dd>
<dt><kbd>Esc</kbd></dt><dd>Closes what is open: this text, a list, an enlarged plane, the brush, a comparison.</dd>
</dl>
<p class="hint">The same engine without a page: <code>python launch.py --help</code>. From a program: JSON over
HTTP, described at <a href="api/openapi.json" target="_blank">api/openapi.json</a>.</p>
</dialog>
"""
