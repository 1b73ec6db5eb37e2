"Jobs for workers; light, since each worker imports them"
import os, time
from pathlib import Path

def ended_once(folder, n):
    "Writes down who works on it; whoever is the first waits to be ended from outside"
    (Path(folder)/f'{n}-{os.getpid()}').touch()
    if len(list(Path(folder).glob(f'{n}-*'))) == 1: time.sleep(60)
    return n

def square(n):
    time.sleep(.2)
    return n*n
