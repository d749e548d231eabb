// SPDX-License-Identifier: Apache-2.0

import Specs

/// The self-balloon controller: domains of up to 2⁴⁰ pages, hystereses to 15, any need at any time.
public let selfBalloonTheory = Theory(
  subject: selfBalloonSubject,
  theorems: [
    .proved("no target is out of bounds"),
    .proved("a domain is never below its floor or above its maximum"),
    .proved("no oscillation"),
    .proved("what was begun from one side ends there"),
    .proved("a target is never beyond what is needed"),
    .proved("each step takes its share of the gap"),
    .proved("no step takes a page more than its share"),
    .proved("each step comes nearer"),
    .proved("what is out of bounds is brought to them"),
    .proved("no hysteresis is 0"),
    .proved("a controller that is off sets no target"),
  ],
  lemmas: [.proved("what is needed is within bounds")])
