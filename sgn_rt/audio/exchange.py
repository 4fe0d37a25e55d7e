"""Files of a folder exchanged for others: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from sgn_rt._atomic import write_whole


def exchange(
    folder: Path,
    before: Collection[str],
    files: Mapping[str, Path],
    *,
    aside: Path,
    note: Path,
    begun: bytes,
    done: bytes | None,
) -> None:
    """Put files in the place of others.

    Whoever is killed in the midst of it leaves ``begun`` as the note of the folder, so that others
    can tell; an error puts everything back, the note too.

    Parameters
    ----------
    folder
        That is changed.
    before
        Names of files in it that go; those that are not there are passed over.
    files
        Name -> finished file on the same file system, which takes that name.
    aside
        Folder on the same file system, where the files that go are moved.
    note
        File in the folder that is written before anything changes, and once more at the end.
    begun, done
        What is written there then; with ``done`` None, the note goes.

    Raises
    ------
    OSError
        If something is in the way, or the system refuses.
    """
    moves = [(folder / name, aside / name) for name in before if os.path.lexists(folder / name)]
    moves += [(file, folder / name) for name, file in files.items()]
    undo: list[tuple[Path, Path]] = []
    old = note.read_bytes() if note.exists() else None
    try:
        write_whole(note, begun)
        for start, end in moves:
            if os.path.lexists(end):
                raise FileExistsError(f"something at {end} that no run wrote")
            undo.append((start, end))
            os.rename(start, end)
        if done is None:
            note.unlink()
        else:
            write_whole(note, done)
    except BaseException:
        for start, end in reversed(undo):
            if os.path.lexists(end):  # the last may not have come to it
                os.rename(end, start)
        if old is None:
            note.unlink(missing_ok=True)
        else:
            write_whole(note, old)
        raise
