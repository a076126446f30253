"""An explanation in a notebook: the viewer as a widget, and as a frame where widgets do not run.

A notebook may keep what it is given here, so it is given what it shows and no more: the explanation once
for each form, and the weights of attention, which are most of it, only for heads that are looked at.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from whence.explain.render.html import to_frame
from whence.explain.render.pages import data
from whence.explain.render.text import to_text
from whence.explain.render.viewer import bundle, compact, to_viewer
from whence.explain.render.words import words
from whence.explain.schema import Explanation

if TYPE_CHECKING:
    from anywidget import AnyWidget

LARGEST_FRAME_BYTES = 8_000_000
"""Half of what the strictest host, Databricks, lets a cell hold: beyond, the page without script is shown."""
WIDGET_TYPE = "application/vnd.jupyter.widget-view+json"
TOP = 5


def to_mimebundle(explanation: Explanation) -> dict[str, Any]:
    """What a notebook's cell shows: it takes the first that it can of widget, frame and text.

    The widget is there where anywidget is installed.
    """
    frames: dict[str, Any] = {
        "text/plain": to_text(explanation, k=TOP),
        "text/html": to_viewer_frame(explanation),
    }
    try:
        widget = to_widget(explanation)
    except ImportError:
        return frames
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {WIDGET_TYPE: view, **frames}


def to_viewer_frame(explanation: Explanation) -> str:
    """The viewer in a frame that runs its one script, saves exports, and reaches nothing, not the notebook.

    The page without script instead, where that would be larger than LARGEST_FRAME_BYTES.
    """
    # Between single quotes only these two need a reference; JSON is full of double ones.
    page = to_viewer(explanation).replace("&", "&amp;").replace("'", "&#39;")
    if len(page.encode()) > LARGEST_FRAME_BYTES:
        return to_frame(explanation)
    return (
        '<iframe title="Whence: explanation" sandbox="allow-scripts allow-downloads" width="100%"'
        f' height="720" frameborder="0" srcdoc=\'{page}\'></iframe>'
    )


def to_widget(explanation: Explanation) -> Any:
    """The viewer as an anywidget. Raises ImportError without that package."""
    return _widget()(explanation)


@cache
def _widget() -> type[AnyWidget]:
    """The class of the widget: made once, and only where its base is installed."""
    import traitlets
    from anywidget import AnyWidget

    class ExplanationWidget(AnyWidget):
        """The trait holds all but the weights of heads; of these each is sent when the front end asks."""

        _esm = bundle("viewer.js")
        explanation = traitlets.Unicode().tag(sync=True)
        words = traitlets.Unicode(words()).tag(sync=True)

        def __init__(self, explanation: Explanation) -> None:
            super().__init__(explanation=data(compact(explanation)))
            self._weights: dict[tuple[str, int, int], str | None] = {
                (block.name, head.layer, head.head): head.values
                for block in explanation.attention or ()
                for head in block.data
            }
            self.on_msg(self._answer)

        def _answer(self, _widget: Any, asked: dict[str, Any], _buffers: Any) -> None:
            block, layer, head = (asked[name] for name in ("block", "layer", "head"))
            self.send({**asked, "values": self._weights.get((block, layer, head))})

    return ExplanationWidget
