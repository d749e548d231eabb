// SPDX-License-Identifier: Apache-2.0
//
// Inputs of fuzz targets that do what a recorded run did. A trace has the steps that specifications took beside a guest; an
// input is choices of what to do with a few frames, domains and ports. No decoder is turned round for that: bytes are
// appended at random, and kept where the steps that the input comes to then have more of those of a window of the trace, in
// its order. Other steps may come between; a step that is not found, of what the small host does not have or is not where
// the guest was, is left out.

import Logic

/// An input of a fuzz target, searched for.
public struct TraceSeed: Sendable {
  public let window: TraceWindow
  public let bytes: [UInt8]
  /// How many of the window's steps it makes.
  public let made: Int

  /// Searches for the input that makes the most steps of a window.
  /// - Parameters:
  ///   - tries: how often bytes are appended in vain before a step is left out.
  ///   - seed: the same one finds the same input.
  /// - Returns: nil if no fuzz target has the machine, or not one step was found.
  /// - Throws: what a try has found, if it is a divergence.
  public static func search(for window: TraceWindow, tries: Int, seed: UInt64) throws(Divergence)
    -> TraceSeed?
  {
    guard let target = FuzzTarget.all.first(where: { $0.name == window.machine }) else { return nil }
    var best: TraceSeed?
    for (number, trial) in target.trials.enumerated() {
      var search = SeedSearch(window, trial, SplitMix64(state: seed))
      try search.run(tries)
      if search.made > best?.made ?? 0 {
        best = TraceSeed(window: window, bytes: FuzzTarget.input(number, search.bytes), made: search.made)
      }
    }
    return best
  }
}

/// Sees what steps an input comes to.
private final class StepCollector: StepObserver {
  var steps: [SpecificationStep] = []
  /// Inputs that come to more are looked at no further.
  private static let limit = 4096

  func observe(_ step: SpecificationStep) { if steps.count < Self.limit { steps.append(step) } }
}

private struct SeedSearch {
  /// Without what is left out.
  private var window: TraceWindow
  private let session: TrialSession
  private let collector = StepCollector()
  private var generator: SplitMix64
  private(set) var bytes: [UInt8] = []
  private(set) var made = 0
  /// Bytes that are appended at a time: what most operations are chosen by.
  private static let longest: UInt64 = 20

  init(_ window: TraceWindow, _ trial: Trial, _ generator: SplitMix64) {
    (self.window, self.generator) = (window, generator)
    session = TrialSession(trial, observer: collector)
  }

  mutating func run(_ tries: Int) throws(Divergence) {
    var failed = 0
    while made < window.stepCount {
      if failed == tries {
        window.remove(made)
        failed = 0
        continue
      }
      let count = 1 + Int(generator.next() % Self.longest)
      let candidate = bytes + (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 32) }
      collector.steps.removeAll(keepingCapacity: true)
      if let divergence = session.run(candidate).divergence { throw divergence }
      let progress = window.progress(of: collector.steps)
      failed = progress > made ? 0 : failed + 1
      if progress > made { (bytes, made) = (candidate, progress) }
    }
  }
}
