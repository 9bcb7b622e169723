"""
Scripts by which shells complete `edge`: made of the grammar, so that neither can be behind.

Laws: pure; a script asks no node and starts no process. Each shell gets the same table: where on
the line one is (`/deploy`, `/token/create`), what may follow there, and what an option takes.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

FILES: Final = "files"
"""What an option or operand takes: a file's name."""

SOURCES: Final = frozenset(["source"])
"""Operands that may be a file's name, and something else as well."""

Taken = tuple[str, ...] | str | None
"""Words to choose from, `FILES`, some text (empty), or None: nothing at all."""


class Option(NamedTuple):
    """One option of a command."""

    names: tuple[str, ...]
    text: str
    takes: Taken


class Place(NamedTuple):
    """Where on the line one may be, and what may follow."""

    path: str
    """Empty behind `edge` itself, else the commands given: `/token/create`."""
    commands: dict[str, str]
    """Name → what it does."""
    options: list[Option]
    operand: Taken


def places(parser: argparse.ArgumentParser, path: str = "") -> Iterator[Place]:
    """Every place of a grammar, the outermost first."""
    commands: dict[str, argparse.ArgumentParser] = {}
    texts: dict[str, str] = {}
    options = []
    operand: Taken = None
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to its grammar
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - ditto
            commands |= action.choices
            helps = {each.dest: each.help for each in action._choices_actions}  # noqa: SLF001
            texts |= {name: helps.get(name) or "" for name in action.choices}
        elif action.option_strings:
            options.append(Option(tuple(action.option_strings), action.help or "", taken(action)))
        elif operand is None:
            operand = taken(action)
    yield Place(path, texts, options, operand)
    for name, sub in commands.items():
        yield from places(sub, f"{path}/{name}")


def taken(action: argparse.Action) -> Taken:
    """What an option or operand takes."""
    if action.nargs == 0:
        return None
    if action.choices is not None:
        return tuple(map(str, action.choices))
    return FILES if action.type is Path or action.dest in SOURCES else ""


def values(table: list[Place]) -> dict[Taken, str]:
    """
    What options take → the pattern of `case` for `/path:--option`.

    An option that takes the same wherever it is has one pattern for all places.
    """
    meant: dict[str, set[Taken]] = {}
    for place in table:
        for option in place.options:
            for name in option.names:
                meant.setdefault(name, set()).add(option.takes)
    found: dict[Taken, dict[str, None]] = {}
    for place in table:
        for option in place.options:
            for name in option.names:
                path = "*" if len(meant[name]) == 1 else place.path
                found.setdefault(option.takes, {})[f"{path}:{name}"] = None
    return {takes: "|".join(each) for takes, each in found.items() if takes is not None}


def steps(table: list[Place]) -> str:
    """The pattern of `case` by which a word leads one place further."""
    return "|".join(place.path for place in table if place.path)


def words(place: Place) -> list[str]:
    """What may follow at a place, files aside."""
    operands = place.operand if isinstance(place.operand, tuple) else ()
    names = [name for option in place.options for name in option.names]
    return [*place.commands, *operands, *names]


BASH = """\
# Completion of edge for bash, by `edge completion bash`.
_edge() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} place= each words=
    COMPREPLY=()
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$place/$each" in
            {steps}) place=$place/$each ;;
        esac
    done
    case "$place:$before" in
{values}
        *) case "$place" in
{words}
        esac ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -o bashdefault -o default -F _edge edge
"""

NOT_FILES: Final = "compopt +o default +o bashdefault 2>/dev/null"
"""In bash, what is not completed becomes a file's name unless one says so."""


def bash(table: list[Place]) -> str:
    """For bash."""
    arms = []
    for takes, pattern in values(table).items():
        done = {FILES: "return", "": f"{NOT_FILES}; return"}
        then = choose(takes) if isinstance(takes, tuple) else done[takes or ""]
        arms.append(f"        {pattern}) {then} ;;")
    inner = []
    for place in table:
        only = "" if place.operand == FILES else f"{NOT_FILES}; "
        path = place.path or "''"
        inner.append(f"            {path}) {only}{choose(words(place))} ;;")
    return BASH.format(steps=steps(table), values="\n".join(arms), words="\n".join(inner))


def choose(offered: Iterable[str]) -> str:
    """The words that bash offers."""
    return f"words={shlex.quote(' '.join(offered))}"


ZSH = """\
#compdef edge
# Completion of edge for zsh, by `edge completion zsh`.
_edge() {{
    local place= each
    local -a offered
    for each in "${{(@)words[2,CURRENT-1]}}"; do
        case "$place/$each" in
            ({steps}) place=$place/$each ;;
        esac
    done
    case "$place:${{words[CURRENT-1]}}" in
{values}
    esac
    case "$place" in
{words}
    esac
    _describe edge offered
}}
if [ "$funcstack[1]" = _edge ]; then _edge "$@"; else compdef _edge edge; fi
"""


def zsh(table: list[Place]) -> str:
    """For zsh: sourced, or as `_edge` in a folder of `$fpath`."""
    arms = []
    for takes, pattern in values(table).items():
        done = {FILES: "_files; return", "": "return"}
        chosen = f"compadd {shlex.join(takes)}; return" if isinstance(takes, tuple) else ""
        arms.append(f"        ({pattern}) {chosen or done[str(takes)]} ;;")
    inner = []
    for place in table:
        described = shlex.join(descriptions(place))
        files = "_files; " if place.operand == FILES else ""
        inner.append(f"        ({place.path or chr(39) * 2}) {files}offered=({described}) ;;")
    return ZSH.format(steps=steps(table), values="\n".join(arms), words="\n".join(inner))


def descriptions(place: Place) -> Iterator[str]:
    """`word:what it is`, as `_describe` takes it."""
    for name, text in place.commands.items():
        yield f"{name}:{text}"
    yield from place.operand if isinstance(place.operand, tuple) else ()
    for option in place.options:
        for name in option.names:
            yield f"{name}:{option.text or option.names[-1].lstrip('-')}"


FISH = """\
# Completion of edge for fish, by `edge completion fish`.
function __edge_at
    set -l place ''
    for each in (commandline -opc)[2..]
        switch "$place/$each"
            case {steps}
                set place "$place/$each"
        end
    end
    test "$place" = "$argv[1]"
end
complete -c edge -f
"""


def fish(table: list[Place]) -> str:
    """For fish."""
    lines = [FISH.format(steps=" ".join(place.path for place in table if place.path))]
    for place in table:
        begin = f"complete -c edge -n '__edge_at \"{place.path}\"'"
        lines += [f"{begin} -a {name} -d {quoted(text)}\n" for name, text in place.commands.items()]
        if place.operand == FILES:
            lines.append(f"{begin} -F\n")
        elif isinstance(place.operand, tuple):
            lines.append(f"{begin} -a {quoted(' '.join(place.operand))}\n")
        lines += [f"{begin}{option_in_fish(option)}\n" for option in place.options]
    return "".join(lines)


def option_in_fish(option: Option) -> str:
    """An option's part of a line."""
    parts = [f"-l {each[2:]}" if each[:2] == "--" else f"-s {each[1:]}" for each in option.names]
    match option.takes:
        case None:
            pass
        case tuple():
            parts += ["-x", "-a", quoted(" ".join(option.takes))]
        case text:
            parts.append("-r -F" if text == FILES else "-x")
    if option.text:
        parts += ["-d", quoted(option.text)]
    return " " + " ".join(parts)


def quoted(text: str) -> str:
    """As fish reads it: between single quotes, a backslash before one of them and itself."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Final[dict[str, Callable[[list[Place]], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script of one shell, for a whole grammar."""
    return SHELLS[shell](list(places(parser)))
