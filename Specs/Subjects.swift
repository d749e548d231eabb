// SPDX-License-Identifier: Apache-2.0

import Logic

/// Every machine that Lockstep specifies; what the engines, the proofs and the command line range over.
public let subjects: [Subject] = [
  ringSubject, streamSubject, grantsSubject, eventChannelsSubject, shadowSubject, dirtyLogSubject,
  balloonSubject, selfBalloonSubject, isolationSubject,
]
