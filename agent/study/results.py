"""Everything that comes of a study's finished updates, written into its folder.

Knows: which file is made of what. Refuses to know: how figures are worked out, drawn or laid out.
"""

import json

from agent.study.folder import StudyFolder, write_whole
from agent.study.page import page
from agent.study.pictures import draw_all
from agent.study.summary import Summary, at_a_shared_point, summarise
from agent.study.tables import item_lines, latex_table, matrix_csv, summary_csv
from memory_log.errors import BadInput


def write_results(folder: StudyFolder) -> Summary:
    """Write every file anew from the finished updates; what the study comes to.

    Raises:
        BadInput: no update has ended yet, or a line is damaged.
    """
    outcomes, config = folder.outcomes(), folder.config
    if not outcomes:
        raise BadInput(f"no update of {folder.path} has ended yet; go on with: selfparam study resume {folder.path}")
    summary = summarise(config, outcomes)
    if not summary.figures:
        raise BadInput(
            f"no part of {folder.path} has come to an update after which everything is asked; go on with: selfparam "
            f"study resume {folder.path}"
        )
    write_whole(folder.path / "items.jsonl", "".join(item_lines(outcomes)))
    write_whole(folder.path / "matrix.csv", matrix_csv(outcomes))
    write_whole(folder.path / "summary.csv", summary_csv(summary.figures))
    write_whole(folder.path / "summary.json", json.dumps(summary.as_json(), indent=2) + "\n")
    table = latex_table(summary.figures, name=config.name)
    write_whole(folder.path / "table.tex", table)
    pictures = draw_all(at_a_shared_point(outcomes), folder.path / "figures")
    write_whole(folder.path / "report.html", page(config, summary, pictures, folder.environment))
    return summary

