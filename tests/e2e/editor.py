"""What a hand does in Label Studio's editor, through its canvas."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Page

STEP_MS = 150
"""The editor takes a moment to see where the mouse is, and what it did."""

_FRAME = """() => {
  const stage = Konva.stages[0], box = stage.container().getBoundingClientRect();
  const image = window.Htx.annotationStore.selected.objects.find(o => o.type === "image");
  const [scaleX, , , scaleY, x, y] = stage.getAbsoluteTransform().getMatrix();
  return [box.x + x, box.y + y, scaleX * image.stageWidth / 100, scaleY * image.stageHeight / 100];
}"""
_N_REGIONS = "() => window.Htx?.annotationStore?.selected?.regionStore?.regions?.length"


@dataclass(frozen=True, slots=True)
class Editor:
    """The editor with a task open; points are in percent of the image."""

    page: Page
    frame: tuple[float, float, float, float]

    @classmethod
    def open(cls, page: Page, project_id: int, task_id: int, n_regions: int) -> Editor:
        """Opens a task and waits until the editor holds its regions."""
        page.goto(f"/projects/{project_id}/data?task={task_id}")
        page.wait_for_selector(".konvajs-content canvas")
        page.wait_for_function(f"n => ({_N_REGIONS})() === n", arg=n_regions)
        page.wait_for_timeout(1000)  # it still zooms the image to fit
        x, y, per_x, per_y = page.evaluate(_FRAME)
        return cls(page, (x, y, per_x, per_y))

    def drag_vertex(
        self, inside: tuple[float, float], start: tuple[float, float], end: tuple[float, float]
    ) -> None:
        """Selects the region at ``inside`` and drags its vertex at ``start``."""
        page = self.page
        page.keyboard.press("Escape")
        page.mouse.click(*self._at(inside))
        page.wait_for_timeout(2 * STEP_MS)
        page.mouse.move(*self._at(start))
        page.wait_for_timeout(STEP_MS)
        page.mouse.down()
        page.mouse.move(*self._at(end), steps=6)
        page.wait_for_timeout(STEP_MS)
        page.mouse.up()
        page.wait_for_timeout(STEP_MS)

    def choose_label(self) -> None:
        """Takes the first label, whose tool is then in hand."""
        self.page.keyboard.press("1")
        self.page.wait_for_timeout(2 * STEP_MS)

    def click(self, *points: tuple[float, float]) -> None:
        """Clicks at each point."""
        for point in points:
            self.page.mouse.move(*self._at(point))
            self.page.wait_for_timeout(STEP_MS)
            self.page.mouse.click(*self._at(point))
            self.page.wait_for_timeout(2 * STEP_MS)

    def drag(self, *points: tuple[float, float]) -> None:
        """Holds the button down from the first point to the last, by way of the others."""
        self.page.mouse.move(*self._at(points[0]))
        self.page.wait_for_timeout(STEP_MS)
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self._at(point), steps=8)
            self.page.wait_for_timeout(STEP_MS)
        self.page.mouse.up()
        self.page.wait_for_timeout(2 * STEP_MS)

    def turn(self) -> Editor:
        """Turns the image by 90 degrees in the view; the editor with the frame it has then."""
        self.page.get_by_role("button", name="rotate-right").click()
        self.page.wait_for_timeout(1000)
        return self

    def submit(self) -> None:
        """Presses Submit, and waits until Label Studio has it."""
        with self.page.expect_response(
            lambda answer: "/annotations" in answer.url and answer.request.method == "POST"
        ) as answered:
            self.page.get_by_role("button", name="Submit current annotation").click()
        assert answered.value.status == 201

    def _at(self, percent: tuple[float, float]) -> tuple[float, float]:
        x, y, per_x, per_y = self.frame
        return x + percent[0] * per_x, y + percent[1] * per_y
