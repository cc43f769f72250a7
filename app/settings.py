"""Settings of the explorer."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class AppSettings:
    """One explorer process."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 opens the page to the network."""
    port: int = 7860
    """The only port; 0 takes a free one."""
    checkpoint: str = "vehicles"
    """The model that pages open with: name under checkpoints/, a path, or `toy` for the method without weights."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: a GPU where there is one."""
    root_path: str = ""
    """Prefix under which a reverse proxy serves the page, e.g. `ssd`."""
    password: str = ""
    """Key that every visitor needs. Where others can reach `host`, one is made up if none is given here or in the variable SSDNERF_PASSWORD."""
    allow_host: tuple[str, ...] = ()
    """Names beside its own that the server answers under, e.g. `nerf.example.org` of a reverse proxy."""
    allow_frame: tuple[str, ...] = ()
    """Origins whose pages may show this one in a frame, e.g. `https://wiki.example.org`."""
    trust_proxy: tuple[str, ...] = ()
    """Addresses of reverse proxies whose X-Forwarded-For, -Host and -Proto are believed, e.g. `127.0.0.1`."""
    max_upload_mb: int = 64
    """Largest file that may be sent: a picture, or a saved run."""
    max_files_mb: int = 2048
    """Disk for files that visitors sent, in all; a quarter of it for one address."""
    max_queue: int = 64
    """Runs that may wait for the worker: two of each tab, and half of them of one address."""
    max_sessions: int = 64
    """Open tabs and programs; more are refused with a sentence."""
    max_sessions_per_address: int = 24
    """The same from one address."""
    max_viewports: int = 64
    """Live viewports, which take turns at drawing; beyond it one that was left is closed, or a new one refused."""
    max_history: int = 32
    """Results that one tab keeps."""
    max_latent_mb: int = 192
    """Memory for the steps that one tab keeps; the oldest runs lose theirs first."""
    grace_s: float = 45.0
    """Seconds for which a viewport outlives its connection."""
    session_ttl_s: float = 300.0
    """Seconds for which a session outlives its last sign of life."""
    state_dir: str = "auto"
    """Folder for results that survive a restart (below it, private); `auto` takes $XDG_STATE_HOME or ~/.local/state, `none` keeps none."""
    state_days: float = 7.0
    """Days for which results of a closed tab stay there."""
    max_state_mb: int = 2048
    """Disk space for all results there; the oldest tabs' go first."""

    @property
    def prefix(self) -> str:
        """`root_path` as the start of addresses: empty, `/ssd`, or a whole address without a slash at the end."""
        path = self.root_path.strip().rstrip("/")
        return path if not path or "://" in path else "/" + path.lstrip("/")

    @property
    def path(self) -> str:
        """The path alone of `prefix`: empty, or `/ssd`."""
        return urlsplit(self.prefix).path
