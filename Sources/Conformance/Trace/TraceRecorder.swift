// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logic
import Synchronization

/// Why a trace cannot be written or read, in one line.
public struct TraceError: Error, Sendable, Hashable, CustomStringConvertible {
  public var description: String
}

/// Writes a trace as it happens. Each operation is with the system when it has ended, so that nothing of it is lost
/// if the process is killed; memory is held for one operation of each machine at most.
public final class TraceRecorder: Sendable {
  private struct State {
    var nextID = 0
    var steps = 0
    var failure: TraceError?
    var isClosed = false
  }
  private let state = Mutex(State())
  private let descriptor: Int32
  private let packed: PackedTrace?
  public let path: String

  /// Begins a file; one that is there is written over. A name that ends with `.gz`, `.xz` or `.zst` has it packed by that
  /// program.
  public init(path: String) throws(TraceError) {
    self.path = path
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else {
      throw TraceError(
        description: "trace \(path): it cannot be written: \(String(cString: strerror(errno)))")
    }
    packed = try TracePacking.named(by: path).map { packing throws(TraceError) in
      try PackedTrace(packing, into: file)
    }
    descriptor = packed?.descriptor ?? file
    append(TraceLine.encode(TraceHeader()), steps: 0)
  }

  deinit {
    if !state.withLock({ $0.isClosed }) { Glibc.close(descriptor) }
  }

  /// Why the trace is not complete, if it is not.
  public var failure: TraceError? { state.withLock { $0.failure } }

  /// Steps written.
  public var stepCount: Int { state.withLock { $0.steps } }

  /// Ends the trace in good order.
  public func finish() {
    let steps = stepCount
    append(TraceLine.encode(TraceEnd(ended: steps)), steps: 0)
    state.withLock { state in
      guard !state.isClosed else { return }
      state.isClosed = true
      guard let packed else { return _ = Glibc.close(descriptor) }
      if let complaint = packed.finish(), state.failure == nil {
        state.failure = TraceError(description: "trace \(path): \(complaint)")
      }
    }
  }

  /// Begins the recording of one machine.
  func begin(_ specification: Specification, at scope: Scope, start: [TraceStart]) -> TraceRecording {
    let id = state.withLock { state in
      defer { state.nextID += 1 }
      return state.nextID
    }
    append(
      TraceLine.encode(
        TraceMachine(
          machine: specification.name, id: id, scope: scope.counts, start: start,
          actions: specification.actions.map(\.name))), steps: 0)
    return TraceRecording(id, self)
  }

  /// Writes whole lines. After the first failure nothing is written any more.
  fileprivate func append(_ bytes: [UInt8], steps: Int) {
    state.withLock { state in
      guard state.failure == nil, !state.isClosed else { return }
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else {
          let reason = String(cString: strerror(errno))
          state.failure = TraceError(
            description: "trace \(path): it ends after \(state.steps) steps: \(reason)")
          return
        }
        rest = rest.dropFirst(count)
      }
      state.steps += steps
    }
  }
}

/// The recording of one machine. Used by one thread at a time, as the machine is.
final class TraceRecording {
  private let id: Int
  private let recorder: TraceRecorder
  private var bytes: [UInt8] = []
  private var steps = 0
  /// Bytes that are written before an operation ends.
  private static let limit = 1 << 16

  fileprivate init(_ id: Int, _ recorder: TraceRecorder) {
    self.id = id
    self.recorder = recorder
  }

  func add(_ step: SpecificationStep) {
    TraceLine.append(step, of: id, to: &bytes)
    steps += 1
    if bytes.count > Self.limit { commit() }
  }

  func add(_ divergence: Divergence) {
    bytes += TraceLine.encode(
      TraceDivergence(diverged: id, step: divergence.step, reason: divergence.reason))
  }

  /// The operation has ended.
  func commit() {
    if bytes.isEmpty { return }
    recorder.append(bytes, steps: steps)
    bytes.removeAll(keepingCapacity: true)
    steps = 0
  }
}
