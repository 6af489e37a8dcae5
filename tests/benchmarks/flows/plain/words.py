from promptflow.core import tool


@tool
def words(question: str) -> list:
    return question.lower().split()
