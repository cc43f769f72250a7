"""The page: gradio components and their handlers, which change the session and return; what comes of it is told by `news`."""

import os

from app.session import uploads

# gradio reads these when it is imported, and serves what lies there: it must hold nothing else.
os.environ["GRADIO_TEMP_DIR"] = str(uploads.folder())
os.environ["GRADIO_EXAMPLES_CACHE"] = str(uploads.folder() / "examples")
