def __getattr__(name):
    if name != '__version__': raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version # settings.ini's, as installed; loaded here because it takes 60 ms
    return version(__name__)
