// SPDX-License-Identifier: Apache-2.0

import Specs

/// One direction of a pair of byte streams: any power of two of bytes, free-running indices of 32 bits, store
/// buffers, and on either side a peer that may be hostile.
public let streamTheory = Theory(
  subject: streamSubject,
  theorems: [
    // With any peer.
    .proved("the writer never has more under way than fits"),
    .proved("the reader never reads beyond what fits"),
    // Where both sides keep to the protocol.
    .proved("what is read is what was written"),
    .proved("honest sides believe one another"),
    .proved("no unread byte is overwritten"),
    .proved("no side sleeps on work"),
  ],
  lemmas: [
    .proved("everything in the stream has its order"),
    .proved("the published is what memory shows, or is about to"),
    .proved("the published is between what memory shows and the position"),
    .proved("a sleeper has published all"),
  ])
