"""A visit to an installation that is well, and to ones where something went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from backend.doctor import visit as visit_module
from backend.doctor.check import Check, Finding, State, fine, wrong
from backend.doctor.checks import OF_INSTALLATION, OF_PROJECT
from backend.doctor.examine import LACKS, Examination
from backend.doctor.looks import firing
from backend.doctor.patient import Patient
from backend.doctor.report import exit_code_of
from backend.doctor.visit import Visit
from backend.label_studio import BackendInfo, PushedPrediction, User
from backend.pipeline.sync.drift import webhook_headers, webhook_url
from backend.pipeline.sync.reading import read_project
from backend.queue import RedisFacts
from backend.settings import ProjectSettings
from backend.store.models import AnnotationRow, PredictionRow, ProblemRow, ProjectRow, VersionRow
from backend.store.projects import RUN_FAILED
from backend.store.tasks.queues import QueueEntryRow, QueueTabRow
from domain.errors import ImageError, StackError
from domain.queues import QueueArm, QueueExit
from tests.fakes.app import PROJECT
from tests.fakes.label_studio import polygon
from tests.unit.backend.doctor.conftest import Installation, found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "WAIT_S", 0.3)
    monkeypatch.setattr(firing, "_LOOK_S", 0.02)


def _states(visit: Visit) -> dict[str, State]:
    return {one.check.id: one.finding.state for one in visit.looked}


def test_where_all_is_well_nothing_is_wrong_and_all_is_looked_at(well: Installation) -> None:
    visit = well.visit(is_whole=True)
    states = _states(visit)
    assert set(states) == {check.id for check in (*OF_INSTALLATION, *OF_PROJECT)}
    odd = {name: state for name, state in states.items() if state in ("wrong", "not looked at")}
    # A machine of tests may be small; its memory is its own business.
    assert odd.keys() <= {"memory", "shared_memory", "disk", "versions"}, odd
    assert not any(one.mended for one in visit.looked)
    # What no version serves is no fault, and is said.
    assert "10 annotations" in found(visit, "predictions").answer
    assert found(visit, "webhook_fires").answer.startswith("it fired, and arrived after 0.")
    assert found(visit, "images").answer == "an upload: 3 images"
    assert well.label_studio.fetched == [3]


def test_looking_changes_nothing(well: Installation) -> None:
    data_dir = well.context.settings.data_dir
    before = sorted(path.name for path in data_dir.iterdir())
    with well.store.read() as session:
        rows = [session.query(ProblemRow).count(), session.query(QueueEntryRow).count()]
    well.visit(is_whole=True)
    assert sorted(path.name for path in data_dir.iterdir()) == before
    with well.store.read() as session:
        assert [session.query(ProblemRow).count(), session.query(QueueEntryRow).count()] == rows
    made = {"register_backend", "ensure_webhook", "set_sampling_uncertainty", "create_queue_tab"}
    assert not made & {*well.label_studio.calls}
    # Only that nothing changed is reported, so that the webhook fires.
    assert well.label_studio.calls.count("update_project") == 1
    assert well.queue.asked == []


def _sampling(well: Installation) -> None:
    well.label_studio.info = replace(well.label_studio.info, sampling="Sequential sampling")


def _no_webhook(well: Installation) -> None:
    well.label_studio.webhooks.clear()


def _no_header(well: Installation) -> None:
    well.label_studio.webhooks[webhook_url(well.context.settings)] = {}


def _backend_gone(well: Installation) -> None:
    well.label_studio.backends.clear()


def _backend_moved(well: Installation) -> None:
    studio = well.label_studio
    studio.backends = [replace(studio.backends[0], url="http://10.1.1.1:9090")]


def _tabs_gone(well: Installation) -> None:
    well.label_studio.tabs.clear()


def _open_folder(well: Installation) -> None:
    well.context.settings.data_dir.chmod(0o755)


def _other_version(well: Installation) -> None:
    version = well.add_version(published_at=time.time())
    well.label_studio.predictions = []
    with well.store.begin() as session:
        session.add(
            PredictionRow(project_id=PROJECT, task_id=1, version_id=version, published_at=1.0)
        )
    well.label_studio.predictions = [
        PushedPrediction(task_id=1, result=[], score=0.5, model_version="nnloop-v1")
    ]
    well.label_studio.info = replace(well.label_studio.info, model_version="other")


MENDABLE = [
    (_sampling, "sampling", "Sequential sampling", "nnloop connect 1"),
    (_no_webhook, "webhook", "was deleted", "nnloop connect 1"),
    (_no_header, "webhook", "lacks the header", "nnloop connect 1"),
    (_backend_gone, "backend", "was taken out", "nnloop connect 1"),
    (_backend_moved, "backend", "http://10.1.1.1:9090", "nnloop connect 1"),
    (_tabs_gone, "tabs", "1 tab of 1 (of user 1) was deleted", "nnloop connect 1"),
    (_open_folder, "rights", "mode 0755", "chmod -R g-rwx,o-rwx "),
    (_other_version, "predictions", "'other'", "nnloop publish 1"),
]


@pytest.mark.parametrize(
    ("make_ill", "name", "says", "fix"), MENDABLE, ids=[m[0].__name__ for m in MENDABLE]
)
def test_what_is_wrong_is_named_with_its_fix_and_mended(
    well: Installation, make_ill: Callable[[Installation], None], name: str, says: str, fix: str
) -> None:
    make_ill(well)
    visit = well.visit()
    one = found(visit, name)
    assert one.state == State.WRONG
    assert says in one.answer and fix in one.fix
    assert exit_code_of(visit.looked) == 1
    mended = well.visit(fixes=True)
    assert found(mended, name).state == State.FINE, found(mended, name)
    assert next(one.mended for one in mended.looked if one.check.id == name)


def test_a_backend_of_another_nnloop_is_left_to_a_person(well: Installation) -> None:
    studio = well.label_studio
    studio.backends = [BackendInfo(1, "http://other:9090", "nnloop", "CO")]
    studio.webhooks = {"http://other:9090/webhook": {"Authorization": "Basic b3RoZXI="}}
    visit = well.visit(fixes=True)
    one = found(visit, "backend")
    assert (one.state, one.mend) == (State.WRONG, None)
    assert "has connected the project too" in one.answer
    assert found(visit, "webhook").state == State.NOT_LOOKED
    assert [b.url for b in studio.backends] == ["http://other:9090"]


def test_webhooks_that_came_twice_are_one_fault(
    well: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = well.label_studio.list_webhooks(PROJECT)
    monkeypatch.setattr(well.label_studio, "list_webhooks", lambda _project_id: hooks * 2)
    one = found(well.visit(), "webhook")
    assert one.state == State.WRONG and "2 webhooks go to" in one.answer


def test_a_webhook_that_does_not_arrive_is_told_with_the_last_one(well: Installation) -> None:
    well.hint()
    well.label_studio.on_update = lambda: None
    one = found(well.visit(), "webhook_fires")
    assert one.state == State.WRONG
    assert "nothing came within 0.3 s (the last one came 0 min ago)" in one.answer
    assert f"curl {well.listener.url}/health" in one.fix


def test_a_backend_that_label_studio_does_not_reach(well: Installation) -> None:
    studio = well.label_studio
    studio.backends = [replace(studio.backends[0], state="DI", error_message="refused")]
    one = found(well.visit(), "backend")
    assert one.state == State.WRONG
    assert "(refused), which answers from here" in one.answer
    assert "SSRF_PROTECTION_ENABLED=false ML_BLOCK_LOCAL_IP=false" in one.fix
    # Both have one cause, which is told once.
    studio.on_update = lambda: None
    assert "(above)" in found(well.visit(), "webhook_fires").fix
    well.listener.answer("/health", status=502)
    one = found(well.visit(is_whole=True), "backend")
    assert one.fix.startswith("Start nnloop's web service")


def test_label_studio_away_is_one_fault_and_the_rest_is_not_looked_at(well: Installation) -> None:
    well.label_studio.is_down = True
    visit = well.visit()
    states = _states(visit)
    assert [name for name, state in states.items() if state == "wrong"] == ["label_studio"]
    assert states["backend"] == states["images"] == states["key"] == State.NOT_LOOKED
    assert states["connected"] == states["read"] == State.FINE
    assert exit_code_of(visit.looked) == 1


def test_a_project_that_was_deleted_or_replaced(well: Installation) -> None:
    well.label_studio.info = replace(well.label_studio.info, id=7)
    visit = well.visit()
    one = found(visit, "project")
    assert one.state == State.WRONG and "is not in Label Studio any more" in one.answer
    assert "nnloop disconnect 1" in one.fix
    assert _states(visit)["backend"] == State.NOT_LOOKED
    with well.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).created_at = "2025-01-01T00:00:00Z"
    well.label_studio.info = replace(
        well.label_studio.info, id=PROJECT, title="Nerves", created_at="2026-01-01T00:00:00Z"
    )
    visit = well.visit(fixes=True)
    assert "its id has gone to another project" in found(visit, "project").answer
    # Nothing is set up in a project that is another one.
    assert "register_backend" not in well.label_studio.calls


def test_a_project_that_was_never_connected_is_looked_at_and_left_alone(
    well: Installation,
) -> None:
    well.label_studio.info = replace(well.label_studio.info, id=5, title="Nerves")
    well.label_studio.backends.clear()
    well.label_studio.webhooks.clear()
    well.label_studio.calls.clear()
    visit = well.visit("Nerves", fixes=True)
    assert found(visit, "connected").fix == "nnloop connect 5"
    # Nothing was taken out or deleted: it was never there.
    assert found(visit, "backend").answer.startswith("The project has no ML backend of nnloop")
    assert found(visit, "webhook").answer.startswith("There is no webhook to ")
    assert found(visit, "images").state == State.FINE
    assert "register_backend" not in well.label_studio.calls


def test_a_project_that_nobody_knows(well: Installation) -> None:
    one = found(well.visit("Veins"), "which_project")
    assert (one.state, "'Veins'" in one.answer) == (State.WRONG, True)
    well.label_studio.is_down = True
    one = found(well.visit("Veins"), "which_project")
    assert (one.state, one.fix) == (State.WRONG, "Connect it: nnloop connect Veins")


def test_without_a_project_every_connected_one_is_looked_at(well: Installation) -> None:
    looked = well.visit(None).looked
    assert {one.project_id for one in looked} == {None, PROJECT}
    with well.store.begin() as session:
        session.delete(session.get_one(ProjectRow, PROJECT))
    one = found(well.visit(None), "which_project")
    assert (one.state, one.fix) == (State.NOTE, "nnloop connect PROJECT")


def test_nothing_but_settings_and_nothing_is_made(
    tmp_path_factory: pytest.TempPathFactory, well: Installation
) -> None:
    nowhere = tmp_path_factory.mktemp("empty") / "data"
    settings = well.context.settings.model_copy(
        update={
            "data_dir": nowhere,
            "redis_url": "",
            "label_studio_url": "",
            "public_url": "http://127.0.0.1:1",
        }
    )
    visit = Visit(Patient(settings))
    visit.make("3")
    states = _states(visit)
    wrongs = {name for name, state in states.items() if state == State.WRONG}
    assert {"folder", "redis", "store", "service", "label_studio"} <= wrongs
    assert states["connected"] == states["project"] == State.NOT_LOOKED
    assert not nowhere.exists()


def test_a_store_and_a_redis_whose_address_is_none(well: Installation) -> None:
    settings = well.context.settings.model_copy(
        update={"database_url": "postgresql+nothing://u:geheim9@h/n", "redis_url": "nowhere"}
    )
    visit = Visit(Patient(settings))
    visit.make(None)
    assert (
        "no module" in found(visit, "store").answer or "no such URL" in found(visit, "store").answer
    )
    assert "NNLOOP_REDIS_URL is no address" in found(visit, "redis").answer
    assert all("geheim9" not in one.finding.answer for one in visit.looked)


def test_a_check_that_hangs_has_a_deadline_and_one_that_breaks_ends_no_other(
    well: Installation,
) -> None:
    def hangs(_: Patient) -> Finding:
        time.sleep(5)
        return fine("late")

    def breaks(_: Patient) -> Finding:
        raise KeyError("x")

    checks = (
        Check("a", "A?", hangs, provides="redis", deadline_s=0.05),
        Check("b", "B?", hangs, deadline_s=0.05, late="It hangs", late_fix="End it"),
        Check("c", "C?", breaks),
        Check("d", "D?", lambda _: fine("d"), needs=("redis",)),
        Check("e", "E?", lambda _: []),
        Check("f", "F?", lambda _: fine("f")),
    )
    examination = Examination()
    began = time.monotonic()
    examination.run(checks, Patient.of(well.context))
    assert time.monotonic() - began < 2
    said = [(one.finding.state, one.finding.answer) for one in examination.looked]
    assert said == [
        (State.NOT_LOOKED, "no answer within 0.05 s"),
        (State.WRONG, "It hangs (no answer within 0.05 s)."),
        (State.NOT_LOOKED, "KeyError: 'x'"),
        (State.NOT_LOOKED, LACKS["redis"]),
        (State.NOT_LOOKED, "there is nothing to look at"),
        (State.FINE, "f"),
    ]
    assert exit_code_of(examination.looked) == 1
    assert exit_code_of([one for one in examination.looked if one.check.id in "af"]) == 3
    assert exit_code_of([one for one in examination.looked if one.check.id == "f"]) == 0
    assert exit_code_of([]) == 3


def test_what_could_not_be_mended_is_said_and_stays_wrong(well: Installation) -> None:
    def fails() -> str:
        raise StackError("It is stuck.", remedy="Pull.")

    check = Check("a", "A?", lambda _: wrong("It is stuck.", "Pull", fails))
    examination = Examination(fixes=True)
    examination.run((check,), Patient.of(well.context))
    (one,) = examination.looked
    assert one.finding.state == State.WRONG and not one.mended
    assert one.finding.answer == "It is stuck. It could not be mended: It is stuck. Pull."


def test_every_need_is_known_and_provided_before(well: Installation) -> None:
    provided = {"held", "webhook", "interface"}  # said by the looks themselves
    for check in (*OF_INSTALLATION, *OF_PROJECT):
        assert {*check.needs} <= provided, check.id
        assert {*check.needs} <= LACKS.keys(), check.id
        provided.add(check.provides)


REDIS = [
    ({"policy": "allkeys-lru", "limit_bytes": 10**8}, State.WRONG, "forgets jobs"),
    ({"policy": "allkeys-lru"}, State.FINE, "no limit"),
    ({"writes_well": False}, State.WRONG, "could not write"),
    ({"limit_bytes": 1_000_001}, State.WRONG, "nearly full"),
    ({"appends": False}, State.NOTE, "keeps no file"),
]


@pytest.mark.parametrize(("values", "state", "says"), REDIS)
def test_how_redis_keeps_jobs(
    well: Installation, values: dict[str, int | str | bool], state: State, says: str
) -> None:
    well.queue.facts = replace(well.queue.facts, **values)  # type: ignore[arg-type]
    one = found(well.visit(None), "redis_keeps")
    assert (one.state, says in one.answer) == (state, True), one


def test_redis_facts_of_servers_that_say_little() -> None:
    facts = RedisFacts.of({}, 1.0)
    assert (facts.version, facts.appends, facts.writes_well, facts.limit_bytes) == (
        "",
        False,
        True,
        0,
    )
    said = {"aof_enabled": 1, "rdb_last_bgsave_status": "err", "maxmemory_policy": "volatile-ttl"}
    assert RedisFacts.of(said, 0.0) == RedisFacts("", True, False, "volatile-ttl", 0, 0, 0.0)


def test_missing_workers_clocks_and_the_web_service_of_others(well: Installation) -> None:
    well.queue.at_work = []
    well.queue.facts = replace(well.queue.facts, clock_ahead_s=-90.0)
    well.label_studio.clock_ahead_s = 600.0
    well.listener.answer("/versions", status=401)
    visit = well.visit(None, is_whole=True)
    assert "Label Studio is not read and gets no predictions" in found(visit, "workers").answer
    clocks = found(visit, "clocks").answer
    assert "Redis is 90 s behind this machine" in clocks
    assert "Label Studio is 60" in clocks and "ahead of this machine" in clocks
    assert "refuses the password" in found(visit, "service").answer
    well.listener.answer("/health", {"status": "UP", "model_class": "other"})
    visit = well.visit(None, is_whole=True)
    assert "something else answers" in found(visit, "service").answer


def test_addresses_that_can_not_be_right(well: Installation) -> None:
    def answers(**values: str) -> Finding:
        settings = well.context.settings.model_copy(update=values)
        visit = Visit(Patient(settings))
        Examination(looked=visit.looked).run(
            [check for check in OF_INSTALLATION if check.id == "addresses"], visit.patient
        )
        return found(visit, "addresses")

    one = answers(label_studio_url="http://labels.lab:8080", public_url="")
    assert "Label Studio's own machine" in one.answer and "NNLOOP_PUBLIC_URL" in one.fix
    one = answers(label_studio_url="http://labels.lab", public_url="http://web:9090")
    assert "without a dot" in one.answer
    one = answers(label_studio_url="http://labels.lab", public_url="http://nnloop.lab/path")
    assert one.state == State.FINE


INTERFACES = [
    ("<View><ReactCode name='a' toName='a' data='$image'/></View>", "a program of its own"),
    ("<View><Text name='t' value='$text'/><Labels name='l' toName='t'/></View>", "<Text>"),
    ("<View>", "is not XML"),
    ("<View><Image name='i' value='$image'/></View>", "PolygonLabels"),
]


@pytest.mark.parametrize(("xml", "says"), INTERFACES)
def test_interfaces_that_can_not_be_read(well: Installation, xml: str, says: str) -> None:
    well.label_studio.info = replace(well.label_studio.info, label_config=xml)
    visit = well.visit()
    one = found(visit, "interface")
    assert one.state == State.WRONG and says in one.answer and one.fix, one
    assert found(visit, "images").state == State.NOT_LOOKED


def test_one_image_of_each_place_is_read(well: Installation) -> None:
    studio = well.label_studio
    studio.add_task(10)
    for task_id, uri in (
        (11, "s3://bucket/patient.png?sig=secret"),
        (12, "https://u:geheim@nas.lab/a.png?X-Amz-Signature=abc"),
        (13, "http://localhost:8080/data/local-files/?d=scans/a.png"),
        (14, "data:image/png;base64,AAAA"),
    ):
        studio.tasks[task_id] = replace(studio.tasks[10], id=task_id, data={"image": uri})
        studio.images[uri] = studio.images["/data/upload/10.png"]
    studio.images["data:image/png;base64,AAAA"] = b"no image"
    del studio.images["http://localhost:8080/data/local-files/?d=scans/a.png"]
    read_project(well.context, PROJECT)
    well.read_at(time.time())
    del studio.images["/data/upload/10.png"]  # of the uploads the newest is missing
    visit = well.visit()
    answers = {
        one.finding.answer.partition(":")[0]: one.finding
        for one in visit.looked
        if one.check.id == "images"
    }
    said = [one.finding.answer for one in visit.looked if one.check.id == "images"]
    assert "an upload: 4 images (of 2 images tried 1 missing)" in said
    assert "s3://bucket: 1 image" in said and "https://nas.lab: 1 image" in said
    bad = [one for one in answers.values() if one.state == State.WRONG]
    assert len(bad) == 2, said
    assert any("local files" in one.answer and "does not exist" in one.answer for one in bad)
    assert any("data:" in one.answer for one in bad)


def test_what_a_version_has_predicted_and_not_pushed(well: Installation) -> None:
    version = well.add_version()
    with well.store.begin() as session:
        for task_id, error in ((1, ""), (2, "no image")):
            row = PredictionRow(project_id=PROJECT, task_id=task_id, version_id=version)
            row.error = error
            session.add(row)
    one = found(well.visit(), "predictions")
    assert (one.state, one.answer) == (State.NOTE, "1 task could not be predicted.")
    with well.store.begin() as session:
        session.get_one(VersionRow, version).promoted_at = time.time() - 3600
    one = found(well.visit(), "predictions")
    assert (
        one.state == State.WRONG
        and "serves for 60 min, and Label Studio has none of its 1" in one.answer
    )
    well.visit(fixes=True)
    assert well.jobs == [("publish", (PROJECT,))]


def test_two_people_in_one_tab(well: Installation) -> None:
    now = time.time()
    with well.store.begin() as session:
        for person in (7, 8):
            session.add(
                QueueTabRow(project_id=PROJECT, annotator_id=person, name="x", title="x", view_id=9)
            )
        for number, by in enumerate((7, 8, 8, 8, 9, 9, 9), start=50):
            session.add(
                QueueEntryRow(
                    project_id=PROJECT,
                    annotator_id=7,
                    task_id=number,
                    source="s",
                    batch=1,
                    arm=QueueArm.STRATEGY,
                    strategy="x",
                    left_at=now - (30 * 86_400 if number == 50 else 60),
                    exit=QueueExit.LABELLED,
                )
            )
            session.add(
                AnnotationRow(
                    id=number,
                    task_id=number,
                    project_id=PROJECT,
                    content_hash="h",
                    completed_by=by,
                )
            )
    one = found(well.visit(), "one_per_tab")
    assert one.state == State.WRONG
    # Who has no tab (9) is no annotator in another's.
    assert one.answer.startswith("User 8 has labelled 3 tasks of user 7's tab in the last 14 days:")
    # Somebody told them, and it did not happen again.
    with well.store.begin() as session:
        for row in session.query(QueueEntryRow).filter(QueueEntryRow.task_id > 50):
            row.left_at = now - 5 * 86_400
    one = found(well.visit(), "one_per_tab")
    assert one.state == State.NOTE and "14 days, the last 5 days ago: two in" in one.answer


def test_what_stands_still_or_failed_is_told(well: Installation) -> None:
    well.read_at(time.time() - 3600)
    well.label_studio.label(1, polygon())
    with well.store.begin() as session:
        for reason, message in ((RUN_FAILED, "Run 4 failed: no memory."), ("x", "Odd.")):
            session.add(
                ProblemRow(
                    project_id=PROJECT, stage="run", reason=reason, message=message, remedy="Do it."
                )
            )
    visit = well.visit()
    assert "It was read 60 min ago" in found(visit, "read").answer
    said = [one.finding for one in visit.looked if one.check.id == "problems"]
    assert [(one.state, one.answer) for one in said] == [
        (State.WRONG, "Run 4 failed: no memory."),
        (State.NOTE, "1 open problem."),
    ]


def test_names_of_people_are_in_no_answer(well: Installation) -> None:
    well.label_studio.users += [User(4, "jürgen@klinik.example", "Jürgen", "Groß")]
    well.label_studio.info = replace(well.label_studio.info, title="Of Jürgen Groß")
    visit = well.visit()
    said = " ".join(visit.redactor.text(one.finding.answer) for one in visit.looked)
    assert "Jürgen" not in said and "klinik" not in said and "'Of ***'" in said


def test_names_of_images_are_in_no_answer_where_that_is_asked(
    well: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(uri: str, task_id: int, project_id: int) -> bytes:
        raise ImageError(task_id, "image_unreachable", f"the image {uri!r} can't be reached.")

    monkeypatch.setattr(well.label_studio, "fetch_image", missing)
    said = well.visit()
    one = found(said, "images")
    assert "/data/upload/3.png" in said.redactor.text(one.answer)
    hiding = Visit(Patient.of(well.context), hides_images=True)
    hiding.of_installation = said.of_installation
    hiding.make("1")
    told = hiding.redactor.text(found(hiding, "images").answer)
    assert "3.png" not in told and "can't be reached" in told


def test_settings_of_projects_are_those_of_the_store(well: Installation) -> None:
    with well.store.begin() as session:
        row = session.get_one(ProjectRow, PROJECT)
        row.settings = ProjectSettings(ignore_label="nobody")
    one = found(well.visit(), "interface")
    assert one.state == State.WRONG and "'nobody'" in one.answer


def test_webhook_header_is_what_the_settings_say(well: Installation) -> None:
    """The header of another password is one that does not log in."""
    well.label_studio.webhooks[webhook_url(well.context.settings)] = {
        **webhook_headers(well.context.settings),
        "Authorization": "Basic b3RoZXI=",
    }
    assert "lacks the header" in found(well.visit(), "webhook").answer


def test_the_checks_have_names_of_their_own() -> None:
    checks = (*OF_INSTALLATION, *OF_PROJECT, visit_module.SETTINGS, visit_module.WHICH)
    assert len({check.id for check in checks}) == len(checks)
    assert all(check.question.endswith("?") for check in checks)
