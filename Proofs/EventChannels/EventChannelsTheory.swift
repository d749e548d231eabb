// SPDX-License-Identifier: Apache-2.0

import Specs

/// Event channels: all domains, ports and vCPUs that the ABI has, guests that store anything at any time.
public let eventChannelsTheory = Theory(
  subject: eventChannelsSubject,
  theorems: [
    .proved("interdomain ends are symmetric"),
    .proved("an open port exists"),
    .proved("ports are bounded, and their domain is there"),
    .proved("a virtual interrupt's port is known"),
    .proved("a known port is the virtual interrupt's"),
    .proved("only what is there is written"),
    .proved("what is answered is done"),
    .proved("a closed port is not pending"),
    .proved("no event is lost"),
    .proved("no up-call is lost"),
    .proved("no poll sleeps on an event"),
  ],
  lemmas: [
    .proved("a vCPU is there only if its domain is"),
    .proved("a vCPU that is being told is there"),
    .proved("only who polls waits for a port"),
    .proved("a handler that runs is not interrupted"),
    .proved("a vCPU that is blocked takes up-calls"),
    .proved("words are held only while they are looked at"),
  ],
  eventualities: [
    "an event is told of", "an up-call that can be taken is made", "who is blocked wakes for an event",
    "who polls a port is woken for it", "an event is handled",
  ])
