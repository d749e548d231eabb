// SPDX-License-Identifier: Apache-2.0

import Specs

private let sum =
  "a sum over all members cannot be written down at real size; its two directions, below, are the same claim"

/// Shadow page tables of one domain: 2³² frames of 512 entries, four levels, 2⁸ processors with three tables out of
/// sync each, references and shadow pages up to 4095; guests that store anything through any writable translation.
public let shadowTheory = Theory(
  subject: shadowSubject,
  theorems: [
    .proved("a processor uses only what was offered since its flush"),
    .proved("only level-1 tables go out of sync"),
    .proved("no processor writes to a table in sync"),
    .proved("no shadow lets the guest write to a table in sync"),
    .proved("in sync, the shadow is within the guest's entry"),
    .proved("out of sync, the shadow is within the snapshot"),
    .proved("what is not queued is within the shadow"),
    .proved("what writes to a table out of sync is a fix-up"),
    .proved("a table out of sync has a seat"),
    .proved("an entry leads to a shadow"),
    .proved("a processor is led to a shadow"),
    .proved("CR3 leads to a shadow"),
    .proved("a pinned table has a shadow"),
    .proved("shadow memory suffices"),
    .proved("a processor reaches only what the domain may"),
    .explored("references are exact", because: sum),
    .proved("references are exact: each member has its position"),
    .proved("references are exact: each position has its member"),
    .explored("shadow pages are exact", because: sum),
    .proved("shadow pages are exact: each member has its position"),
    .proved("shadow pages are exact: each position has its member"),
  ],
  lemmas: [
    .proved("a shadow gives only what was offered since any flush"),
    .proved("the guest's entry is offered"),
    .proved("a shadow maps only what the domain may reach and keeps"),
    .proved("where there is no shadow there are no entries"),
    .proved("only tables have shadows"),
    .proved("tables are the domain's to write"),
    .proved("who leaves was there, and who writes maps"),
    .proved("a seat is of a table out of sync"),
  ])
