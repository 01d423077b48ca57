"""The command line: how `selfparam` begins and how it ends.

Knows the environment, errors and exit codes; `cli_parser` knows the arguments and `commands` does the work. Imports no
torch and no Ray, so that `selfparam tell` is quick.
"""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy.exc import DBAPIError

from agent.cli_parser import build_parser
from agent.commands import Options
from agent.home import resolve_home
from agent.threads import spin_briefly
from memory_log.errors import (
    BadInput,
    BaseModelChanged,
    IdempotencyConflict,
    NotAModel,
    SelfParamError,
    UnknownExperience,
    UnknownVersion,
)

EXIT_FAILED: Final = 1
EXIT_WRONG_USE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141

WRONG_USE: Final = (BadInput, BaseModelChanged, IdempotencyConflict, NotAModel, UnknownExperience, UnknownVersion)


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run one command; the exit code.

    Args:
        argv: the arguments without the program's name; None takes the process's.
        environment: variables; None takes the process's.

    Raises:
        SystemExit: `--help`, `--version` or arguments that cannot be parsed, as argparse does.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a text in the log may not fit the terminal's encoding
    spin_briefly()
    options = build_parser().parse_args(argv, namespace=Options())
    try:
        options.home = resolve_home(options.home_option, os.environ if environment is None else environment)
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _let_go_of_stdout()
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        print("selfparam: interrupted; nothing that was acknowledged is lost", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (SelfParamError, DBAPIError, OSError) as exc:
        if options.debug:
            raise
        print(f"selfparam: {' '.join(_explained(exc, options).split())}", file=sys.stderr)
        return EXIT_WRONG_USE if isinstance(exc, WRONG_USE) else EXIT_FAILED


def _explained(exc: Exception, options: Options) -> str:
    if isinstance(exc, DBAPIError):  # its own text is the whole statement with its values
        return f"the log of {options.home} cannot be used: {exc.orig}"
    if isinstance(exc, OSError) and not isinstance(exc, SelfParamError):
        return f"{exc.strerror or exc}: {exc.filename}" if exc.filename else str(exc.strerror or exc)
    return str(exc).removeprefix("NewExperience not accepted: ")


def _let_go_of_stdout() -> None:
    # The interpreter flushes stdout once more at exit, and would complain about the same pipe again.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


if __name__ == "__main__":
    sys.exit(main())
