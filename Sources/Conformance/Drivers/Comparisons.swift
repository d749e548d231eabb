// SPDX-License-Identifier: Apache-2.0

import Machines

/// One exhaustive comparison, at a scope of its own.
public struct ExhaustiveComparison: Sendable {
  /// Compares; the observer is told now and then how far it is.
  public let run: @Sendable (_ progress: ExhaustiveProgress.Observer?) -> ExhaustiveReport
  /// Whether it takes longer than all others together: it is begun first, so that nobody waits for it alone.
  public let isLong: Bool

  init(isLong: Bool = false, _ run: @escaping @Sendable (ExhaustiveProgress.Observer?) -> ExhaustiveReport) {
    self.run = run
    self.isLong = isLong
  }

  /// Both sides of rings of one and of two slots, with a peer that stores what it likes and one that does not.
  static let rings = [true, false].flatMap { hostile in
    [1, 2].flatMap { slots in
      [
        ExhaustiveComparison {
          RingExploration(OptimisedBackSide.self, slots: slots, hostile: hostile).run(progress: $0)
        },
        ExhaustiveComparison {
          RingExploration(OptimisedFrontSide.self, slots: slots, hostile: hostile).run(progress: $0)
        },
      ]
    }
  }

  /// The same of byte streams of one and of two bytes.
  static let streams = [true, false].flatMap { hostile in
    [1, 2].flatMap { size in
      [
        ExhaustiveComparison {
          StreamExploration(OptimisedStreamReader.self, size: size, hostile: hostile).run(progress: $0)
        },
        ExhaustiveComparison {
          StreamExploration(OptimisedStreamWriter.self, size: size, hostile: hostile).run(progress: $0)
        },
      ]
    }
  }

  static let selfBalloons = [
    ExhaustiveComparison { SelfBalloonExploration(SelfBalloonController.self).run(progress: $0) }
  ]

  static let dirtyLogs = DirtyLogExplorationScope.all.map { scope in
    ExhaustiveComparison { DirtyLogExploration(TappedDirtyLog.self, scope).run(progress: $0) }
  }

  static let hostMemories = HostMemoryScope.all.map { scope in
    ExhaustiveComparison { HostMemoryExploration(scope).run(progress: $0) }
  }

  static let grantTables = [
    ExhaustiveComparison(isLong: true) { GrantsExploration().run(progress: $0) }
  ]

  static let shadows = ShadowExplorationScope.all.map { scope in
    ExhaustiveComparison { ShadowExploration(scope).run(progress: $0) }
  }

  static let eventChannels = EventsExplorationScope.all.map { scope in
    ExhaustiveComparison { EventsExploration(scope).run(progress: $0) }
  }
}

/// How one machine is compared with its specification.
public struct ComparedMachine: Sendable {
  public let exhaustive: [ExhaustiveComparison]
  /// What the random driver and the fuzz target run.
  public let fuzzTarget: FuzzTarget
  public var name: String { fuzzTarget.name }

  public static let all = [
    ComparedMachine(exhaustive: ExhaustiveComparison.rings, fuzzTarget: .ring),
    ComparedMachine(exhaustive: ExhaustiveComparison.streams, fuzzTarget: .stream),
    ComparedMachine(exhaustive: ExhaustiveComparison.grantTables, fuzzTarget: .grants),
    ComparedMachine(exhaustive: ExhaustiveComparison.eventChannels, fuzzTarget: .eventChannels),
    ComparedMachine(exhaustive: ExhaustiveComparison.hostMemories, fuzzTarget: .balloon),
    ComparedMachine(exhaustive: ExhaustiveComparison.shadows, fuzzTarget: .shadow),
    ComparedMachine(exhaustive: ExhaustiveComparison.selfBalloons, fuzzTarget: .selfBalloon),
    ComparedMachine(exhaustive: ExhaustiveComparison.dirtyLogs, fuzzTarget: .dirtyLog),
  ]
}
