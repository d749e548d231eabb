// SPDX-License-Identifier: Apache-2.0

import Specs

private let sum =
  "a sum over all handles cannot be written down at real size; its two directions, below, are the same claim"

/// Grant tables: all domains, references, handles and frames that the ABI has, guests that store anything at any time.
public let grantsTheory = Theory(
  subject: grantsSubject,
  theorems: [
    .proved("only what is permitted is reached"),
    .proved("a mapping lies in one whole entry"),
    .proved("domain and frame are fixed while pinned"),
    .proved("a mapping is of an entry of a domain that is there"),
    .proved("a mapped frame stays its granter's"),
    .proved("a frame belongs to a domain that is there"),
    .proved("flags say what is pinned"),
    .proved("a revoked grant has no mapping"),
    .proved("a life is absent, running, dying, absent"),
    .proved("only domains that are there have tables"),
    .explored("pins are exact", because: sum),
    .proved("pins are exact: each member has its position"),
    .proved("pins are exact: each position has its member"),
    .explored("references are exact", because: sum),
    .proved("references are exact: each member has its position"),
    .proved("references are exact: each position has its member"),
  ],
  lemmas: [.proved("a table that does not reach an entry has no pin of it")])
