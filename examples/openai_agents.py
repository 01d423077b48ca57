"""An agent of OpenAI's Agents SDK that remembers what it is told, across sessions and without any notes in its prompt.

    pip install 'selfparam[serve]' openai-agents
    selfparam serve --batch 1 --max-wait 0        # in another terminal
    python examples/openai_agents.py

What is said with `store` becomes an experience; the server learns it while it goes on answering. Each run of the agent
below starts with an empty conversation, so what it knows later comes from the model's weights.
"""

import os
import time

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

URL = os.environ.get("SELFPARAM_URL", "http://127.0.0.1:8000/v1")
TOLD = "I put the red mug in the kitchen drawer."
ASKED = "Where can I find the red mug?"

set_tracing_disabled(True)  # the SDK would send its traces to OpenAI
client = AsyncOpenAI(base_url=URL, api_key=os.environ.get("SELFPARAM_KEY", "none"))
model = OpenAIChatCompletionsModel(model="default", openai_client=client)

listener = Agent(name="listener", model=model, model_settings=ModelSettings(store=True, metadata={"session": "demo"}))
teller = Agent(name="teller", model=model)


def ask() -> str:
    """A new conversation with one question."""
    return str(Runner.run_sync(teller, ASKED).final_output)


if __name__ == "__main__":
    before = ask()
    print(f"before: {before}")
    print(f"told:   {TOLD}   ->   {Runner.run_sync(listener, TOLD).final_output}")
    print("learning (about a minute) ...")
    while (after := ask()) == before:
        time.sleep(1)
    print(f"after:  {after}")
