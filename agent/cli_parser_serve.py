"""The arguments of `serve`, `learn` and `keys`. Knows argparse. Refuses to know what a command does."""

import argparse
from typing import get_args

from agent import commands_learn, commands_serve
from agent.api.keys import SCOPES
from agent.cli_arguments import add_command, add_plain, figure, positive, utf8, whole
from agent.cli_parser_settings import add_settings_options
from memory_log.records import ClaimOrder

_SERVE = """\
Serve a home over HTTP: OpenAI's chat and text completions, and the memory beside them. A process of its own
learns what is told; its new versions are taken up while answers go on. Needs: pip install 'selfparam[serve]'

  $ selfparam serve --port 8000
  $ curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \\
      -d '{"model": "default", "messages": [{"role": "user", "content": "Where is the red mug?"}]}'

With "store": true a request's last message becomes an experience. Stops at Ctrl-C or SIGTERM: answers that
have begun are finished, an update that runs is given up, and what was told is on disk."""


def add_serve(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add all three."""
    serve = add_command(
        subparsers, "serve", commands_serve.serve, "serve a home over HTTP, and learn what it is told",
        _SERVE,
    )  # fmt: skip
    serve.add_argument(
        "--host", default="127.0.0.1", type=utf8, metavar="ADDRESS",
        help="address to listen on; one that others can reach needs a key, see `selfparam keys` (default: 127.0.0.1)",
    )  # fmt: skip
    serve.add_argument("--port", type=_port, default=8000, metavar="N", help="0 takes a free one (default: 8000)")
    serve.add_argument(
        "--no-learn", action="store_true", dest="is_without_learning",
        help="only answer and take experiences; `selfparam learn` may run elsewhere (default: learn)",
    )  # fmt: skip
    serve.add_argument(
        "--requests-per-minute", type=positive, metavar="N", help="most requests of one key or address (default: any)"
    )
    serve.add_argument(
        "--max-batch", type=positive, default=32, metavar="N", help="answers decoded together (default: 32)"
    )
    serve.add_argument(
        "--max-waiting", type=positive, default=256, metavar="N",
        help="answers that may wait; more are refused with 429 (default: 256)",
    )  # fmt: skip
    serve.add_argument(
        "--max-versions", type=_at_least_two, default=4, metavar="N",
        help="versions kept in memory, the least recently asked goes first (default: 4)",
    )  # fmt: skip
    serve.add_argument(
        "--threads", type=positive, metavar="N",
        help="CPU threads for answers (default: 1 for a model below 20 million weights, else all)",
    )  # fmt: skip
    serve.add_argument(
        "--swap", choices=("auto", "copy", "in-place"), default="auto",
        help="how a new version comes in: as a copy of the model, or into the same weights, for which the base model "
        "is written into the home once more while the server runs; auto takes copies for a model below 20 million "
        "weights (default: auto)",
    )  # fmt: skip
    _add_schedule(serve)
    add_settings_options(serve)
    learn = add_command(
        subparsers, "learn", commands_learn.learn, "learn experiences as they come, until stopped",
        "Learn a lineage's experiences as they come: an update begins when enough wait, or have waited long enough.\n"
        "`selfparam serve` starts one by itself. Stops at Ctrl-C or SIGTERM; an update that runs is given up, and its\n"
        "experiences wait.",
    )  # fmt: skip
    _add_schedule(learn)
    learn.add_argument(
        "--until-eof", action="store_true", dest="is_until_eof",
        help="stop also when standard input ends, as it does when the program that started this one dies "
        "(default: at a signal only)",
    )  # fmt: skip
    add_settings_options(learn)
    add_plain(learn)
    _add_keys(subparsers)


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch", type=positive, dest="batch_size", default=8, metavar="N",
        help="begin an update when N experiences wait, and learn at most N at once (default: 8)",
    )  # fmt: skip
    parser.add_argument(
        "--max-wait", type=_seconds, dest="max_wait_seconds", default=30.0, metavar="SECONDS",
        help="begin for fewer when they have waited so long (default: 30)",
    )  # fmt: skip
    parser.add_argument(
        "--surprise", type=figure, dest="surprise_nats", metavar="NATS",
        help="begin for fewer when they are so surprising together, in nats a token (default: never)",
    )  # fmt: skip
    parser.add_argument(
        "--order", choices=get_args(ClaimOrder), default="oldest", help="which are learned first (default: oldest)"
    )


def _add_keys(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    keys = add_command(
        subparsers, "keys", commands_serve.list_keys, "list, make and remove API keys",
        "List the API keys of a home. While there is none, a server that only this computer reaches is open to all\n"
        "its users; with the first one, every request needs a key: Authorization: Bearer KEY.",
    )  # fmt: skip
    verbs = keys.add_subparsers(title="verbs", metavar="VERB", help="what to do (default: list)")
    add = add_command(
        verbs, "add", commands_serve.add_key, "make a key",
        "Make a key and print it, this once: only its hash is kept.\n\n"
        "  $ selfparam keys add robot --scope ask --scope tell",
    )  # fmt: skip
    add.add_argument("key_name", metavar="NAME", type=utf8, help="whose key it is")
    add.add_argument(
        "--scope", choices=SCOPES, action="append", dest="scopes",
        help="what it may do: ask (questions, versions), tell (experiences), admin (all, also forget, activate and "
        "pause). May be repeated (default: ask and tell)",
    )  # fmt: skip
    remove = add_command(
        verbs, "remove", commands_serve.remove_key, "remove a key",
        "Let a key open nothing any more. Servers that run notice at once.\n\n  $ selfparam keys remove robot",
    )  # fmt: skip
    remove.add_argument("key_name", metavar="NAME", type=utf8, help="the key's name")


def _port(text: str) -> int:
    number = whole(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"got {text!r}, needs a port from 0 to 65535")
    return number


def _at_least_two(text: str) -> int:
    number = whole(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"got {text!r}, needs at least 2: what serves and what is made ready")
    return number


def _seconds(text: str) -> float:
    number = figure(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, needs seconds from 0")
    return number
