"""The explorer: everything a user sees, and the only place with gradio and viser.

`server.serve(AppSettings(...))` opens it and stays; `server.create_app` is the same as an ASGI application. One process
serves one port. `front` answers at once, with a page that holds the live view; what that waits for is loaded behind it in
the order of need: the views (`viewport`, one per browser tab, reached through `routes`) and the files, then the `panel`,
which is Gradio's, then what is compiled. `guard` stands in front of all of it. A `Session` is one tab's state and knows neither gradio nor viser; `jobs` pulls
the engine's runs on one worker thread; `present` turns steps and arrays into text and pictures. Handlers only change
sessions and watch jobs; what changes many times a second (`steer`: scrubbing, sliding, looks) goes past Gradio.
`branching`, `blending`, `variation`, `keeping` and `inspector` are what the tabs do, `runs` what a saved file holds, and
`commands` the command line's share of it.

app imports train and engine; nothing imports app but `launch.py`.
"""

import os

# gradio reads these when it is imported: nothing leaves the machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
