// SPDX-License-Identifier: Apache-2.0

import Specs

private let sum =
  "a sum over all frames or domains cannot be written down at real size, and its two directions do not close there"
private let guarded =
  "it follows from the sums; steps have it as a guard, and this is that the guard never stands in the way"

/// The memory of a host: 2³² frames and guest pages, 2¹⁵ domains, extents to 2³¹ frames, 4095 uses of a frame. Who has a
/// frame, where, with what in it and for how long is proved, and that maxima and promises are kept by what is counted;
/// that what is counted is all there is, is explored.
public let balloonTheory = Theory(
  subject: balloonSubject,
  theorems: [
    .proved("no frame is handed out twice"),
    .proved("no more is handed out than there is"),
    .proved("what is promised is free"),
    .proved("a domain has at most its maximum"),
    .proved("a frame's domain is there"),
    .proved("only frames of the host are handed out"),
    .proved("a frame holds its owner's data or none"),
    .proved("a frame is dirty while it holds data, and no longer"),
    .proved("no extent is larger than the limit"),
    .proved("what a domain's memory has is its own"),
    .proved("a frame is where it says"),
    .proved("a frame in use is owned"),
    .proved("uses end as they began"),
    .proved("a special frame is never given back"),
    .proved("an exchange can be undone"),
    .proved("an exchange is no larger than the largest extent"),
    .proved("a domain that is gone has nothing"),
    .proved("only domains that run are promised memory"),
    .proved("a target is at most the maximum"),
    .explored("frames in flight are counted", because: sum),
    .explored("owned frames are counted", because: sum),
    .explored("free frames are counted", because: sum),
    .explored("what is promised is counted", because: sum),
    .explored("no count stands in the way of a frame", because: guarded),
    .explored("no sum stands in the way of a claim", because: guarded),
  ],
  lemmas: [.proved("what a domain is owed counts against its maximum")])
