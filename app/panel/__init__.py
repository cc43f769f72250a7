"""The page: gradio components and their handlers. Handlers change the session and return at once, or watch a job."""
