import re
import time

from promptflow.core import tool


@tool
def work(mode: str) -> str:
    if mode == "regex":
        # Two to the power of 60 ways to fail; `re` holds the interpreter meanwhile.
        re.match(r"(a+)+$", "a" * 60 + "!")
    if mode == "short regex":
        # A second or two.
        re.match(r"(a+)+$", "a" * 25 + "!")
    if mode == "loop":
        # Lets go of the interpreter every now and then, and never ends.
        while True:
            pass
    if mode == "wait":
        time.sleep(3600)
    return mode
