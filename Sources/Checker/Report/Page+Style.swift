// SPDX-License-Identifier: Apache-2.0

extension Page {
  /// The page's style sheet: light or dark as the reader's screen is; tables scroll sideways by themselves on narrow ones.
  static let style = """
    :root { --ground: #fbfbf9; --paper: #fff; --ink: #1c1e21; --faint: #63676d; --line: #dcdcd6; --good: #1d7a46;
      --some: #a36a00; --bad: #b3261e; --accent: #2757a6; }
    @media (prefers-color-scheme: dark) {
      :root { --ground: #16181b; --paper: #1e2125; --ink: #e6e6e3; --faint: #a0a4aa; --line: #363a40; --good: #5fc38a;
        --some: #e0ad4b; --bad: #ff8a80; --accent: #8ab4f8; }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--ground); color: var(--ink);
      font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
    main { max-width: 70rem; margin: 0 auto; padding: 1rem; }
    h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
    h2 { font-size: 1.3rem; margin: 0 0 .3rem; }
    h3 { font-size: 1.02rem; margin: 1.2rem 0 .4rem; }
    section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1rem;
      margin: 1.2rem 0; scroll-margin-top: .5rem; }
    a { color: var(--accent); }
    code, pre { font: .85rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
    pre { overflow-x: auto; background: var(--ground); border: 1px solid var(--line); border-radius: 8px; padding: .6rem; }
    .problem { color: var(--bad); font-weight: 600; }
    .broken { color: var(--bad); margin: .4rem 0 1rem; }
    .steps ul { list-style: none; margin: 0; padding: 0; }
    .steps th, .steps td { font: .82rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
    .steps tbody th { min-width: 14rem; overflow-wrap: anywhere; }
    small, footer, figcaption, .key { color: var(--faint); font-size: .85rem; }
    .verdict { font-size: 1.15rem; font-weight: 600; margin: .3rem 0; }
    .verdict.good { color: var(--good); } .verdict.bad { color: var(--bad); }
    .badge-good, .badge-bad { font-size: .75rem; font-weight: 600; border-radius: 99px; padding: .1rem .6rem;
      border: 1px solid currentColor; vertical-align: middle; }
    .badge-good { color: var(--good); } .badge-bad { color: var(--bad); }
    .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem; padding: 0;
      list-style: none; }
    .tiles li { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: .6rem .8rem;
      font-size: .85rem; color: var(--faint); }
    .tiles b { display: block; font-size: 1.35rem; color: var(--ink); line-height: 1.3; }
    nav { display: grid; gap: .35rem; margin: 1rem 0 .3rem; }
    nav .row { display: grid; grid-template-columns: 8.5rem 1fr; align-items: center; text-decoration: none; }
    .cells { display: flex; flex-wrap: wrap; gap: 3px; }
    .cells i, .key i { display: inline-block; width: 14px; height: 14px; border-radius: 3px; background: var(--good); }
    .cells i.some, .key i.some { background: none; border: 4px solid var(--some); }
    .cells i.bad, .key i.bad { background: var(--bad); border-radius: 50%; }
    .key span { white-space: nowrap; margin-right: .9rem; } .key i { vertical-align: -2px; }
    .top { float: right; font-size: .85rem; font-weight: 400; }
    .promises { list-style: none; padding: 0; margin: 0; }
    .promises li { padding: .15rem .6rem; box-shadow: inset 3px 0 var(--good); }
    .promises li.bad { box-shadow: inset 3px 0 var(--bad); }
    .split { display: flex; height: .7rem; border-radius: 4px; overflow: hidden; gap: 2px; margin: .3rem 0; }
    .split .good { background: var(--good); } .split .some { background: var(--some); }
    .split .bad { background: var(--bad); }
    ul.plain { list-style: none; padding: 0; margin: 0; color: var(--faint); font-size: .9rem; }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem .8rem; margin: 0; }
    dt { font-weight: 600; color: var(--accent); } dd { margin: 0; }
    .wide { overflow-x: auto; }
    table { border-collapse: collapse; font-size: .87rem; }
    th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
    thead th { color: var(--faint); font-weight: 500; }
    tbody th { font-weight: 500; min-width: 11rem; } .invariants tbody th { min-width: 19rem; }
    .matrix td { white-space: nowrap; } .mutants td:nth-child(2), .invariants td:nth-child(4) { white-space: normal; }
    tr.good th { box-shadow: inset 3px 0 var(--good); } tr.some th { box-shadow: inset 3px 0 var(--some); }
    tr.bad th { box-shadow: inset 3px 0 var(--bad); }
    .structure thead th { height: 8rem; padding: 0; vertical-align: bottom; }
    .structure thead span { writing-mode: vertical-rl; transform: rotate(180deg); padding: .4rem .2rem; white-space: nowrap; }
    .structure thead th:first-child span { writing-mode: initial; transform: none; }
    .structure th:first-child { position: sticky; left: 0; background: var(--paper); min-width: 8rem; }
    .structure td { text-align: center; padding: .1rem .3rem; min-width: 1.9rem; }
    .structure td.r { color: var(--faint); } .structure td.w, .structure td.rw { color: var(--accent); font-weight: 600; }
    .bars td.bar { width: 40%; min-width: 6rem; } .bar i { display: block; height: .7rem; margin-top: .35rem;
      background: var(--accent); border-radius: 3px; min-width: 2px; }
    details { margin: .5rem 0; } summary { cursor: pointer; }
    .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
    figure { margin: .6rem 0 0; display: flex; flex-wrap: wrap; gap: 0 1.5rem;
      align-items: start; align-content: start; }
    figure > div { flex: 1 1 17rem; max-width: 27rem; } figure > details { flex: 1 1 12rem; }
    figure ol { font-size: .87rem; padding-left: 1.6rem; margin: .4rem 0; } figure li::marker { color: var(--faint); }
    .diagram { width: 100%; max-width: 27rem; height: auto; display: block; }
    .diagram text { font: 12.5px system-ui, sans-serif; text-anchor: middle; fill: var(--ink); }
    .diagram .case { fill: var(--paper); stroke: var(--ink); stroke-width: 1.3; }
    .diagram .start { fill: none; stroke: var(--ink); stroke-width: 1; }
    .diagram .move { fill: none; stroke: var(--faint); stroke-width: 1.3; }
    .diagram marker path { fill: var(--faint); }
    .diagram .badge circle { fill: var(--paper); stroke: var(--faint); }
    .diagram .badge text { font-size: 9.5px; fill: var(--faint); }
    @media (max-width: 40rem) {
      main { padding: .6rem; } section { padding: .8rem; }
      nav .row { grid-template-columns: 7.2rem 1fr; font-size: .92rem; }
      .matrix, .matrix tbody, .matrix tr, .steps, .steps tbody, .steps tr { display: block; }
      .matrix thead, .steps thead { display: none; }
      .matrix tr, .steps tr { border-bottom: 1px solid var(--line); padding: .35rem 0; } .matrix tr { padding-left: .6rem; }
      .matrix tr.good { box-shadow: inset 3px 0 var(--good); } .matrix tr.some { box-shadow: inset 3px 0 var(--some); }
      .matrix tr.bad { box-shadow: inset 3px 0 var(--bad); }
      .matrix tr th { display: block; border: 0; padding: 0; box-shadow: none; min-width: 0; }
      .matrix td { display: inline; border: 0; padding: 0 .6rem 0 0; color: var(--faint); white-space: normal; }
      .matrix td:empty { display: none; }
      .invariants td:nth-child(5)::before { content: "proved "; }
      .invariants td:nth-child(6)::before { content: "second solver "; }
      .mutants td:nth-child(3)::before { content: "at depth "; }
      .steps tr > * { display: block; border: 0; padding: 0; min-width: 0 !important; }
      .steps td:first-child { float: left; width: 1.8rem; color: var(--faint); }
      .steps td:last-child { padding-left: 1.8rem; overflow-wrap: anywhere; } .steps th { overflow-wrap: anywhere; }
    }
    """
}
