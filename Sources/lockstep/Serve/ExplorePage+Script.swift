// SPDX-License-Identifier: Apache-2.0

extension ExplorePage {
  /// What the page does: it knows where it is, asks where that leads, and shows the answer. The place is in the page's
  /// address too, so that the browser's own Back works, and an address can be kept.
  static let script = """
    "use strict";
    const at = id => document.getElementById(id);
    let machine, view, place = { scope: 0, path: { start: 0, steps: [] } };
    const opened = new Set();

    function make(tag, text, style) {
      const element = document.createElement(tag);
      if (text !== undefined) element.textContent = text;
      if (style) element.className = style;
      return element;
    }

    async function ask(what, body) {
      const answer = await fetch(what, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) });
      if (!answer.ok) throw new Error(await answer.text());
      return answer.json();
    }

    function address(place) {
      const steps = place.path.steps.map(step => [step.action, ...step.arguments]);
      return "#" + encodeURIComponent(JSON.stringify([place.scope, place.path.start, steps]));
    }

    function placeOf(address) {
      const [scope, start, steps] = JSON.parse(decodeURIComponent(address.slice(1)));
      return { scope, path: { start, steps: steps.map(([action, ...values]) => ({ action, arguments: values })) } };
    }

    async function go(next, isNew = true) {
      try {
        view = await ask("walk", next);
        place = next;
        at("error").textContent = "";
        if (isNew && location.hash !== address(place)) history.pushState(null, "", address(place));
        show();
      } catch (error) { at("error").textContent = error.message; }
      document.body.dataset.depth = place.path.steps.length;
    }

    const along = steps => go({ ...place, path: { ...place.path, steps } });

    function showActions() {
      const wanted = at("filter").value.toLowerCase();
      const list = at("actions");
      list.replaceChildren();
      for (const name of machine.actions) {
        const all = view.possible.filter(item => item.step.action === name);
        const shown = all.filter(item => item.call.toLowerCase().includes(wanted));
        if (wanted && shown.length === 0) continue;
        if (all.length === 0) { list.append(make("div", name, "impossible")); continue; }
        const group = make("details");
        const isShort = all.length <= 6 && all.some(item => item.changes.length);
        group.open = opened.has(name) || wanted !== "" || isShort;
        group.addEventListener("toggle", () => group.open ? opened.add(name) : opened.delete(name));
        group.append(make("summary", `${name} (${shown.length})`));
        for (const item of shown) {
          const button = make("button", item.call, item.changes.length ? "" : "still");
          button.type = "button";
          button.append(make("small", item.changes.join(" · ") || "nothing changes"));
          button.addEventListener("click", () => along([...place.path.steps, item.step]));
          group.append(button);
        }
        list.append(group);
      }
    }

    function showClaims() {
      const claims = view.claims.filter(claim => claim.isInvariant);
      const bad = claims.filter(claim => !claim.holds);
      at("claims").replaceChildren(...claims.map(claim => make("li",
        claim.name + (claim.rule ? ` (${claim.rule})` : "") + (claim.indices ? ` — not for ${claim.indices}` : ""),
        claim.holds ? "holds" : "fails")));
      at("verdict").textContent = bad.length ? `${bad.length} of ${claims.length} do not hold` : `all ${claims.length} hold`;
      at("witnesses").replaceChildren(...view.claims.filter(claim => !claim.isInvariant)
        .map(claim => make("li", claim.name, claim.holds ? "holds" : "not")));
    }

    function showTrail() {
      const steps = [{ call: "initially", changes: [] }, ...view.trail];
      at("trail").replaceChildren(...steps.map((step, number) => {
        const item = make("li");
        const button = make("button", step.call);
        button.type = "button";
        button.disabled = number === steps.length - 1;
        button.addEventListener("click", () => along(place.path.steps.slice(0, number)));
        item.append(button, make("small", step.changes.join(" · ")));
        return item;
      }));
    }

    function show() {
      const scope = machine.scopes[place.scope];
      const steps = place.path.steps.length;
      at("scope").value = place.scope;
      at("start").value = place.path.start;
      at("start").max = scope.starts - 1;
      at("starts").textContent = scope.starts === 1 ? "the only initial state" : `of ${scope.starts} initial states`;
      at("back").disabled = at("restart").disabled = steps === 0;
      at("count").textContent = view.possible.length;
      at("depth").textContent = steps === 1 ? "after 1 step" : `after ${steps} steps`;
      at("state").replaceChildren(...view.state.map(entry => {
        const row = make("tr", undefined, entry.isChanged ? "changed" : "");
        row.append(make("td", entry.name), make("td", entry.value));
        return row;
      }));
      at("text").value = view.text;
      showActions();
      showClaims();
      showTrail();
    }

    async function replay() {
      try {
        const path = await ask("read", { scope: place.scope, text: at("text").value });
        await go({ ...place, path });
      } catch (error) { at("error").textContent = error.message; }
    }

    async function copy() {
      at("text").select();
      try { await navigator.clipboard.writeText(at("text").value); } catch { document.execCommand("copy"); }
    }

    async function begin() {
      machine = await ask("machine");
      document.title = `${machine.name} — Lockstep explore`;
      at("name").textContent = machine.name;
      at("name").title = machine.rules.map(rule => `${rule.number} ${rule.text}`).join("\\n");
      machine.scopes.forEach((scope, number) => {
        const option = make("option", scope.name);
        option.value = number;
        at("scope").append(option);
      });
      at("back").addEventListener("click", () => along(place.path.steps.slice(0, -1)));
      at("restart").addEventListener("click", () => along([]));
      at("scope").addEventListener("change", () =>
        go({ scope: Number(at("scope").value), path: { start: 0, steps: [] } }));
      at("start").addEventListener("change", () =>
        go({ ...place, path: { start: Number(at("start").value), steps: [] } }));
      at("filter").addEventListener("input", showActions);
      at("replay").addEventListener("click", replay);
      at("copy").addEventListener("click", copy);
      addEventListener("popstate", () => go(location.hash ? placeOf(location.hash) : { scope: 0, path: { start: 0, steps: [] } }, false));
      let first = place;
      try { if (location.hash) first = placeOf(location.hash); } catch { at("error").textContent = "the address names no path"; }
      await go(first, false);
      document.body.dataset.ready = "yes";
    }

    begin().catch(error => { at("error").textContent = error.message; });
    """
}
