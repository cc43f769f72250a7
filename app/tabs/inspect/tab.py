"""The Inspect tab: a run's steps in 3D, in curves and in latents, and branches from any of them."""

from __future__ import annotations

from app.page.parts import notice, scripted

SKELETON = """
<div class="insp">
 <div class="insp-bar">
  <div class="seg" role="group" aria-label="What is shown of a step">
   <button type="button" data-look="x0" aria-pressed="true" title="The model's prediction at this step: the clean object">Predicted <i>x&#770;<sub>0</sub></i></button>
   <button type="button" data-look="x_t" aria-pressed="false" title="The noisy state that the next step starts from">Noisy <i>x<sub>t</sub></i></button>
   <button type="button" data-look="difference" aria-pressed="false" title="Where the two pictures differ; of two compared runs: where their objects differ">Difference</button>
  </div>
 </div>
 <div class="insp-bar">
  <p class="insp-line"></p>
  <span class="zooms" role="group" aria-label="Zoom of the curves">
   <button type="button" data-zoom="0.5" title="Zoom the curves in about the shown step (or drag over steps with Shift held)" aria-label="Zoom in">+</button>
   <button type="button" data-zoom="2" title="Zoom out (double-click a curve to see all steps)" aria-label="Zoom out">&minus;</button>
  </span>
 </div>
 <div class="insp-charts"><div class="insp-cards"></div><div class="insp-curves" role="img" aria-label="Curves over the steps"></div></div>
 <div class="insp-tree" hidden></div>
 <form class="insp-branch" id="insp-form" title="With nothing changed the branch takes the same steps, bit for bit">
  <h2>Branch from this step <small>what you leave empty stays as it was</small></h2>
  <div class="insp-fields">
   <label title="Of all draws after this step; a deterministic sampler makes none, so that another seed changes little without renoising">Seed <input name="seed" type="number" min="0" step="1"></label>
   <div class="insp-settings"></div>
  </div>
  <label class="insp-swap"><input name="swap" type="checkbox"> use the pictures that lie in Reconstruct now</label>
 </form>
 <div class="insp-planes">
  <h2>Latent <small class="insp-note"></small><label title="Values from which colours are full">range <input type="range" min="0.2" max="3" step="0.1" value="2" aria-label="Colour range"><output>&plusmn;2.0</output></label></h2>
  <div class="sheet" tabindex="0" role="group" data-arrows aria-label="Latent of the shown step: Enter enlarges one, the arrow keys choose another"><img alt="" title="Blue is negative, red positive; click one to enlarge it"></div>
 </div>
 <p class="insp-cost"></p>
 <div class="insp-enlarged" aria-live="polite" hidden><div class="tile"></div><div class="bars"></div></div>
 <div class="bar">
  <p class="insp-why why"></p>
  <div class="bar-row">
  <button type="submit" form="insp-form" class="insp-primary" title="Go on from the shown step with what is changed above">Branch</button>
  <div class="transport">
   <button type="button" data-act="back" title="One step back (left arrow)" aria-label="One step back">&#9664;</button>
   <button type="button" data-act="play" aria-pressed="false" title="Play the steps (space)">Play</button>
   <button type="button" data-act="on" title="One step on (right arrow)" aria-label="One step on">&#9654;</button>
   <button type="button" data-act="loop" aria-pressed="false" title="Begin anew at the end">Loop</button>
  </div>
  </div>
 </div>
</div>
"""


def build() -> None:
    """Lay the tab out; its script does the rest."""
    scripted("inspector", SKELETON, "inspector.js")
    notice("inspect")
