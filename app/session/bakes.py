"""Scenes made ready for rendering: the latest few, prepared one at a time by a thread of their own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from engine.fields.base import Field
from engine.render.frames import Baked, bake

MOST = 8
"""Scenes kept ready."""


class Bakes:
    """The baked scenes of one session."""

    def __init__(self, on_late: Callable[[], None]):
        """`on_late` is called when a scene is ready for which somebody did not wait."""
        self._on_late = on_late
        self._ready: OrderedDict[Hashable, Future[Baked]] = OrderedDict()
        self._lock = threading.RLock()
        self._glances = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="bake")
        self._asked: Future[Baked] | None = None

    def adopt(self, key: Hashable, baked: Future[Baked]) -> None:
        """Keep a scene that somebody else prepares."""
        with self._lock:
            self._ready[key] = baked

    def get(self, key: Hashable, field: Callable[[], Field]) -> Future[Baked]:
        """A scene by its key; `field` makes it where it is not there."""
        with self._lock:
            known = self._ready.get(key)
            if known is None or (known.done() and (known.exception() or known.result().outdated)):
                self._ready[key] = self._worker.submit(lambda: bake(field()))
                while len(self._ready) > MOST:
                    self._ready.popitem(last=False)
            self._ready.move_to_end(key)
            return self._ready[key]

    def glance(self, key: Hashable, field: Callable[[], Field]) -> Baked:
        """A scene for one small picture: what is ready is used, and what is not takes nobody's place."""
        with self._lock:
            known = self._ready.get(key)
        if known is not None and known.done() and not known.exception():
            return known.result()
        with self._glances:
            return bake(field())

    def prepared(
        self, key: Hashable, field: Callable[[], Field], patience_s: float
    ) -> Baked | None:
        """The same without waiting long for it.

        Returns None if it takes longer than `patience_s`; `on_late` is called once it is ready. One is prepared at a
        time: of the scenes that are asked for meanwhile, only the last will be asked for again.
        """
        with self._lock:
            known, busy = self._ready.get(key), self._asked
        ready = known is not None and known.done()
        if not ready and busy is not None and wait([busy], patience_s).not_done:
            return None
        baking = self.get(key, field)
        self._asked = self._asked if ready else baking
        try:
            return baking.result(patience_s)
        except TimeoutError:
            baking.add_done_callback(lambda _: self._on_late())
            return None

    def close(self) -> None:
        """Prepare nothing more, and let go of all."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._ready.clear()
