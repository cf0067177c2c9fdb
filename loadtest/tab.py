"""The tab in Locust's web page: a page of its own, shown beside Locust's tabs.

Locust's page is a compiled program; its own extensions allow tables only. So a few lines of script
are put into it that add one tab, under which the page of `live.html` is shown in a frame. Nothing
is fetched from elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, jsonify, request

from loadtest.live import Live

_PAGE = Path(__file__).parent / "templates" / "live.html"
_SCRIPT = """<script>
(() => {
  const frame = document.createElement("iframe");
  frame.id = "gridlab"; frame.title = "XMPP-Grid"; frame.src = "gridlab"; frame.hidden = true;
  frame.style = "border:0;width:100%;height:calc(100vh - 10rem);background:Canvas";
  const add = () => {
    const tabs = document.querySelector("[role=tablist]");
    if (!tabs || document.getElementById("gridlab-tab")) return;
    const tab = tabs.lastElementChild.cloneNode(false);
    tab.id = "gridlab-tab"; tab.textContent = "XMPP-Grid";
    tab.setAttribute("aria-selected", "false");
    tab.classList.remove("Mui-selected"); tab.removeAttribute("aria-controls");
    const place = tabs.closest(".MuiTabs-root") || tabs;
    const shown = (on) => {
      frame.hidden = !on; tab.style.fontWeight = on ? "bold" : "";
      tab.setAttribute("aria-selected", String(on));
      const line = place.querySelector(".MuiTabs-indicator");
      if (line) line.style.opacity = on ? "0" : "";
      for (let each = place.nextElementSibling; each; each = each.nextElementSibling)
        if (each !== frame) each.style.display = on ? "none" : "";
    };
    place.after(frame);
    tabs.addEventListener("click", (event) => shown(tab.contains(event.target)), true);
    tabs.append(tab);
    if (location.hash === "#gridlab") shown(true);
  };
  new MutationObserver(add).observe(document.documentElement, {childList: true, subtree: true});
})();
</script>"""


def add(web_ui: Any, live: Live) -> None:
    """Put the tab into Locust's page.

    Parameters
    ----------
    web_ui : locust.web.WebUI
        Locust's page, before it starts.
    live : Live
        What is shown.
    """
    base = (web_ui.environment.parsed_options.web_base_path or "").rstrip("/")

    def gridlab_page() -> Response:
        return Response(_PAGE.read_text(), mimetype="text/html")

    def gridlab_live() -> Response:
        return jsonify(live.document())

    for path, view in (("gridlab", gridlab_page), ("gridlab/live.json", gridlab_live)):
        guarded = web_ui.auth_required_if_enabled(view)
        web_ui.app.add_url_rule(f"{base}/{path}", view.__name__, guarded)

    def put_in(response: Response) -> Response:
        page = request.path.removeprefix(base) in ("", "/")
        if page and response.mimetype == "text/html" and not response.direct_passthrough:
            text = response.get_data(as_text=True)
            response.set_data(text.replace("</body>", f"{_SCRIPT}</body>"))
        return response

    web_ui.app.after_request(put_in)
