// SPDX-License-Identifier: Apache-2.0

import Logic
import Synchronization

/// What the checked machines of a run report to, from any thread: counts, and the first divergence.
public final class CheckMonitor: Sendable {
  /// What was compared of one machine.
  public struct Count: Sendable, Hashable {
    /// How many there were: rings come and go.
    public var instances = 0
    /// Operations of the implementation that were compared with the specification.
    public var operations = 0
    /// Steps that the specification took for them, its environment's included.
    public var steps = 0
    /// Operations that were not compared.
    public var unchecked = 0
    /// Operations between the windows of a sample, which were not compared either.
    public var skipped = 0
    /// Windows of a sample that began after such.
    public var windows = 0
  }

  private struct State {
    var counts: [String: Count] = [:]
    var divergence: Divergence?
    /// Why operations were not compared.
    var reasons: Set<String> = []
  }
  private let state = Mutex(State())
  private let trace: TraceRecorder?
  private let diverged: @Sendable (Divergence) -> Void

  /// - Parameters:
  ///   - trace: where the specifications' steps are recorded.
  ///   - diverged: called once, at the first divergence, on the thread and within the locks of the operation that
  ///     diverged: it should end the domain, and do no more.
  public init(trace: TraceRecorder? = nil, diverged: @escaping @Sendable (Divergence) -> Void) {
    self.trace = trace
    self.diverged = diverged
  }

  /// The first divergence of all machines.
  public var divergence: Divergence? { state.withLock { $0.divergence } }

  /// By machine, in the order of their names.
  public var counts: [(machine: String, count: Count)] {
    state.withLock { state in
      state.counts.sorted { $0.key < $1.key }.map { (machine: $0.key, count: $0.value) }
    }
  }

  /// Why some operations were not compared, if there were any.
  public var uncheckedReasons: [String] { state.withLock { $0.reasons.sorted() } }

  /// Begins the comparison of one machine.
  func watch(_ oracle: any FollowingSpecification, start: [TraceStart] = []) -> MachineWatch {
    state.withLock { $0.counts[oracle.specification.name, default: Count()].instances += 1 }
    return MachineWatch(
      oracle, self, trace?.begin(oracle.specification, at: oracle.scope, start: start))
  }

  fileprivate func note(_ machine: String, steps: Int) {
    state.withLock { state in
      state.counts[machine, default: Count()].operations += 1
      state.counts[machine, default: Count()].steps += steps
    }
  }

  fileprivate func noteSkipped(_ machine: String) {
    state.withLock { $0.counts[machine, default: Count()].skipped += 1 }
  }

  fileprivate func noteWindow(_ machine: String) {
    state.withLock { $0.counts[machine, default: Count()].windows += 1 }
  }

  fileprivate func noteUnchecked(_ machine: String, _ reason: String) {
    state.withLock { state in
      state.counts[machine, default: Count()].unchecked += 1
      state.reasons.insert(reason)
    }
  }

  fileprivate func note(_ divergence: Divergence) {
    let isFirst = state.withLock { state in
      defer { state.divergence = state.divergence ?? divergence }
      return state.divergence == nil
    }
    if isFirst { diverged(divergence) }
  }
}

/// The comparison of one machine: counts and records its operations. Used by one thread at a time, as the machine is.
final class MachineWatch: StepObserver {
  /// Owned by the machine, which owns this.
  private unowned let oracle: any FollowingSpecification
  private let monitor: CheckMonitor
  private let recording: TraceRecording?
  private var counted: Int

  fileprivate init(
    _ oracle: any FollowingSpecification, _ monitor: CheckMonitor, _ recording: TraceRecording?
  ) {
    self.oracle = oracle
    self.monitor = monitor
    self.recording = recording
    counted = oracle.stepCount
    // Steps are told of only where somebody records them.
    if recording != nil { oracle.observer = self }
  }

  func observe(_ step: SpecificationStep) { recording?.add(step) }

  /// An operation has ended, and was compared.
  func finish() {
    monitor.note(oracle.specification.name, steps: oracle.stepCount - counted)
    counted = oracle.stepCount
    recording?.commit()
  }

  /// Writes what has been recorded, of an operation that has not ended too.
  func flush() { recording?.commit() }

  /// An operation has ended, and was not compared.
  func skip(because reason: String) { monitor.noteUnchecked(oracle.specification.name, reason) }

  /// An operation has ended that is in no window of the sample.
  func skip() { monitor.noteSkipped(oracle.specification.name) }

  /// A window of the sample begins: from here on operations are compared again.
  func beginWindow() { monitor.noteWindow(oracle.specification.name) }

  /// An operation has diverged.
  func diverge(_ divergence: Divergence) {
    recording?.add(divergence)
    recording?.commit()
    monitor.note(divergence)
  }
}
