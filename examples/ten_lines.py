"""An agent's memory from Python: told, asked, updated, asked again. Runs in one process, without Ray.

python examples/ten_lines.py
"""

from agent.memory import AgentMemory

with AgentMemory.open("my-agent") as memory:
    memory.tell("I put the red mug in the kitchen drawer.")
    before = memory.ask("Where is the red mug?")
    report = memory.update()
    after = memory.ask("Where can I find the red mug?")
    print(f"version {before.version}: {before.text}")
    print(f"version {after.version}: {after.text}   (efficacy {report.efficacy:.2f}, {report.seconds:.0f} s)")
