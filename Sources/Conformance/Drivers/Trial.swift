// SPDX-License-Identifier: Apache-2.0

/// A machine beside its specification, driven by bytes: what the random driver and the fuzzer try.
public struct Trial: Sendable {
  public let name: String
  /// Makes what runs one sequence after another, each from the beginning.
  let makeRunner: MakeRunner

  /// Given whom the specification's steps are told, if anybody.
  typealias MakeRunner = @Sendable ((any StepObserver)?) -> ([UInt8]) -> TrialOutcome

  /// - Parameter makeRunner: what it makes keeps its memory from one sequence to the next, and is not used again after a
  ///   divergence.
  init(_ name: String, makeRunner: @escaping MakeRunner) {
    self.name = name
    self.makeRunner = makeRunner
  }

  public init(_ name: String, run: @escaping @Sendable ([UInt8]) -> TrialOutcome) {
    self.init(name, makeRunner: { _ in run })
  }

  /// Runs one sequence.
  public func run(_ bytes: [UInt8]) -> TrialOutcome { makeRunner(nil)(bytes) }
}

/// Runs sequences of a trial, on one thread.
public final class TrialSession {
  public let trial: Trial
  private let observer: (any StepObserver)?
  private var runner: Runner?

  /// A closure as it was made: an optional of it would wrap it anew whenever it is read, and the next call in that.
  private struct Runner {
    let run: ([UInt8]) -> TrialOutcome
  }

  /// - Parameter observer: is told of the specification's steps, if the trial tells of them.
  public init(_ trial: Trial, observer: (any StepObserver)? = nil) {
    (self.trial, self.observer) = (trial, observer)
  }

  public func run(_ bytes: [UInt8]) -> TrialOutcome {
    let runner = runner ?? Runner(run: trial.makeRunner(observer))
    let outcome = runner.run(bytes)
    self.runner = outcome.divergence == nil ? runner : nil
    return outcome
  }
}

/// What one sequence came to.
public struct TrialOutcome: Sendable {
  /// Operations of the implementation that were compared.
  public var operations = 0
  /// Steps that the specification took.
  public var steps = 0
  public var divergence: Divergence?

  public init() {}
}

/// Tries random sequences, and makes one that fails as short as it can.
public struct RandomDriver: Sendable {
  public let trial: Trial
  public let seed: UInt64
  /// Bytes of the longest sequence.
  public let length: Int

  public init(_ trial: Trial, seed: UInt64, length: Int = 4096) {
    self.trial = trial
    self.seed = seed
    self.length = max(length, 16)
  }

  /// A sequence that fails.
  public struct Failure: Sendable {
    public let divergence: Divergence
    /// The shortest bytes found that fail.
    public let bytes: [UInt8]
    /// How many bytes the first failing sequence had.
    public let firstLength: Int
  }

  public struct Report: Sendable {
    public var sequences = 0
    public var operations = 0
    public var steps = 0
    public var failure: Failure?
  }

  /// Tries sequences until `operations` were compared or one fails. The same seed tries the same sequences.
  /// - Parameter progress: is told, now and then, how many operations were compared.
  public func run(operations: Int, progress: ((Int) -> Void)? = nil) -> Report {
    var generator = SplitMix64(state: seed)
    var report = Report()
    let session = TrialSession(trial)
    while report.operations < operations {
      // Short sequences find what goes wrong at the beginning, long ones what wears out.
      let count = 16 + Int(generator.next() % UInt64(length - 15))
      let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        for index in 0..<count { buffer[index] = UInt8(truncatingIfNeeded: generator.next() >> 32) }
        initialized = count
      }
      let outcome = session.run(bytes)
      report.sequences += 1
      if report.sequences & 0x3F == 0 { progress?(report.operations) }
      report.operations += max(outcome.operations, 1)
      report.steps += outcome.steps
      if let divergence = outcome.divergence {
        report.failure = shrink(bytes, divergence)
        break
      }
    }
    return report
  }

  /// Removes and zeroes bytes as long as the sequence still fails.
  private func shrink(_ first: [UInt8], _ divergence: Divergence) -> Failure {
    var best = first
    var found = divergence
    func adopt(_ candidate: [UInt8]) -> Bool {
      guard let divergence = trial.run(candidate).divergence else { return false }
      best = candidate
      found = divergence
      return true
    }
    var improved = true
    while improved {
      improved = false
      var chunk = best.count / 2
      while chunk >= 1 {
        var start = 0
        while start < best.count {
          var candidate = best
          candidate.removeSubrange(start..<min(start + chunk, best.count))
          if adopt(candidate) { improved = true } else { start += chunk }
        }
        chunk /= 2
      }
      for index in best.indices where best[index] != 0 {
        var candidate = best
        candidate[index] = 0
        if adopt(candidate) { improved = true }
      }
    }
    return Failure(divergence: found, bytes: best, firstLength: first.count)
  }
}

/// A small generator whose sequence depends on its seed alone.
public struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  public init(state: UInt64) { self.state = state }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
