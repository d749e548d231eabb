// SPDX-License-Identifier: Apache-2.0

import Specs

/// Request/response rings: any power of two of slots up to 2³¹, free-running indices of 32 bits, store buffers, and
/// on either side a peer that may be hostile.
public let ringTheory = Theory(
  subject: ringSubject,
  theorems: [
    // With any peer.
    .proved("the back end never counts more requests than slots"),
    .proved("the front end never counts responses to requests not made"),
    // Where both sides keep to the protocol.
    .proved("what is taken is what was put"),
    .proved("no side sleeps on work"),
    .proved("honest sides believe one another"),
    .proved("no unread message is overwritten"),
  ],
  lemmas: [
    .proved("everything in the ring has its order"),
    .proved("the published is what memory shows, or is about to"),
    .proved("drained messages are before the buffered index"),
    .proved("a buffered event index is one just asked for"),
    .proved("who looks for the last time has asked for the next message"),
    .proved("a sleeper's event is on its way or nothing was published"),
    .proved("requests not taken lie in their slots"),
    .proved("responses not taken lie in their slots"),
  ])
