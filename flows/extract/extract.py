"""Read the facts of an invoice out of a text: who, how much, until when."""

import json
from dataclasses import dataclass
from pathlib import Path

from openai import AsyncAzureOpenAI
from promptflow.core import AzureOpenAIModelConfiguration

PROMPT = Path(__file__).with_name("prompt.txt").read_text(encoding="utf-8")


@dataclass
class Invoice:
    """What the text says; a fact that it does not state is an empty string, or 0."""

    supplier: str
    amount: float
    currency: str
    due: str


class Extractor:
    """Made once when the container starts; called once a request, on the event loop."""

    def __init__(self, model_config: AzureOpenAIModelConfiguration) -> None:
        self.deployment = model_config.azure_deployment
        credential: dict = {"api_key": model_config.api_key}
        if not model_config.api_key:
            from azure.identity.aio import DefaultAzureCredential, get_bearer_token_provider

            credential = {
                "azure_ad_token_provider": get_bearer_token_provider(
                    DefaultAzureCredential(), "https://cognitiveservices.azure.com/.default"
                )
            }
        self.client = AsyncAzureOpenAI(
            azure_endpoint=model_config.azure_endpoint,
            api_version=model_config.api_version,
            **credential,
        )

    async def __call__(self, text: str) -> Invoice:
        """Return the facts that `text` states."""
        completion = await self.client.chat.completions.create(
            model=self.deployment,
            temperature=0,
            response_format={"type": "json_object"},
            messages=[
                {"role": "system", "content": PROMPT},
                {"role": "user", "content": text},
            ],
        )
        facts = json.loads(completion.choices[0].message.content or "{}")
        return Invoice(
            supplier=str(facts.get("supplier", "")),
            amount=float(facts.get("amount") or 0),
            currency=str(facts.get("currency", "")),
            due=str(facts.get("due", "")),
        )
