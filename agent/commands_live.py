"""What `selfparam live` does: a file of conversations learned day by day."""

from itertools import groupby

from agent.cli_display import UpdateProgress, count
from agent.commands import Options
from agent.commands_learn import only_learner
from agent.commands_log_files import STANDARD, opened_file, source_name
from agent.home import Home
from agent.home_import import source_of
from agent.sessions.days import DayLearned, days_of, live_through
from memory_log.errors import BadInput


def live(options: Options) -> int:
    """Live through a file's days; print a line for each."""
    if options.file == STANDARD:
        raise BadInput("live reads its file again when it goes on, which standard input cannot; name a file")
    lineage = options.lineage if options.is_lineage_given else None
    with opened_file(options) as (read, _):
        try:
            days = days_of(read.items, lineage=lineage, until=options.until)
        except BadInput as exc:
            raise BadInput(f"{options.file}, {exc}") from exc
    if not days:
        raise BadInput(f"{options.file} holds nothing to live through; a later --until may take more of it")
    home = Home.open(options.home, model=options.model)
    from agent.commands_settings import chosen_settings
    from agent.memory import AgentMemory
    from agent.worker import end_lease_of_predecessor

    for name, of_lineage in groupby(days, key=lambda day: day.lineage):
        asked = [one for of, questions in read.questions.items() if lineage or of == name for one in questions]
        with only_learner(home.path, name) as owner, AgentMemory.open(
            home.path, lineage=name, device=options.device, chosen=chosen_settings(options), owner=owner
        ) as memory:
            end_lease_of_predecessor(memory.log, name, owner)
            for day in of_lineage:
                with UpdateProgress(is_plain=options.is_plain) as progress:
                    learned = live_through(
                        memory, day, source=options.source or source_name(options.file), own_source=source_of(home),
                        questions=asked, limit=options.limit, progress=progress,
                    )  # fmt: skip
                _show(learned, is_json=options.is_json, names_lineage=len({one.lineage for one in days}) > 1)
    return 0


def _show(learned: DayLearned, *, is_json: bool, names_lineage: bool) -> None:
    if is_json:
        print(learned.model_dump_json(), flush=True)
        return
    refused = f", {learned.num_refused} refused" if learned.num_refused else ""
    words = f"{count(learned.num_experiences, 'experience')}, {learned.num_learned} learned{refused}"
    version = "no version" if learned.version is None else f"version {learned.version}"
    lineage = f"{learned.lineage}  " if names_lineage else ""
    print(f"{lineage}{learned.date}  {words}   {version}", flush=True)
