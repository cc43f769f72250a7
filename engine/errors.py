"""Errors a user can cause. Each message is one plain sentence: what was found, what was expected, what to do."""


class EngineError(Exception):
    """Something outside the engine is not as it should be."""


class ImageError(EngineError):
    """A picture cannot be used."""


class DataError(EngineError):
    """A data set folder cannot be used."""


class CheckpointError(EngineError):
    """A checkpoint cannot be used."""


class SceneError(EngineError):
    """A scene file cannot be used."""


class TimelineError(EngineError):
    """A saved run cannot be used."""


class ConfigError(EngineError):
    """A configuration is not understood."""


class UnsupportedTaskError(EngineError):
    """A method was asked for what it cannot do."""


class RegionError(EngineError):
    """A part of an object cannot be kept."""


class ExportError(EngineError):
    """Something cannot be written as a mesh, picture or video, or such a file cannot be read."""


def one_line(error: Exception) -> str:
    """What an error of somebody else's code says, without its line breaks; its name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
