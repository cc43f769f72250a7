"""The Interpolate tab: paths and pads between objects, and the principal directions of the training latents."""

from __future__ import annotations

from app.page.parts import notice, scripted
from app.session.tasks import LARGEST_SEED

DIRECTIONS = 8
SKELETON = f"""
<div class="blend">
 <p class="lead">Slide from one object to another. The way decides what lies between: that is what the model has learnt.</p>
 <div class="blend-pad line"></div>
 <p class="blend-where"></p>
 <div class="blend-swap" hidden></div>
 <div class="blend-row">
  <button type="button" data-act="shown" title="Put what the view shows into the next corner">Add what is shown</button>
  <span class="blend-new"><input class="blend-seed" type="number" min="0" max="{
    LARGEST_SEED
}" value="1" aria-label="Seed">
  <button type="button" data-act="dice" title="Another seed" aria-label="Another seed">&#9860;</button>
  <button type="button" data-act="seed" title="Draw the seed's object and put it into the next corner">Add seed</button></span>
 </div>
 <div class="blend-row">
  <div class="seg blend-ways" role="group" aria-label="Way">
   <button type="button" data-way="slerp" aria-pressed="true" title="Starting noises x_T along the great circle: every point is as noisy as the model expects, so it is an object">Noise, slerp</button>
   <button type="button" data-way="lerp" aria-pressed="false" title="Starting noises x_T straight: halfway they are too short, and objects grow plain">Noise, lerp</button>
   <button type="button" data-way="code" aria-pressed="false" title="Latents straight: one object fades into the other">Latent, lerp</button>
   <button type="button" data-way="parts" aria-pressed="false" hidden></button>
  </div>
  <div class="seg blend-modes" role="group" aria-label="Procedure">
   <button type="button" data-mode="ours" aria-pressed="true" title="Every point drawn with renoise-averaging">Ours</button>
   <button type="button" data-mode="paper" aria-pressed="false" title="Every point drawn by deterministic DDIM, as in the paper's demonstration">Paper</button>
  </div>
 </div>
 <h2 class="blend-main">Main directions <small>applied to what is shown</small><button type="button" data-act="reset" title="Back to the object">Reset</button></h2>
 <div class="blend-directions">{
    "".join(
        f'<label title="Principal direction {k + 1} of the training latents, in standard deviations"><span>{k + 1}</span>'
        f'<input type="range" min="-3" max="3" step="0.1" value="0" data-direction="{k}" aria-label="Direction {k + 1}">'
        "<output>0.0&sigma;</output></label>"
        for k in range(DIRECTIONS)
    )
}</div>
 <div class="bar">
  <p class="blend-why why"></p>
  <div class="bar-row">
  <button type="button" class="primary" data-act="store" data-need="ready" title="Put the object at the knob into the history">Add to history</button>
  <button type="button" data-act="play" data-need="ready" aria-pressed="false" title="Go there and back">Play</button>
  <button type="button" data-act="loop" aria-pressed="true" title="Turn round at the ends">Loop</button>
  <button type="button" data-act="mp4" data-need="ready" title="The path from A to B as a film">MP4</button>
  <button type="button" data-act="gif" data-need="ready" title="The same as a GIF">GIF</button>
  </div>
 </div>
</div>
"""


def build() -> None:
    """Lay the tab out; its script does the rest."""
    scripted("interpolate", SKELETON, "interpolate.js")
    notice("interpolate")
    scripted("interpolate-film", '<div class="made"></div>', "film.js")
