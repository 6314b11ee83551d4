"""The faces verbs: enroll, list, remove, test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.cli_common import ConfigFile, Json, Overrides, Profile, err, out, reported
from edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.audition import Appearance
    from edge.config import Settings
    from edge.enrolment import Shot
    from edge.people import Person

faces_app = typer.Typer(
    no_args_is_help=True,
    help="Enrol people whose faces may stay visible. What is stored of them is encrypted, and "
    "nothing of it can be shown as a picture.",
)
_GOOD_SHOTS = 5
_MAX_ROWS = 60


@faces_app.command("enroll")
def faces_enroll(  # noqa: PLR0917 - typer's way
    name: Annotated[str, typer.Argument(help="What to call the person.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES|DIR|SOURCE",
            help="Photographs, a folder of them, a video file, or a camera or address as for "
            "'privaedge run', of which a minute is watched.",
        ),
    ],
    min_shots: Annotated[
        int, typer.Option("--min-shots", min=1, help="Accept this many good shots.")
    ] = _GOOD_SHOTS,
    replace: Annotated[
        bool, typer.Option("--replace", help="Forget what is stored under that name.")
    ] = False,
    profile: Profile = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Let a person stay visible, from shots that show nobody else.

    Good are at least 5, sharp, from the front, in the light and at the distance of the stream.
    Which were refused, and why, is shown. Switch it on with video.whitelist.enabled=true.
    """
    with reported():
        from edge import enrolment
        from edge.enrolment_models import add_person, refuse_double
        from edge.people import check_name
        from edge.people_store import PeopleStore

        check_name(name)
        settings = _settings(profile, config, overrides)
        store = PeopleStore()
        refuse_double(store.load(), name, replace=replace)
        judge, model = _judge(settings)
        shots = enrolment.compare(list(enrolment.shots_of(sources, judge)))
        out.print(_shots_table(shots))
        good = sum(shot.problem is None for shot in shots)
        if good < min_shots:
            raise ConfigError(
                f"{good} of {len(shots)} shots are good, and {min_shots} are asked for. Add more, "
                "or lower --min-shots: fewer shots know the person less well."
            )
        person = enrolment.enrol(name, shots)
        assert person is not None  # min_shots is 1 at least
        people = add_person(store, model, person, replace=replace)
        out.print(f"{name} is enrolled from {good} shots.", markup=False, highlight=False)
        if good < _GOOD_SHOTS:
            err.print(f"Fewer than {_GOOD_SHOTS} shots: {name} may often be hidden.", markup=False)
        _warn_of_likeness(people, person)


@faces_app.command("list")
def faces_list(as_json: Json = False) -> None:
    """List the enrolled people."""
    with reported():
        from rich.table import Table

        from edge.people_store import PeopleStore

        people = PeopleStore().load()
        members = people.members if people is not None else ()
        if as_json:
            out.print_json(data=[
                {"name": p.name, "shots": p.shots, "threshold": round(p.threshold, 3)}
                for p in members
            ])  # fmt: skip
            return
        if people is None or not members:
            out.print("Nobody is enrolled.")
            return
        table = Table(caption=f"model {people.model}", caption_justify="left")
        table.add_column("name")
        for column in ("shots", "likeness of shots", "shown from"):
            table.add_column(column, justify="right")
        for person in members:
            alike = f"{person.likeness:.2f} ± {person.spread:.2f}" if person.shots > 1 else "–"
            table.add_row(_plain(person.name), str(person.shots), alike, f"{person.threshold:.2f}")
        out.print(table)


@faces_app.command("remove")
def faces_remove(name: Annotated[str, typer.Argument(help="Who is to be forgotten.")]) -> None:
    """Delete what is stored of a person, for good: the file is rewritten and overwritten.

    With the last person the key is deleted, too. Backups and snapshots are yours to see to.
    """
    with reported():
        from edge.people import People
        from edge.people_store import PeopleStore

        def change(people: People | None) -> People:
            return (people or People("", "")).without(name)

        PeopleStore().update(change)
        out.print(f"{name} is forgotten.", markup=False, highlight=False)


@faces_app.command("test")
def faces_test(  # noqa: PLR0917 - typer's way
    source: Annotated[str, typer.Argument(help="A video, photograph, camera or address.")],
    profile: Profile = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, help="How much of it is watched.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Show who would be visible, with scores; nothing is written.

    A score is the cosine with the enrolled person who comes nearest: the least, the median and the
    largest over the looks that could tell. In a photograph, one look decides.
    """
    with reported():
        settings = _settings(profile, config, overrides)
        names, appearances = _audition(settings, source, seconds)
        if as_json:
            out.print_json(data=[_as_json(a, names) for a in appearances])
        else:
            out.print(_test_table(appearances, names))


def _settings(profile: str | None, config: Any, overrides: list[str] | None) -> Settings:
    from edge.config_io import load_config

    return load_config(profile, config, overrides or ())


def _judge(settings: Settings) -> Any:
    from edge import progress
    from edge.enrolment_models import load_judge

    with progress.fetching(err) as fetching:
        return load_judge(settings, fetching)


def _audition(
    settings: Settings, source: str, seconds: float
) -> tuple[Sequence[str], list[Appearance]]:
    from pathlib import Path

    from edge import progress
    from edge.audition import audition
    from edge.build import cadence, prepare_process
    from edge.enrolment import frames_of
    from edge.enrolment_models import with_faces
    from edge.face_model import load_face_model
    from edge.frame import Frame
    from edge.lanes.faces import FaceLane
    from edge.media.still import SUFFIXES, read_still
    from edge.recognition import load_recognition
    from edge.track import TrackerSettings

    settings = with_faces(settings)
    prepare_process()
    still = Path(source).suffix.lower() in SUFFIXES
    if still:
        rules = settings.video.whitelist.model_copy(update={"votes": 1})
        settings = settings.model_copy(
            update={"video": settings.video.model_copy(update={"whitelist": rules})}
        )
    with progress.fetching(err) as fetching:
        recognition = load_recognition(settings, fetching)
        finder = load_face_model(settings, fetching)
    if recognition is None:
        raise ConfigError("nobody is enrolled. Run `privaedge faces enroll NAME FILES`.")
    assert finder is not None
    stable, known, find = settings.stabilization, recognition, finder

    def make(width: int, height: int, on_votes: Any) -> FaceLane:
        return FaceLane(
            find.make(),
            TrackerSettings(find.conf, stable.k_confirm, stable.k_hold, stable.iou_thresh),
            width,
            height,
            lookahead_s=stable.lookahead_s,
            refine=settings.scheduler.refine,
            recogniser=known.recogniser(settings, find.conf),
            whitelist=known.whitelist(settings),
            on_votes=on_votes,
        )

    if still:
        frames = iter([Frame(0, 0.0, 0, read_still(Path(source)))])
    else:
        frames = frames_of(source, seconds)
    return known.people.names, audition(frames, make, cadence(settings))


# -- tables --------------------------------------------------------------------------------------


def _shots_table(shots: Sequence[Shot]) -> Any:
    from rich.table import Table

    table = Table()
    table.add_column("shot", overflow="fold")
    table.add_column("px", justify="right")
    table.add_column("verdict", overflow="fold")
    for shot in shots[:_MAX_ROWS]:
        table.add_row(_plain(shot.origin), str(shot.face_px or ""), shot.problem or "good")
    if len(shots) > _MAX_ROWS:
        table.caption = f"and {len(shots) - _MAX_ROWS} more"
    return table


def _test_table(appearances: Sequence[Appearance], names: Sequence[str]) -> Any:
    from rich.table import Table

    table = Table(caption="shown: part of the frames with that face", caption_justify="left")
    table.add_column("face")
    for column in ("from s", "to s", "shown"):
        table.add_column(column, justify="right")
    table.add_column("nearest")
    table.add_column("looks", justify="right")
    table.add_column("score", justify="right")
    for one in appearances:
        nearest, scores = one.nearest, sorted(one.likeness)
        middle = scores[len(scores) // 2] if scores else 0.0
        table.add_row(
            str(one.track_id),
            f"{one.first_s:.1f}",
            f"{one.last_s:.1f}",
            f"{one.visible / one.frames:.0%}",
            _plain(names[nearest]) if nearest is not None else "–",
            f"{one.agreed} of {len(one.votes)}",
            f"{scores[0]:.2f} {middle:.2f} {scores[-1]:.2f}" if scores else "–",
        )
    return table


def _as_json(one: Appearance, names: Sequence[str]) -> dict[str, Any]:
    nearest = one.nearest
    return {
        "track": one.track_id,
        "from_s": round(one.first_s, 3),
        "to_s": round(one.last_s, 3),
        "frames": one.frames,
        "frames_shown": one.visible,
        "nearest": names[nearest] if nearest is not None else None,
        "looks": len(one.votes),
        "looks_agreed": one.agreed,
        "scores": [round(score, 3) for score in one.likeness],
    }


def _warn_of_likeness(people: Any, person: Person) -> None:
    from edge.lanes.whitelist import MARGIN

    other = people.nearest_other(person)
    if other is not None and other[1] >= person.threshold - MARGIN:
        err.print(
            f"{person.name} and {other[0]} look alike ({other[1]:.2f}): both may often be hidden.",
            markup=False,
            highlight=False,
        )


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
