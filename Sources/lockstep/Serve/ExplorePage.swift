// SPDX-License-Identifier: Apache-2.0

/// The page of `lockstep explore --serve`; its style and its script are files of their own, so that nothing in the page
/// itself may run.
enum ExplorePage {
  static let html = """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8"/>
    <meta name="viewport" content="width=device-width, initial-scale=1"/>
    <meta name="color-scheme" content="light dark"/>
    <title>Lockstep explore</title>
    <link rel="stylesheet" href="page.css"/>
    <script src="page.js" defer="defer"></script>
    </head>
    <body>
    <header>
    <h1 id="name">…</h1>
    <label>scope <select id="scope"></select></label>
    <label>begin in <input id="start" type="number" min="0" value="0"/> <span id="starts"></span></label>
    <button id="back" type="button">Back</button>
    <button id="restart" type="button">To the beginning</button>
    <p id="error" role="alert"></p>
    </header>
    <main>
    <section>
    <h2>Possible here <small id="count"></small></h2>
    <input id="filter" type="search" placeholder="filter" aria-label="Filter the actions"/>
    <div id="actions"></div>
    </section>
    <section>
    <h2>State <small id="depth"></small></h2>
    <table><tbody id="state"></tbody></table>
    </section>
    <section>
    <h2>Invariants <small id="verdict"></small></h2>
    <ul id="claims"></ul>
    <h2>Seen here of what must be reachable</h2>
    <ul id="witnesses"></ul>
    </section>
    <section>
    <h2>The way here</h2>
    <ol id="trail" start="0"></ol>
    </section>
    <section>
    <h2>As text</h2>
    <p>Copy it, or paste a path, or a counterexample that <code>lockstep</code> printed.</p>
    <textarea id="text" rows="12" spellcheck="false" aria-label="The path as text"></textarea>
    <button id="copy" type="button">Copy</button>
    <button id="replay" type="button">Replay what stands here</button>
    </section>
    </main>
    </body>
    </html>

    """

  static let style = """
    :root { --ground: #fbfbf9; --paper: #fff; --ink: #1c1e21; --faint: #63676d; --line: #dcdcd6; --good: #1d7a46;
      --bad: #b3261e; --accent: #2757a6; --mark: #fff3c4; }
    @media (prefers-color-scheme: dark) {
      :root { --ground: #16181b; --paper: #1e2125; --ink: #e6e6e3; --faint: #a0a4aa; --line: #363a40; --good: #5fc38a;
        --bad: #ff8a80; --accent: #8ab4f8; --mark: #4a4120; }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--ground); color: var(--ink);
      font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
    header { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center;
      padding: .6rem 1rem; background: var(--paper); border-bottom: 1px solid var(--line); }
    h1 { font-size: 1.25rem; margin: 0; } h2 { font-size: .95rem; margin: 0 0 .5rem; }
    section h2:not(:first-child) { margin-top: 1rem; }
    small, label, #starts, section p { color: var(--faint); font-size: .85rem; font-weight: 400; }
    main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem; padding: 1rem;
      align-items: start; max-width: 100rem; margin: 0 auto; }
    section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem;
      max-height: 82vh; overflow: auto; }
    button, input, select, textarea { font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--line);
      border-radius: 7px; padding: .25rem .6rem; }
    button { cursor: pointer; } button:hover:not(:disabled), button:focus-visible { border-color: var(--accent); }
    button:disabled { opacity: .45; cursor: default; }
    #start { width: 5.5rem; } #filter { width: 100%; margin-bottom: .5rem; }
    textarea { width: 100%; margin-bottom: .4rem; }
    textarea, #actions, #state, #trail, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
      font-size: .82rem; }
    textarea { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
    #error { color: var(--bad); margin: 0; flex-basis: 100%; } #error:empty { display: none; }
    #actions details { border-top: 1px solid var(--line); padding: .25rem 0; }
    #actions summary { cursor: pointer; font-weight: 600; }
    #actions button { display: block; width: 100%; text-align: left; margin: .25rem 0; overflow-wrap: anywhere; }
    #actions small, #trail small { display: block; }
    #actions button.still { color: var(--faint); }
    #actions .impossible { color: var(--faint); }
    table { border-collapse: collapse; width: 100%; table-layout: fixed; }
    td { padding: .12rem .5rem .12rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
    td:first-child { color: var(--faint); width: 46%; }
    tr.changed td { background: var(--mark); } tr.changed td:first-child { color: inherit; }
    ul { list-style: none; padding: 0; margin: 0; } li { padding: .1rem 0; }
    .holds::before { content: "✓ "; color: var(--good); } .fails::before { content: "✗ "; color: var(--bad); }
    .fails { color: var(--bad); } .not::before { content: "· "; color: var(--faint); } .not { color: var(--faint); }
    #trail { padding-left: 2.2rem; margin: 0; } #trail button { text-align: left; overflow-wrap: anywhere; }
    """
}
