import json


def echo(thing: dict, words: list) -> str:
    return json.dumps([thing, words])
