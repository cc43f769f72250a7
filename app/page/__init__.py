"""The page: gradio components and their handlers. Handlers change the session and return at once, or follow a job."""

import os

from app.session import uploads

# gradio reads these when it is imported, and serves what lies there: it must hold nothing else.
os.environ["GRADIO_TEMP_DIR"] = str(uploads.folder())
os.environ["GRADIO_EXAMPLES_CACHE"] = str(uploads.folder() / "examples")
