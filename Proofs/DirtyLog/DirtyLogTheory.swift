// SPDX-License-Identifier: Apache-2.0

import Specs

/// The dirty log of a domain: 2³² frames, 2⁴¹ entries, 2⁸ processors; video memory of any frames, mapped any number of
/// times, also by what the shadow does not know.
public let dirtyLogTheory = Theory(
  subject: dirtyLogSubject,
  theorems: [
    .proved("what was written is reported next"),
    .proved("a write that goes unmarked is logged, or marked already"),
    .proved("what may be written without a fault is logged"),
    .proved("nobody can write to frozen video memory"),
    .proved("of frozen video memory there is nothing to report"),
    .proved("only what the guest may write is writable"),
    .proved("write access goes after quiet reports alone"),
  ],
  lemmas: [
    .proved("what memory lets be written is logged"),
    .proved("what is held is in memory, or unflushed"),
    .proved("what was taken is write-protected until the report"),
    .proved("video memory that is closed has no writable entry"),
    .proved("video memory that is closed has no news but in its entries"),
    .proved("only what is tracked is logged"),
  ])
